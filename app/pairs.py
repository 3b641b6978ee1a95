"""Question-and-answer pairs from a file into the review queue: nobody's word is taken for granted.

    JSONL  {"question": "...", "answer": "...", "phrasings": ["..."], "id": "...", "draft": "...",
            "history": [{"role": "customer", "text": "..."}, {"role": "person", "text": "..."}]}
    CSV    columns question and answer; id is optional

Each pair becomes a conversation of its own whose address follows from the pair, so that the same
file imported twice, or again after a crash, adds nothing.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from charset_normalizer import from_bytes
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.inbox import MAX_TEXT_CHARS
from store import (
    Conversation,
    Database,
    Reply,
    ReplyStatus,
    Role,
    Turn,
    TurnState,
    Way,
    conversation_id,
)
from store.text import clean_values

MAX_BYTES = 64 << 20
BATCH = 200
"""Pairs in one transaction: other writers of SQLite get their turn in between."""


class PairError(ValueError):
    """A file of pairs cannot be read; the message names the file, the line and the key."""


class Said(BaseModel):
    """A turn before the question."""

    role: Literal["customer", "person"]
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class Pair(BaseModel):
    """A customer's question, and what the shop answers."""

    model_config = ConfigDict(str_strip_whitespace=True)

    question: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    answer: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    phrasings: list[str] = []
    """Other ways to ask the same."""
    draft: str | None = None
    """What a bot said instead, for a person to put right."""
    id: str | None = Field(default=None, max_length=200)
    history: list[Said] = []
    """What was said before, oldest first."""
    note: str = ""
    """How it came about, for the reviewer; empty: from which file."""

    @property
    def address(self) -> str:
        """The same pair has the same address for ever, and so the same side of the hold-out."""
        same = self.id or hashlib.sha256(f"{self.question}\0{self.answer}".encode()).hexdigest()
        return same[:255]


def read_pairs(path: Path) -> list[Pair]:
    """All pairs of a file, or none.

    Raises:
        PairError: the file, or a line of it, is not what it should be.
    """
    text = _decode(path)
    rows = _read_csv(path, text) if path.suffix.lower() == ".csv" else _read_jsonl(path, text)
    pairs = [_check(path, line, row) for line, row in rows]
    if not pairs:
        raise PairError(f"{path} has no pairs; a line looks like {_SPECIMEN}")
    return pairs


async def import_pairs(
    database: Database, pairs: Sequence[Pair], *, channel: str, source: str
) -> int:
    """Put pairs into the review queue, and return how many were new."""
    added = 0
    for start in range(0, len(pairs), BATCH):
        async with database.write() as session:
            for pair in pairs[start : start + BATCH]:
                added += await _import(session, pair, channel, source)
    return added


async def _import(session: AsyncSession, pair: Pair, channel: str, source: str) -> bool:
    key = conversation_id(channel, pair.address)
    if await session.get(Conversation, key) is not None:
        return False
    turns = _as_turns(key, pair)
    session.add(Conversation(id=key, channel=channel, address=pair.address, last_seq=len(turns)))
    await session.flush()
    session.add_all(turns)
    await session.flush()
    session.add(_as_reply(pair, turns[-1], source))
    return True


def _as_turns(key: str, pair: Pair) -> list[Turn]:
    """What came before, and the question."""
    said = [*pair.history, Said(role="customer", text=pair.question)]
    return [
        Turn(
            conversation_id=key,
            seq=seq,
            role=Role(each.role),
            text=each.text,
            state=TurnState.answered,
        )
        for seq, each in enumerate(said, start=1)
    ]


def _as_reply(pair: Pair, turn: Turn, source: str) -> Reply:
    text = pair.draft or pair.answer
    return Reply(
        conversation_id=turn.conversation_id,
        turn_id=turn.id,
        draft=text,
        text=text,
        status=ReplyStatus.imported,
        needs_review=True,
        way=Way.person,
        reason=(pair.note or f"imported from {source}")[:500],
        phrasings=pair.phrasings,
    )


_SPECIMEN = '{"question": "Do you deliver?", "answer": "Yes, within three days."}'


def _decode(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PairError(f"{path} is larger than {MAX_BYTES >> 20} MB; split it")
        raw = path.read_bytes()
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        guess = from_bytes(raw, cp_isolation=["gb18030", "big5", "utf_16", "cp1252"]).best()
    if guess is None:
        raise PairError(f"{path} is not text in a known encoding; save it as UTF-8")
    return str(guess)


def _read_jsonl(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise PairError(
                f"{path}, line {number}: not JSON ({error}); a line looks like {_SPECIMEN}"
            ) from None


def _read_csv(path: Path, text: str) -> Iterable[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
    missing = {"question", "answer"} - set(columns)
    if missing:
        raise PairError(
            f"{path} has no column {' and no column '.join(sorted(missing))}; "
            f"its first line names {', '.join(columns) or 'nothing'}"
        )
    try:
        for row in reader:
            kept = {key: row[name] for key, name in columns.items() if key in Pair.model_fields}
            yield reader.line_num, {key: value for key, value in kept.items() if value}
    except csv.Error as error:
        raise PairError(f"{path}, line {reader.line_num}: {error}") from None


def _check(path: Path, line: int, row: Any) -> Pair:
    try:
        return Pair.model_validate(clean_values(row))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, problem["loc"])) or "the line"
        raise PairError(f"{path}, line {line}: {key}: {problem['msg']}") from None
