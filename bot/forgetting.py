"""Forgetting is asked for here, by a customer or by the shop; finetune.forget carries it out.

The row is the promise: it is written in the transaction that answers the customer.
"""

from sqlalchemy import select, true, update

from store import Executor, Forgetting, ForgettingState, Turn, TurnState, insert, utc_now

CUSTOMER, RETENTION = "customer", "retention"


def ask_to_forget(
    executor: Executor, conversation_id: str, asked_by: str, before_seq: int | None = None
) -> None:
    """Ask for the end of a conversation, or of its turns before one; asked twice, it is asked once.

    What waits for an answer is not answered any more.
    """
    before = Turn.seq < before_seq if before_seq is not None else true()
    executor.execute(
        update(Turn)
        .where(Turn.conversation_id == conversation_id, Turn.state == TurnState.waiting, before)
        .values(state=TurnState.answered)
    )
    same = select(Forgetting.id).where(
        Forgetting.conversation_id == conversation_id,
        Forgetting.state == ForgettingState.asked,
        Forgetting.before_seq.is_(None)
        if before_seq is None
        else Forgetting.before_seq == before_seq,
    )
    if executor.scalar(same) is None:
        forgetting = Forgetting(
            conversation_id=conversation_id,
            before_seq=before_seq,
            asked_by=asked_by[:64],
            due_at=utc_now(),
        )
        insert(executor, forgetting)
