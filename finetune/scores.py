"""Scores: how near an answer comes to the approved reply.

chrF (character n-grams, 0 to 100) sees the words, in Chinese as in English; the cosine of the
embeddings (-1 to 1), which `Knowledge.similarities` gives, sees the meaning.
"""

from functools import cache

from sacrebleu.metrics.chrf import CHRF


def chrf(answer: str, reference: str) -> float:
    """chrF2 of one answer, 0 to 100 (Popović 2015, as sacrebleu computes it)."""
    return float(_metric().sentence_score(answer, [reference]).score)


@cache
def _metric() -> CHRF:
    return CHRF()
