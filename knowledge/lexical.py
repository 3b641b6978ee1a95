"""The lexical index: BM25 in memory over chunks that come and go.

An approved pair has to be found at once, so that adding a chunk must not rebuild the index; the
published libraries build once and for all. Scores are those of Robertson and Zaragoza, "The
Probabilistic Relevance Framework: BM25 and Beyond" (2009), with Lucene's idf, which is never
negative.
"""

import threading
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge.words import same_words_key, words_of

K1 = 1.2
B = 0.75
MAX_QUERY_CHARACTERS = 2000
_COUNT_BITS = 8  # a posting is one uint32: 24 bits say where, 8 bits how often
_MAX_COUNT = (1 << _COUNT_BITS) - 1


@dataclass(frozen=True, slots=True)
class LexicalHit:
    """A chunk that shares words with a query."""

    chunk_id: int
    score: float
    coverage: float
    """Share of the query's words, each weighed by its rarity, that the chunk has: 0 to 1."""


class LexicalIndex:
    """Chunks by their words, and pairs by their very question. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._postings: dict[str, array[int]] = defaultdict(lambda: array("I"))
        self._slots: dict[int, int] = {}  # chunk id -> slot
        self._ids = array("q")  # slot -> chunk id
        self._lengths = array("I")  # slot -> words; 0 once removed
        self._words = 0
        self._sum_of_ids = 0
        self._asked: dict[str, set[int]] = defaultdict(set)
        self._questions: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, chunk_id: int) -> bool:
        return chunk_id in self._slots

    @property
    def ids(self) -> set[int]:
        return set(self._slots)

    @property
    def sum_of_ids(self) -> int:
        """With the number of chunks, a cheap sign of whether two sets of them are the same."""
        return self._sum_of_ids

    def add(self, chunk_id: int, text: str, question: str | None = None) -> None:
        """Make a chunk findable; one that is known already stays as it is."""
        words = words_of(f"{question}\n{text}" if question else text)
        with self._lock:
            if chunk_id in self._slots:
                return
            slot = self._slots[chunk_id] = len(self._ids)
            self._ids.append(chunk_id)
            self._lengths.append(max(len(words), 1))
            self._words += self._lengths[slot]
            self._sum_of_ids += chunk_id
            for word, count in Counter(words).items():
                self._postings[word].append(slot << _COUNT_BITS | min(count, _MAX_COUNT))
            if question:
                key = self._questions[chunk_id] = same_words_key(question)
                self._asked[key].add(chunk_id)

    def remove(self, chunk_id: int) -> None:
        with self._lock:
            slot = self._slots.pop(chunk_id, None)
            if slot is None:
                return
            self._words -= self._lengths[slot]
            self._sum_of_ids -= chunk_id
            self._lengths[slot] = 0
            if (key := self._questions.pop(chunk_id, None)) is not None:
                self._asked[key].discard(chunk_id)
                if not self._asked[key]:
                    del self._asked[key]
            if len(self._ids) > 2 * len(self._slots) + 1000:
                self._compact()

    def search(self, query: str, limit: int) -> list[LexicalHit]:
        """The chunks that share the most telling words with the query, best first."""
        counts = Counter(words_of(query[:MAX_QUERY_CHARACTERS]))
        with self._lock:
            if not self._slots or not counts:
                return []
            scores, found, wanted = self._score(counts)
            ids = np.array(self._ids)
        best = np.argpartition(-scores, min(limit, len(scores) - 1))[:limit]
        best = best[np.lexsort((ids[best], -scores[best]))]
        return [
            LexicalHit(int(ids[slot]), float(scores[slot]), float(found[slot] / wanted))
            for slot in best
            if scores[slot] > 0
        ]

    def asked(self, question: str) -> list[int]:
        """The pairs whose question has these very words, the newest first."""
        with self._lock:
            return sorted(self._asked.get(same_words_key(question), ()), reverse=True)

    def _score(
        self, counts: Counter[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """By slot: the score, and the summed idf of the words it has; and that sum for them all."""
        lengths = np.array(self._lengths, dtype=np.float32)
        weight = K1 * (1 - B + B * lengths / (self._words / len(self._slots)))
        scores = np.zeros(len(lengths), dtype=np.float32)
        found = np.zeros_like(scores)
        wanted = 0.0
        for word, asked in counts.items():
            packed = np.array(self._postings.get(word, ()), dtype=np.uint32)
            slots = packed >> _COUNT_BITS
            packed, slots = packed[lengths[slots] > 0], slots[lengths[slots] > 0]
            idf = np.log1p((len(self._slots) - len(slots) + 0.5) / (len(slots) + 0.5))
            count = (packed & _MAX_COUNT).astype(np.float32)
            scores[slots] += asked * idf * count * (K1 + 1) / (count + weight[slots])
            found[slots] += idf
            wanted += float(idf)
        return scores, found, wanted

    def _compact(self) -> None:
        """Give back the slots of chunks that were removed."""
        old_lengths = np.array(self._lengths, dtype=np.uint32)
        moved = np.cumsum(old_lengths > 0, dtype=np.uint32) - 1
        for word in list(self._postings):
            packed = np.array(self._postings[word], dtype=np.uint32)
            slots = packed >> _COUNT_BITS
            kept = old_lengths[slots] > 0
            packed = moved[slots[kept]] << _COUNT_BITS | packed[kept] & _MAX_COUNT
            if len(packed):
                self._postings[word] = array("I", packed.tobytes())
            else:
                del self._postings[word]
        self._ids = array("q", np.array(self._ids)[old_lengths > 0].tobytes())
        self._lengths = array("I", old_lengths[old_lengths > 0].tobytes())
        self._slots = {chunk_id: slot for slot, chunk_id in enumerate(self._ids)}
