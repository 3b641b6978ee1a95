"""A reply as Telegram messages: plain text with entities, cut where it hurts least.

Entities instead of MarkdownV2: there is nothing to escape, and nothing that can fail to parse.
Offsets and limits are in UTF-16 code units (https://core.telegram.org/bots/api#messageentity).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from telegram import MessageEntity
from telegramify_markdown import convert
from telegramify_markdown.entity import MessageEntity as Span

MAX_UNITS = 4096
"""Of one message (https://core.telegram.org/bots/api#sendmessage)."""

Part = tuple[str, list[MessageEntity]]


def as_parts(markdown: str, *, limit: int = MAX_UNITS) -> list[Part]:
    """The messages for a reply, in their order; at least one where it has any text."""
    text, spans = convert(markdown)
    return [_as_part(*piece) for piece in split_text(text, spans, limit)]


def split_text(
    text: str, spans: Sequence[Span], limit: int = MAX_UNITS
) -> Iterator[tuple[str, list[Span]]]:
    """Pieces of at most `limit` units: at a line's end, else at a blank, and in no entity.

    Only an entity that is longer than a message itself is cut, and goes on in the next piece.
    Blank space between two pieces is dropped.
    """
    units = text.encode("utf-16-le")
    end_of_text = len(units) // 2
    start = 0
    while start < end_of_text:
        end = end_of_text if end_of_text - start <= limit else _cut(units, spans, start, limit)
        yield from _piece(units, spans, start, end)
        start = end


def _cut(units: bytes, spans: Sequence[Span], start: int, limit: int) -> int:
    """Where the piece that begins at `start` ends."""
    whole = [
        end
        for end in range(start + limit, start, -1)
        if not any(span.offset < end < span.offset + span.length for span in spans)
    ]
    for is_good in (_ends_line, _ends_word, _ends_character):
        if cut := next((end for end in whole if is_good(units, end)), None):
            return cut
    return start + limit - (not _ends_character(units, start + limit))


def _ends_line(units: bytes, end: int) -> bool:
    return units[2 * end - 2 : 2 * end] == "\n".encode("utf-16-le")


def _ends_word(units: bytes, end: int) -> bool:
    return units[2 * end - 2 : 2 * end] == " ".encode("utf-16-le")


def _ends_character(units: bytes, end: int) -> bool:
    """Whether it is not in the middle of a surrogate pair."""
    return not 0xDC00 <= int.from_bytes(units[2 * end : 2 * end + 2], "little") <= 0xDFFF


def _piece(
    units: bytes, spans: Sequence[Span], start: int, end: int
) -> Iterator[tuple[str, list[Span]]]:
    """The text from `start` to `end` without blank space around it; nothing if it is all blank."""
    raw = units[2 * start : 2 * end].decode("utf-16-le")
    text = raw.strip()
    if not text:
        return
    first = start + len(raw) - len(raw.lstrip())  # blanks are one unit each
    last = first + len(text.encode("utf-16-le")) // 2
    inside = [
        replace(
            span,
            offset=max(span.offset, first) - first,
            length=min(span.offset + span.length, last) - max(span.offset, first),
        )
        for span in spans
        if span.offset < last and span.offset + span.length > first
    ]
    yield text, inside


def _as_part(text: str, spans: Sequence[Span]) -> Part:
    entities = [
        MessageEntity(span.type, span.offset, span.length, url=span.url, language=span.language)
        for span in spans
    ]
    return text, entities
