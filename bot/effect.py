"""What follows from a verdict, and from its end, in the transaction that records it.

What the customer has of a reply stays what it was. Of the rest:

    held       approved or edited: ready; rejected: withdrawn
    ready      rejected: withdrawn; edited: goes out as edited; taken back: held, if it was
    withdrawn  by a rejection that is taken back: held, as long as the customer still waits
"""

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.turns import append_reply_turn
from store import (
    AuditEntry,
    Conversation,
    Reply,
    ReplyStatus,
    Review,
    Role,
    SecondLook,
    SecondLookState,
    Turn,
    Verdict,
    Way,
    utc_now,
)


async def take_effect(
    session: AsyncSession, conversation: Conversation, reply: Reply, review: Review
) -> None:
    """Bring a reply to what its review says, as far as it is not with the customer yet."""
    reply.needs_review = False
    was_held = reply.status is ReplyStatus.held
    if not was_held and reply.status is not ReplyStatus.ready:
        return
    if review.verdict is Verdict.rejected:
        reply.status = ReplyStatus.withdrawn
        # The customer still waits for an answer. Who asked for a person before, still asks.
        conversation.wants_person_at = conversation.wants_person_at or review.created_at
    elif was_held:
        reply.text, reply.status = review.text or reply.text, ReplyStatus.ready
        reply.due_at = utc_now()
        await session.run_sync(append_reply_turn, reply)
    if not was_held and not reply.sent_parts:
        await _revise_turn(session, reply, review)


async def put_back(
    session: AsyncSession, conversation: Conversation, reply: Reply, review: Review
) -> None:
    """Undo what followed from a review, as far as the customer has nothing of the reply."""
    if reply.sent_parts:
        return
    if reply.status is ReplyStatus.ready:
        await _put_back_unsent(session, reply, review)
        return
    was_stopped = reply.status is ReplyStatus.withdrawn and review.verdict is Verdict.rejected
    if was_stopped and await still_waits(session, conversation, reply):
        reply.status, reply.text = ReplyStatus.held, original_text(reply)
        reply.announced_at = None  # the reviewers are told anew
        if conversation.wants_person_at == review.created_at:
            conversation.wants_person_at = None  # the rejection asked, and nobody else


async def _put_back_unsent(session: AsyncSession, reply: Reply, review: Review) -> None:
    reply.text = original_text(reply)
    turn = await session.scalar(select(Turn).where(*_of_reply(reply)))
    if turn is not None and turn.created_at >= review.created_at:
        # The turn came with the verdict: until then the reply was held.
        await session.execute(delete(Turn).where(Turn.id == turn.id))
        reply.status, reply.announced_at = ReplyStatus.held, None
    elif turn is not None:
        turn.text = reply.text


async def still_waits(session: AsyncSession, conversation: Conversation, reply: Reply) -> bool:
    """Whether the shop has said nothing since the question but "I am slow", if anything."""
    asked = await session.get(Turn, reply.turn_id) if reply.turn_id else None
    if asked is None or asked.seq < conversation.context_from_seq:
        return False
    said = (
        select(Turn.id)
        .outerjoin(Reply, Reply.id == Turn.reply_id)
        .where(
            Turn.conversation_id == conversation.id,
            Turn.seq > asked.seq,
            Turn.role != Role.customer,
            or_(Reply.way.is_(None), Reply.way != Way.notice),
        )
    )
    return await session.scalar(said.limit(1)) is None


def original_text(reply: Reply) -> str:
    """What the bot wrote; an edit of a held reply has taken its place in `text`."""
    return reply.draft if reply.draft.strip() else reply.text


def _of_reply(reply: Reply) -> tuple[ColumnElement[bool], ...]:
    return Turn.reply_id == reply.id, Turn.conversation_id == reply.conversation_id


