"""Reconsider: a verdict is changed later, or taken back, and everything follows.

What the customer has got already stays with the customer: then the change is about what is learnt.
Frozen datasets stay as they are; the next one is made by the new verdict.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete

from bot.effect import (
    describe,
    log_change,
    original_text,
    put_back,
    restore_repeated,
    settle_look,
    strike_repeated,
    take_effect,
)
from bot.review import ReviewChangedError, checked_text, cleaned_phrasings, hold_reply
from knowledge import Knowledge
from store import Database, Reply, Review, Verdict, utc_now
from store.text import clean_text


async def change_verdict(
    database: Database,
    knowledge: Knowledge,
    reply_id: int,
    verdict: Verdict,
    *,
    seen: Review,
    text: str | None = None,
    reason: str = "",
    phrasings: Sequence[str] | None = None,
    reviewer: str,
) -> Review:
    """Put a verdict in the place of another; the same one again changes nothing.

    It is as if the old one had been taken back and the new one given: a reply that was rejected
    while it was held goes out after all, if the customer still waits.

    Args:
        seen: the review as it was shown to who changes it.
        text: the reply as it should be; needed for `edited`. `approved` is what the bot wrote.
        phrasings: other ways to ask the same; none given: those there are.

    Raises:
        NoSuchReplyError: there is no such reply.
        ReviewChangedError: the review is not what was seen any more.
        ReviewError: the text does not fit the verdict.
    """
    text = checked_text(verdict, text)
    async with database.write() as session:
        conversation, reply, review = await hold_reply(session, reply_id)
        if review is None:
            raise ReviewChangedError(None)
        known = review.phrasings or reply.phrasings
        fresh = {
            "verdict": verdict,
            "text": None if verdict is Verdict.rejected else text or original_text(reply),
            "phrasings": known if phrasings is None else cleaned_phrasings(phrasings),
            "reason": clean_text(reason)[:500],
            "reviewer": reviewer,
        }
        if fresh == _stamp(review, fresh):
            return review
        _refuse_other(review, seen)
        before, words = describe(review), _stamp(review, _WORDS)
        restored = await restore_repeated(session, reply, review, who=reviewer)
        await put_back(session, conversation, reply, review)
        for key, value in (fresh | {"created_at": utc_now()}).items():
            setattr(review, key, value)
        await take_effect(session, conversation, reply, review)
        struck = await strike_repeated(session, reply, review)
        await settle_look(
            session,
            reply_id,
            is_taught=verdict is not Verdict.rejected,
            is_same=words == _stamp(review, _WORDS),
            who=reviewer,
        )
        log_change(session, reviewer, reply_id, before, describe(review))
    for changed in {reply_id, *restored, *struck}:
        await knowledge.learn(changed)
    return review


async def take_back(
    database: Database, knowledge: Knowledge, reply_id: int, *, seen: Review, who: str
) -> Reply:
    """Take a verdict back: the reply waits for one again; done twice, it is done once.

    A reply that was held, and of which the customer has nothing, is held again; so is one whose
    rejection has stopped it, as long as the customer waits for an answer.

    Args:
        seen: the review as it was shown to who takes it back.

    Raises:
        NoSuchReplyError: there is no such reply.
        ReviewChangedError: the review is not what was seen any more.
    """
    restored: list[int] = []
    async with database.write() as session:
        conversation, reply, review = await hold_reply(session, reply_id)
        if review is not None:
            _refuse_other(review, seen)
            restored = await restore_repeated(session, reply, review, who=who)
            await put_back(session, conversation, reply, review)
            await settle_look(session, reply_id, is_taught=False, is_same=False, who=who)
            log_change(session, who, reply_id, describe(review), describe(None))
            await session.execute(delete(Review).where(Review.id == review.id))
            reply.needs_review = True
    for changed in (reply_id, *restored):
        await knowledge.learn(changed)
    return reply


_WORDS = ("text", "phrasings")
_SEEN = ("verdict", "text", "reviewer", "created_at")
"""Not the tags: they say nothing of whether the reply is right."""


def _refuse_other(review: Review, seen: Review) -> None:
    if _stamp(review, _SEEN) != _stamp(seen, _SEEN):
        raise ReviewChangedError(review)


def _stamp(review: Review, keys: Collection[str]) -> dict[str, Any]:
    return {key: getattr(review, key) for key in keys}
