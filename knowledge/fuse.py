"""One ranking out of several, by reciprocal rank."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

RANK_CONSTANT = 10
"""How little the very top counts. Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion" (2009),
took 60 for hundreds of candidates; for thirty 10 found more (see knowledge.retrieve)."""


def fuse(rankings: Iterable[tuple[float, Sequence[int]]]) -> dict[int, float]:
    """The score of each id over weighted rankings, best first: sum of weight / (10 + rank)."""
    scores: dict[int, float] = defaultdict(float)
    for weight, ranking in rankings:
        for rank, chunk_id in enumerate(ranking, start=1):
            scores[chunk_id] += weight / (RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