async def _revise_turn(session: AsyncSession, reply: Reply, review: Review) -> None:
    """Bring a turn of which the customer has nothing yet to what the verdict says."""
    if review.verdict is Verdict.rejected:
        await session.execute(delete(Turn).where(*_of_reply(reply)))
    elif review.verdict is Verdict.edited and review.text:
        reply.text = review.text
        await session.execute(update(Turn).where(*_of_reply(reply)).values(text=review.text))


async def strike_repeated(session: AsyncSession, reply: Reply, review: Review) -> list[int]:
    """Reject the approved reply that a rejected one repeated to the very same question.

    Otherwise that question would get the rejected answer for ever. Where the question was only
    near, or the approved reply was changed meanwhile, it may be right for its own and stays.

    Returns:
        the ids of the replies whose pairs have to follow.
    """
    if review.verdict is not Verdict.rejected:
        return []
    source = await _repeated(session, reply)
    if source is None or source.verdict is Verdict.rejected or source.text != reply.draft:
        return []
    before = describe(source)
    source.verdict, source.text = Verdict.rejected, None
    source.reason = _struck_with(reply, review)
    await settle_look(session, source.reply_id, is_taught=False, is_same=False, who=review.reviewer)
    log_change(session, review.reviewer, source.reply_id, before, describe(source))
    return [source.reply_id]


async def restore_repeated(
    session: AsyncSession, reply: Reply, review: Review, *, who: str
) -> list[int]:
    """Give the approved reply that was struck with a rejected one its verdict back."""
    if review.verdict is not Verdict.rejected:
        return []
    source = await _repeated(session, reply)
    if source is None or source.verdict is not Verdict.rejected:
        return []
    if source.reason != _struck_with(reply, review):
        return []  # somebody rejected it for itself
    told = await session.get_one(Reply, source.reply_id)
    before = describe(source)
    is_as_written = reply.draft == original_text(told)
    source.verdict = Verdict.approved if is_as_written else Verdict.edited
    source.text, source.reason = reply.draft, ""
    await settle_look(session, source.reply_id, is_taught=True, is_same=False, who=who)
    log_change(session, who, source.reply_id, before, describe(source))
    return [source.reply_id]


async def _repeated(session: AsyncSession, reply: Reply) -> Review | None:
    """The review of the approved reply that a reply repeats to the same question, held."""
    source = reply.sources[0] if reply.sources else {}
    if reply.way is not Way.approved or source.get("similarity") != 1.0:
        return None
    same = select(Review).where(Review.reply_id == source.get("reply_id"))
    found: Review | None = await session.scalar(same.with_for_update())
    return found


def _struck_with(reply: Reply, review: Review) -> str:
    """Also what `restore_repeated` knows its own strikes by."""
    return f"struck by {review.reviewer} with reply {reply.id}"


async def settle_look(
    session: AsyncSession, reply_id: int, *, is_taught: bool, is_same: bool, who: str
) -> None:
    """Bring the second look at a reply to its new verdict.

    What was set aside or struck needs a release before it teaches, whoever approves it after all;
    what was released counts for the words that were looked at, and for no others.

    Args:
        is_taught: it is approved or edited now, and not rejected or undecided.
        is_same: and that with the text and phrasings that it had.
    """
    look = await session.scalar(
        select(SecondLook).where(SecondLook.reply_id == reply_id).with_for_update()
    )
    if look is None:
        return
    if look.state is SecondLookState.released:
        if not is_same:
            await session.delete(look)
    elif is_taught:
        look.state, look.decided_by, look.decided_at = SecondLookState.aside, None, None
    elif look.state is SecondLookState.aside:
        look.state, look.decided_by = SecondLookState.struck, who[:64]
        look.decided_at = utc_now()


def describe(review: Review | None) -> str:
    """A verdict for the log, without the words: these go when their conversation is forgotten."""
    return f"{review.verdict} by {review.reviewer}" if review else "to be reviewed"


def log_change(session: AsyncSession, who: str, reply_id: int, before: str, after: str) -> None:
    """Write down who has changed which verdict."""
    detail = {"reply_id": reply_id, "before": before, "after": after}
    session.add(AuditEntry(who=who, action="change_verdict", detail=detail))
