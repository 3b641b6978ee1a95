"""What the worker reads before it answers a turn, and what it writes after."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, CursorResult, bindparam, select, update

from bot.canary import choose_version
from bot.claim import after, back_off_s
from bot.claimer import Claimer
from bot.draft import Draft
from bot.masks import new_default
from bot.outbox import Delivery
from bot.phrases import Phrase
from bot.policy import needs_review, status_of
from bot.prompt import Chat
from bot.turns import add_reply, change_conversation, lock, read_history
from store import (
    Conversation,
    Executor,
    Mask,
    ModelVersion,
    Reply,
    ReplyStatus,
    Stage,
    Switches,
    Turn,
    TurnState,
    Way,
    fetch,
    utc_now,
)
from store.core import columns_of
from store.switches import switches_of

FIRST_RETRY_S = 2.0
MOST_RETRY_S = 60.0
GIVE_UP_AFTER = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that an answer depends on, as it stood in one moment."""

    conversation: Conversation
    history: Chat = field(repr=False)
    switches: Switches
    mask: Mask
    model_version: ModelVersion | None


def read_scene(connection: Connection, turn: Turn) -> Scene:
    """The conversation so far, the switches, the default mask and its model version."""
    (conversation,) = fetch(connection, Conversation, _OF_TURN, {"id": turn.conversation_id})
    masks = fetch(connection, Mask, _DEFAULT_MASK, {})
    versions = fetch(connection, ModelVersion, _OFFERED, {})
    switches = switches_of(connection)
    return Scene(
        conversation=conversation,
        history=read_history(connection, turn, from_seq=conversation.context_from_seq),
        switches=switches,
        mask=masks[0] if masks else new_default(),
        model_version=choose_version(conversation.id, versions, switches.canary_share),
    )


# Statements of every message are made once: to make one costs more than to carry it out.
_OF_TURN = columns_of(Conversation).where(Conversation.id == bindparam("id"))
_DEFAULT_MASK = columns_of(Mask).where(Mask.is_default.is_(True))
_OFFERED = columns_of(ModelVersion).where(ModelVersion.stage.in_((Stage.live, Stage.canary)))


def keep_draft(
    executor: Executor,
    turn: Turn,
    draft: Draft,
    switches: Switches,
    offered: ModelVersion | None = None,
    *,
    outbox: Claimer[Delivery] | None = None,
) -> Delivery | None:
    """Store the answer to a claimed turn; none when the claim was lost meanwhile.

    `offered` is the tuned model that could have answered. A draft that comes after a person took
    the conversation over is kept, but withdrawn.
    """
    conversation = lock(executor, turn.conversation_id)
    if not _end_claim(executor, turn, state=TurnState.answered):
        return None
    if draft.way is Way.notice and _has_notice(executor, turn):
        return None  # a fixed text is sent once for a turn
    status = status_of(draft, switches.policy)
    if conversation.taken_over_at is not None:
        status = ReplyStatus.withdrawn
    reply = _as_reply(turn, draft, mode=switches.mode, status=status)
    reply.offered_version_id = offered.id if offered else None
    return _add(executor, conversation, reply, outbox)


def postpone(
    executor: Executor, turn: Turn, reason: str, *, outbox: Claimer[Delivery] | None = None
) -> Delivery | None:
    """Put a claimed turn off until the model is back; the notice to send, the first time.

    After six hours it is given up: the customer hears so, and a person is asked.
    """
    conversation = lock(executor, turn.conversation_id)
    gives_up = utc_now() - turn.created_at > GIVE_UP_AFTER
    state = TurnState.failed if gives_up else TurnState.waiting
    if conversation.taken_over_at is not None:
        state = TurnState.answered
    if not _end_claim(executor, turn, state=state, due_at=_next_try(turn.attempts)):
        return None
    if state is TurnState.answered:
        return None
    way = Way.unknown if gives_up else Way.notice
    if way is Way.notice and _has_notice(executor, turn):
        return None
    text = (Phrase.unknown if gives_up else Phrase.notice).like(turn.text)
    draft = Draft(text=text, way=way, reason=f"{way}: {reason}", is_sure=False)
    reply = _as_reply(turn, draft, mode="", status=ReplyStatus.ready)
    return _add(executor, conversation, reply, outbox)


def _next_try(attempts: int) -> datetime:
    return after(back_off_s(attempts, first_s=FIRST_RETRY_S, most_s=MOST_RETRY_S))


def _end_claim(
    executor: Executor, turn: Turn, *, state: TurnState, due_at: datetime | None = None
) -> bool:
    """Let a turn go, unless another worker holds it by now."""
    values = {
        "id_": turn.id,
        "owner": turn.claimed_by,
        "state_": state,
        "due_at_": due_at or turn.due_at,
    }
    result = executor.execute(_END_CLAIM, values)
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


_END_CLAIM = (
    update(Turn)
    .where(
        Turn.id == bindparam("id_"),
        Turn.state == TurnState.answering,
        Turn.claimed_by == bindparam("owner"),
    )
    .values(
        state=bindparam("state_"),
        due_at=bindparam("due_at_"),
        claimed_by=None,
        claimed_until=None,
    )
    .execution_options(synchronize_session=False)
)


def _has_notice(executor: Executor, turn: Turn) -> bool:
    same = select(Reply.id).where(Reply.turn_id == turn.id, Reply.way == Way.notice)
    return executor.scalar(same) is not None


def _add(
    executor: Executor,
    conversation: Conversation,
    reply: Reply,
    outbox: Claimer[Delivery] | None,
) -> Delivery:
    if reply.way is Way.unknown:
        change_conversation(executor, conversation.id, wants_person_at=utc_now())
    return add_reply(executor, conversation, reply, outbox)


def _as_reply(turn: Turn, draft: Draft, *, mode: str, status: ReplyStatus) -> Reply:
    return Reply(
        conversation_id=turn.conversation_id,
        turn_id=turn.id,
        draft=draft.text,
        text=draft.text,
        status=status,
        needs_review=needs_review(draft, status) and draft.way is not Way.notice,
        way=draft.way,
        reason="; before that ".join([draft.reason, *reversed(draft.tried)])[:500],
        mode=mode,
        model=draft.model,
        model_version_id=draft.model_version_id,
        mask_id=draft.mask_id,
        prompt=list(draft.prompt),
        sources=[chunk.as_source() for chunk in draft.retrieved],
        mean_logprob=draft.mean_logprob,
        agreement=draft.agreement,
        prompt_tokens=draft.prompt_tokens,
        completion_tokens=draft.completion_tokens,
        first_token_ms=draft.first_token_ms,
        total_ms=draft.total_ms,
    )
