"""Splits blocks into passages: at headings, then between blocks, then between sentences.

Passages are short, because a small model on a CPU reads some 300 tokens a second and the customer
waits for the first word meanwhile.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from knowledge.block import Block, BlockKind
from store import ChunkKind

BUDGET = 150.0
"""The size of a passage at most, in words; see `size_of`."""
CJK_WORDS = 0.6
"""A Chinese character in words: 250 of them are a full passage."""
LETTERS_A_WORD = 10
"""Text without spaces (links, keys) counts as one word for so many letters at least."""
MAX_HEADING = 500

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WORD = re.compile(r"\w+")
_CLOSING = "\"'”’」』）)\\]"
_SPLITS = [
    # After a sentence: in Latin script only before a space and no small letter (`e.g. this`).
    re.compile(
        rf"(?<=[。！？!?；…])(?![{_CLOSING}。！？!?…])|(?<=[.!?])[{_CLOSING}]*\s+(?=[^a-z])"
    ),
    re.compile(r"\n"),
    re.compile(r"(?<=[，、：])|(?<=[,;:])\s"),
    re.compile(r"\s+"),
]


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk to be: a passage, or a question and its answer."""

    text: str
    heading: str = ""
    question: str | None = None

    @property
    def kind(self) -> ChunkKind:
        return ChunkKind.pair if self.question else ChunkKind.passage


def split_blocks(blocks: Iterable[Block]) -> Iterator[Piece]:
    """The passages of a document in order, none above the budget and no text lost."""
    for heading, section in groupby(blocks, key=lambda block: block.heading):
        parts = [part for block in section for part in split_block(block)]
        for text in _pack(parts, "\n\n"):
            if text.strip():
                yield Piece(text.strip("\n"), heading[:MAX_HEADING])


def split_block(block: Block) -> list[str]:
    """A block whole when it fits the budget, else in parts that do."""
    if size_of(block.text) <= BUDGET:
        return [block.text]
    if block.kind == BlockKind.prose:
        return [part.strip() for part in _split_text(block.text, _SPLITS)]
    first, *rest = block.text.split("\n")
    if block.kind == BlockKind.table and 0 < size_of(first) <= BUDGET / 3:
        room = BUDGET - size_of(first)
        rows = [part for row in rest for part in _split_text(row, _SPLITS, room)]
        return [f"{first}\n{part}" for part in _pack(rows, "\n", room)]
    return _pack([part for line in [first, *rest] for part in _split_text(line, _SPLITS)], "\n")


def size_of(text: str) -> float:
    """The length of a text in words, of whatever script; never less for a part than its share."""
    characters = len(_CJK.findall(text))
    words = len(_WORD.findall(_CJK.sub(" ", text)))
    return max(words + characters * CJK_WORDS, len(text) / LETTERS_A_WORD)


def _split_text(text: str, splits: list[re.Pattern[str]], budget: float = BUDGET) -> list[str]:
    """Parts within the budget, split as coarsely as that allows; joined they are the text."""
    if size_of(text) <= budget:
        return [text]
    if not splits:
        step = int(budget)  # one word a letter is the densest that a text can be
        return [text[start : start + step] for start in range(0, len(text), step)]
    ends = [match.end() for match in splits[0].finditer(text)]
    slices = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if a < b]
    return _pack([p for s in slices for p in _split_text(s, splits[1:], budget)], "", budget)


def _pack(parts: Iterable[str], glue: str, budget: float = BUDGET) -> list[str]:
    """Neighbours put together for as long as they fit."""
    packed: list[str] = []
    room = 0.0
    for part in parts:
        size = size_of(part) + len(glue) / LETTERS_A_WORD
        if packed and size <= room:
            packed[-1] += glue + part
        else:
            packed.append(part)
            room = budget
        room -= size
    return packed
