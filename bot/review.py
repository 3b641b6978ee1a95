"""The review: a person approves, edits or rejects a reply, or speaks in its place.

A verdict is a row before anything follows from it: bot.effect has what follows, bot.reconsider
changes a verdict later. What it teaches is learned right after the commit; where the process is
killed in between, `Knowledge.sync` at the next start finds the review without its pairs and learns
it then.
"""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.effect import settle_look, strike_repeated, take_effect
from bot.turns import append_reply_turn
from knowledge import Knowledge
from store import (
    AuditEntry,
    Conversation,
    Database,
    Reply,
    ReplyStatus,
    Review,
    Role,
    Turn,
    TurnState,
    Verdict,
    Way,
    utc_now,
)
from store.text import clean_text


class ReviewError(ValueError):
    """A verdict or an act that cannot be; the message says why.

    ReviewError
    ├── NoSuchReplyError       nothing has this id
    ├── NoSuchConversationError
    ├── AlreadyReviewedError   somebody was faster: `review` says who and when
    └── ReviewChangedError     the verdict to be changed is not the one that was seen
    """


class NoSuchReplyError(ReviewError):
    """There is no reply of this id."""


class NoSuchConversationError(ReviewError):
    """There is no conversation of this id."""


class AlreadyReviewedError(ReviewError):
    """A reply has one review."""

    def __init__(self, review: Review) -> None:
        super().__init__(
            f"{review.reviewer} has {review.verdict} this reply already, on "
            f"{review.created_at:%Y-%m-%d at %H:%M} UTC"
        )
        self.review = review


class ReviewChangedError(ReviewError):
    """Somebody else has changed a verdict meanwhile, or taken it back."""

    def __init__(self, review: Review | None) -> None:
        now = "it was taken back and waits in the review queue"
        if review is not None:
            now = (
                f"{review.reviewer} has {review.verdict} this reply, on "
                f"{review.created_at:%Y-%m-%d at %H:%M} UTC"
            )
        super().__init__(f"the verdict was changed meanwhile: {now}")
        self.review = review


async def decide(
    database: Database,
    knowledge: Knowledge,
    reply_id: int,
    verdict: Verdict,
    *,
    text: str | None = None,
    reason: str = "",
    phrasings: Sequence[str] | None = None,
    reviewer: str,
) -> Review:
    """Record a verdict and let it take effect; the same verdict again changes nothing.

    A held reply becomes ready, or is withdrawn when rejected. One that is ready and not yet on its
    way is withdrawn when rejected, and goes out as edited; what the customer has stays what it
    was. An approved or edited reply is retrievable when this returns; a rejected one is
    forgotten, and if it was an approved reply repeated word for word, so is that one.

    Args:
        text: the reply as it should be; needed for `edited`, and for that alone.
        phrasings: other ways to ask the same; none given: those that came with an imported pair.

    Raises:
        NoSuchReplyError: there is no such reply.
        AlreadyReviewedError: it has another verdict, or another reviewer's.
        ReviewError: the text does not fit the verdict.
    """
    text = checked_text(verdict, text)
    struck: list[int] = []
    async with database.write() as session:
        conversation, reply, review = await hold_reply(session, reply_id)
        if review is not None and not _is_same(review, verdict, text, reviewer):
            raise AlreadyReviewedError(review)
        if review is None:
            review = Review(
                reply_id=reply_id,
                verdict=verdict,
                text=None if verdict is Verdict.rejected else text or reply.text,
                phrasings=_checked_phrasings(verdict, reply, phrasings),
                reason=clean_text(reason)[:500],
                reviewer=reviewer,
                created_at=utc_now(),
            )
            session.add(review)
            detail = {"reply_id": reply_id, "verdict": verdict.value}
            session.add(AuditEntry(who=reviewer, action="review", detail=detail))
            await take_effect(session, conversation, reply, review)
            is_taught = verdict is not Verdict.rejected
            await settle_look(session, reply_id, is_taught=is_taught, is_same=False, who=reviewer)
            struck = await strike_repeated(session, reply, review)
    for changed in (reply_id, *struck):
        await knowledge.learn(changed)
    return review


async def hold_reply(
    session: AsyncSession, reply_id: int
) -> tuple[Conversation, Reply, Review | None]:
    """A reply with its conversation and its review, as they are now, until the commit.

    Raises:
        NoSuchReplyError: there is no such reply.
    """
    reply = await session.get(Reply, reply_id)
    if reply is None:
        raise NoSuchReplyError(f"there is no reply {reply_id}")
    # Always the conversation first, or two who wait for each other's rows wait for ever.
    conversation = await _lock(session, reply.conversation_id)
    await session.refresh(reply, with_for_update=True)  # the outbox claims it now, or never
    held = select(Review).where(Review.reply_id == reply_id).with_for_update()
    return conversation, reply, await session.scalar(held)


