"""The survey: the first pass over all examples, kept as numbers instead of texts.

An example costs some sixty bytes here, whatever its length: two hashes of 64 bits (Python's own,
keyed by chance in each process), its length, its row, a few flags, and its signature for
near-duplicates. At a million examples the chance that two different ones share their hashes is
one in a trillion times a million.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from finetune.prepare.affix import ENDINGS, SEPARATORS, Affix
from finetune.prepare.batch import Batch
from finetune.prepare.codes import lengths_of
from finetune.prepare.letters import count_letters
from finetune.prepare.near import HASHES, Signatures

MAX_CHARS = 10_000
"""From here an example is long, as the old tool had it."""

Mask = npt.NDArray[np.bool_]


class Flag(IntFlag):
    """What is known of one example."""

    empty = 1  # nothing, or only blanks, in the completion
    prompt_is_blank = 2


@dataclass(frozen=True, kw_only=True)
class Letters:
    """Capitals and small letters of one column, an example each; no more than 65,535."""

    capitals: npt.NDArray[np.uint16]
    small: npt.NDArray[np.uint16]


@dataclass(kw_only=True)
class Affixes:
    """Of prompts and completions that are not empty."""

    prompt: Affix = field(default_factory=lambda: Affix(marks=(*SEPARATORS, "\n")))
    completion: Affix = field(default_factory=lambda: Affix(marks=ENDINGS))

    def add(self, prompts: Sequence[str], completions: Sequence[str]) -> None:
        self.prompt.add(prompts)
        self.completion.add(completions)


@dataclass(frozen=True, kw_only=True)
class FilePart:
    """Which examples came from which file."""

    name: str
    first: int
    place: str
    """How to name a row: `line {}`, `row {}`."""


class Survey:
    """Filled by `add`, and then read through the arrays that `finish` makes."""

    def __init__(self) -> None:
        self.parts: list[FilePart] = []
        self.short, self.long = Affixes(), Affixes()
        """Long examples are apart, because they may be dropped."""
        self._prompts, self._completions = array("q"), array("q")
        self._chars, self._numbers = array("I"), array("I")
        self._flags, self._letters = array("B"), array("H")
        self.signatures: Signatures = np.zeros((0, HASHES), dtype=np.uint16)
        """Made elsewhere, because it takes long: see `signing`."""

    def begin_file(self, name: str, place: str) -> None:
        self.parts.append(FilePart(name=name, first=len(self._numbers), place=place))

    def add(self, batch: Batch) -> None:
        """The next examples."""
        if not len(batch):
            return
        prompts, completions = batch.prompts, batch.completions
        self._prompts.extend(map(hash, prompts))
        self._completions.extend(map(hash, completions))
        chars = [len(p) + len(c) for p, c in zip(prompts, completions, strict=True)]
        self._chars.extend(chars)
        self._numbers.extend(batch.numbers)
        self._flags.frombytes(_flags(prompts, completions).tobytes())
        letters = np.stack([*count_letters(prompts), *count_letters(completions)], axis=1)
        self._letters.frombytes(np.minimum(letters, 0xFFFF).astype(np.uint16).tobytes())
        self._add_affixes(prompts, completions, chars)

    def finish(self) -> None:
        """Make arrays of what was added."""
        self.prompt_hashes = np.frombuffer(self._prompts, dtype=np.int64)
        self.completion_hashes = np.frombuffer(self._completions, dtype=np.int64)
        self.chars = np.frombuffer(self._chars, dtype=np.uint32)
        self.flags = np.frombuffer(self._flags, dtype=np.uint8)
        letters = np.frombuffer(self._letters, dtype=np.uint16).reshape(-1, 4)
        self.prompt_letters = Letters(capitals=letters[:, 0], small=letters[:, 1])
        self.completion_letters = Letters(capitals=letters[:, 2], small=letters[:, 3])

    def forget(self) -> None:
        """What only decisions need: the second pass needs the memory for a tokenizer."""
        del self.prompt_hashes, self.completion_hashes, self.signatures, self.chars, self.flags
        del self.prompt_letters, self.completion_letters
        self._prompts, self._completions, self._chars = array("q"), array("q"), array("I")
        self._flags, self._letters = array("B"), array("H")

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """One hash for prompt and completion together."""
        mixed: npt.NDArray[np.int64] = self.prompt_hashes * np.int64(0x9E3779B97F4A7C1)
        return mixed + self.completion_hashes

    def has(self, flag: Flag) -> Mask:
        mask: Mask = (self.flags & flag) != 0
        return mask

    def place_of(self, row: int) -> str:
        """Where an example stands: `tickets.csv, line 17`."""
        part = next(part for part in reversed(self.parts) if part.first <= row)
        where = part.place.format(self._numbers[row])
        return f"{part.name}, {where}" if len(self.parts) > 1 else where

    def _add_affixes(
        self, prompts: Sequence[str], completions: Sequence[str], chars: Sequence[int]
    ) -> None:
        """Empty completions are left out in any case, and so say nothing."""
        if max(chars) <= MAX_CHARS and all(map(str.strip, completions)):
            self.short.add(prompts, completions)
            return
        for affixes, is_long in ((self.short, False), (self.long, True)):
            chosen = [
                (prompt, completion)
                for prompt, completion, count in zip(prompts, completions, chars, strict=True)
                if (count > MAX_CHARS) is is_long and completion.strip()
            ]
            affixes.add([prompt for prompt, _ in chosen], [answer for _, answer in chosen])


def _flags(prompts: Sequence[str], completions: Sequence[str]) -> npt.NDArray[np.uint8]:
    flags = np.zeros(len(prompts), dtype=np.uint8)
    flags |= _blank(completions) * np.uint8(Flag.empty)
    flags |= _blank(prompts) * np.uint8(Flag.prompt_is_blank)
    return flags


def _blank(texts: Sequence[str]) -> Mask:
    spaces = np.fromiter(map(str.isspace, texts), dtype=np.bool_, count=len(texts))
    blank: Mask = spaces | (lengths_of(texts) == 0)
    return blank
