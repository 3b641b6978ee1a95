"""Was anything relevant found? The cosine decides, by a threshold fitted for the embedding model.

The cosines of E5 lie close together (0.75 to 0.95) and differ by what is compared and in which
script, so that there are four thresholds. Fitted on questions of the right kind against others
(`python -m bench retrieval` prints what they keep and let in): of 200 English questions on 150
topics 93 % are kept, and of 100 near misses 23 % let in; questions far off the topic, English or
Chinese, are let in rarely. The area under the curve was 0.95 for the cosine, 0.86 for the coverage,
and 0.82 to 0.89 for the distance from the other candidates; sums of them were no better.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge.retrieved import Retrieved
from store import ChunkKind

ENOUGH_COVERAGE = 0.6
"""So much of a query's rare words in one chunk is relevant whatever the cosine."""
ENOUGH_COVERAGE_ALONE = 0.35
"""Without a cosine, or for a model that has no thresholds here: keeps 76 %, lets in 21 %."""

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Cosines from which a chunk is relevant."""

    passage: float
    pair: float
    cjk_passage: float
    cjk_pair: float


THRESHOLDS = {
    "multilingual-e5-small": Thresholds(passage=0.84, pair=0.86, cjk_passage=0.865, cjk_pair=0.885),
}
"""By the last part of the model's name."""


def is_relevant(retrieved: Sequence[Retrieved], embedding_model: str) -> bool:
    """Whether any of what was retrieved is about what was asked."""
    thresholds = THRESHOLDS.get(embedding_model.lower().rsplit("/", 1)[-1])
    return any(_is_relevant(chunk, thresholds) for chunk in retrieved)


def _is_relevant(chunk: Retrieved, thresholds: Thresholds | None) -> bool:
    if thresholds is None or chunk.similarity is None:
        return chunk.coverage >= ENOUGH_COVERAGE_ALONE
    return chunk.similarity >= _least(chunk, thresholds) or chunk.coverage >= ENOUGH_COVERAGE


def _least(chunk: Retrieved, thresholds: Thresholds) -> float:
    is_cjk = _CJK.search(chunk.question or chunk.text) is not None
    if chunk.kind == ChunkKind.pair:
        return thresholds.cjk_pair if is_cjk else thresholds.pair
    return thresholds.cjk_passage if is_cjk else thresholds.passage