async def take_over(database: Database, conversation_id: str, *, who: str) -> Conversation:
    """A person answers here from now on: the bot keeps quiet until it is given back.

    Held drafts stay in the queue until the person has spoken; see `answer_as_person`.

    Raises:
        NoSuchConversationError: there is no such conversation.
    """
    async with database.write() as session:
        conversation = await _lock(session, conversation_id)
        if conversation.taken_over_at is None:
            conversation.taken_over_at, conversation.taken_over_by = utc_now(), who
            conversation.wants_person_at = None
            await _stop_answering(session, conversation_id)
            _log(session, who, "take_over", conversation_id)
        return conversation


async def give_back(database: Database, conversation_id: str, *, who: str) -> Conversation:
    """The bot answers the next message again.

    Raises:
        NoSuchConversationError: there is no such conversation.
    """
    async with database.write() as session:
        conversation = await _lock(session, conversation_id)
        if conversation.taken_over_at is not None:
            conversation.taken_over_at = conversation.taken_over_by = None
            _log(session, who, "give_back", conversation_id)
        return conversation


async def answer_as_person(
    database: Database, conversation_id: str, text: str, *, who: str
) -> Reply:
    """Send what a person wrote; drafts that wait for a verdict are withdrawn.

    It answers the customer's newest turn. The conversation stays the bot's unless `take_over`
    was called.

    Raises:
        NoSuchConversationError: there is no such conversation.
        ReviewError: the text is empty.
    """
    text = clean_text(text).strip()
    if not text:
        raise ReviewError("the reply has no text")
    async with database.write() as session:
        conversation = await _lock(session, conversation_id)
        await _stop_answering(session, conversation_id)
        await _withdraw_held(session, conversation_id)
        reply = Reply(
            conversation_id=conversation_id,
            turn_id=await _newest_question(session, conversation_id),
            text=text,
            status=ReplyStatus.ready,
            way=Way.person,
            reason=f"person: {who}",
        )
        session.add(reply)
        await session.flush()
        await session.run_sync(append_reply_turn, reply)
        conversation.wants_person_at = None
        _log(session, who, "answer_as_person", conversation_id, reply_id=reply.id)
        return reply


def checked_text(verdict: Verdict, text: str | None) -> str | None:
    """The cleaned text of an edit; none with the other verdicts.

    Raises:
        ReviewError: the text does not fit the verdict.
    """
    text = clean_text(text or "").strip() or None
    if verdict is Verdict.edited and text is None:
        raise ReviewError("an edited reply needs its new text")
    if verdict is not Verdict.edited and text is not None:
        raise ReviewError(f"text is for an edited reply, and this one is {verdict}")
    return text


def _checked_phrasings(
    verdict: Verdict, reply: Reply, phrasings: Sequence[str] | None
) -> list[str]:
    if verdict is Verdict.rejected:
        return []
    return cleaned_phrasings(reply.phrasings if phrasings is None else phrasings)


def cleaned_phrasings(given: Sequence[str]) -> list[str]:
    """Without those that say nothing."""
    return list(filter(None, (clean_text(each).strip() for each in given)))


def _is_same(review: Review, verdict: Verdict, text: str | None, reviewer: str) -> bool:
    """A second click, or a repeat after a lost answer."""
    same_text = verdict is not Verdict.edited or review.text == text
    return review.verdict is verdict and review.reviewer == reviewer and same_text


async def _lock(session: AsyncSession, conversation_id: str) -> Conversation:
    conversation = await session.get(Conversation, conversation_id, with_for_update=True)
    if conversation is None:
        raise NoSuchConversationError(f"there is no conversation {conversation_id!r}")
    return conversation


async def _stop_answering(session: AsyncSession, conversation_id: str) -> None:
    """What waits, or is being answered, is the person's now; a claim in progress finds it gone."""
    await session.execute(
        update(Turn)
        .where(
            Turn.conversation_id == conversation_id,
            Turn.state.in_((TurnState.waiting, TurnState.answering)),
        )
        .values(state=TurnState.answered, claimed_by=None, claimed_until=None)
    )


async def _withdraw_held(session: AsyncSession, conversation_id: str) -> None:
    await session.execute(
        update(Reply)
        .where(Reply.conversation_id == conversation_id, Reply.status == ReplyStatus.held)
        .values(status=ReplyStatus.withdrawn, needs_review=False)
    )


async def _newest_question(session: AsyncSession, conversation_id: str) -> int | None:
    newest = (
        select(Turn.id)
        .where(Turn.conversation_id == conversation_id, Turn.role == Role.customer)
        .order_by(Turn.seq.desc())
        .limit(1)
    )
    return await session.scalar(newest)


def _log(session: AsyncSession, who: str, action: str, conversation_id: str, **more: int) -> None:
    detail = {"conversation_id": conversation_id, **more}
    session.add(AuditEntry(who=who, action=action, detail=detail))
