"""The tally: what the prepared examples come to, counted while they are written."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from finetune.prepare.batch import Batch
from finetune.prepare.conversation import text_of
from finetune.prepare.language import tell_language
from finetune.prepare.shorten import MESSAGE_TOKENS
from finetune.prepare.tokens import Tokenizer

EXACT = 50_000
"""Up to so many examples every token is counted."""
SAMPLE = 20_000
"""Of more, those of a random sample this large: the total is known to half a percent and better."""
LANGUAGES = 2_000
"""Examples whose language is looked at."""


@dataclass(kw_only=True)
class Tally:
    """Counts tokens by role, and keeps the sizes of the examples for a histogram."""

    tokenizer: Tokenizer
    expected: int
    """Examples to come, about: decides how many are counted."""
    examples: int = 0
    counted: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    """By role."""
    tokens_counted: Counter[str] = field(default_factory=Counter)
    """By role, in the examples that were counted."""
    sizes: list[int] = field(default_factory=list)
    """Tokens of each example that was counted."""
    languages: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = 1.0 if self.expected <= EXACT else SAMPLE / self.expected
        self._random = np.random.default_rng(0)

    def add(self, batch: Batch) -> None:
        """The next examples, as they are written."""
        self.examples += len(batch)
        if self._chance == 1:
            places: list[int] = list(range(len(batch)))
        else:
            chosen = self._random.random(len(batch)) < self._chance
            places = np.flatnonzero(chosen).tolist()
        for place in places:
            self._count(batch, place)
        if batch.lines is None:
            self.turns["prompt"] += len(batch)
            self.turns["completion"] += len(batch)

    @property
    def is_exact(self) -> bool:
        return self.counted == self.examples

    @property
    def tokens(self) -> dict[str, int]:
        """By role, of all examples: counted, or reckoned from the sample."""
        factor = self.examples / self.counted if self.counted else 0
        return {role: round(count * factor) for role, count in self.tokens_counted.items()}

    @property
    def total(self) -> int:
        return sum(self.tokens.values())

    @property
    def error_share(self) -> float:
        """The half-width of the 95 % interval of `total`, as a share of it; 0 when exact."""
        if self.is_exact or not self.counted or not sum(self.sizes):
            return 0.0
        sizes = np.array(self.sizes, dtype=np.float64)
        return float(1.96 * sizes.std() / np.sqrt(len(sizes)) / sizes.mean())

    def _count(self, batch: Batch, place: int) -> None:
        self.counted += 1
        count = self.tokenizer.count
        prompt, completion = batch.prompts[place], batch.completions[place]
        if self.counted <= LANGUAGES:
            self.languages[tell_language(f"{prompt} {completion}")] += 1
        if batch.lines is None:
            said = {"prompt": count(prompt), "completion": count(completion)}
        else:
            said = self._count_line(batch.lines[place])
        self.tokens_counted.update(said)
        self.sizes.append(sum(said.values()))

    def _count_line(self, line: dict[str, list[dict[str, object]]]) -> Counter[str]:
        said: Counter[str] = Counter()
        parts = {"messages": line.get("messages", [])}
        if "input" in line:
            given: dict[str, list[dict[str, object]]] = line["input"]  # type: ignore[assignment]
            parts = {
                "messages": given["messages"],
                "chosen": line["preferred_output"],
                "rejected": line["non_preferred_output"],
            }
        for part, messages in parts.items():
            for message in messages:
                role = str(message["role"]) if part == "messages" else part
                said[role] += self.tokenizer.count(text_of(message))
                said["markup"] += MESSAGE_TOKENS
                self.turns[role] += 1
        return said
