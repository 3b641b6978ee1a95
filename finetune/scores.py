"""Scores: how near an answer comes to the approved reply, each by itself and where it applies.

chrf        0 to 100   the words, in Chinese as in English
similarity  -1 to 1    the meaning: cosine of the embeddings
facts       0 to 1     exact facts kept: numbers and names; none where there are none
refusal     0 or 1     refuses exactly where the approved reply does, or has no answer
length      0 to 1     the shorter one's share of the longer one
language    0 or 1     is written in the script of the approved reply
mean_logprob, agreement: how sure the model was; see bot.sureness
"""

import unicodedata
from collections import Counter
from functools import cache
from typing import Any

from sacrebleu.metrics.chrf import CHRF

from bot.draft import Draft
from finetune.facts import keep_facts
from finetune.refusal import is_refusal
from store import Way

MEASURES = ("chrf", "similarity", "facts", "refusal", "length", "language")


def score_answer(
    draft: Draft, question: str, reference: str, similarity: float | None
) -> dict[str, Any]:
    """All scores of one answer; without a reference a refusal is what is right.

    `similarity` is none where the answer is the reference, word for word.
    """
    refuses = draft.way is Way.unknown or is_refusal(draft.text)
    signs = {"mean_logprob": draft.mean_logprob, "agreement": draft.agreement}
    if not reference:
        return {**signs, "refusal": float(refuses), "language": _same_script(draft.text, question)}
    return {
        **signs,
        "chrf": chrf(draft.text, reference),
        "similarity": 1.0 if similarity is None else similarity,
        "facts": keep_facts(draft.text, reference, question),
        "refusal": float(refuses == is_refusal(reference)),
        "length": _length(draft.text, reference),
        "language": _same_script(draft.text, reference),
    }


def chrf(answer: str, reference: str) -> float:
    """chrF2 of one answer, 0 to 100 (Popović 2015, as sacrebleu computes it)."""
    return float(_metric().sentence_score(answer, [reference]).score)


def main_script(text: str) -> str | None:
    """The script that most letters of a text are of, such as LATIN or CJK; none without letters."""
    scripts = Counter(unicodedata.name(sign, "?").split()[0] for sign in text if sign.isalpha())
    return scripts.most_common(1)[0][0] if scripts else None


def _same_script(text: str, other: str) -> float:
    mine, wanted = main_script(text), main_script(other)
    return float(mine is None or wanted is None or mine == wanted)


def _length(answer: str, reference: str) -> float:
    shorter, longer = sorted((len(answer.strip()), len(reference.strip())))
    return shorter / longer if longer else 1.0


@cache
def _metric() -> CHRF:
    return CHRF()
