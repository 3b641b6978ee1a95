"""Drafts that no model wrote."""

from bot.draft import Draft
from bot.inquiry import Inquiry
from bot.phrases import Phrase
from store import Way


def unknown_draft(inquiry: Inquiry, reason: str) -> Draft:
    """An honest "I don't know"."""
    text = Phrase.unknown.like(inquiry.question)
    return fixed_draft(inquiry, text, Way.unknown, reason, is_sure=False)


def fixed_draft(inquiry: Inquiry, text: str, way: Way, reason: str, *, is_sure: bool) -> Draft:
    """A text of ours, with what was retrieved and tried before it came to that."""
    return Draft(
        text=text,
        way=way,
        reason=f"{way}: {reason}",
        is_sure=is_sure,
        mask_id=inquiry.mask.id,
        retrieved=inquiry.context,
        total_ms=inquiry.ms,
        tried=tuple(inquiry.tried),
    )
