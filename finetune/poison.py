"""Poison: approved replies that look as if somebody wanted the model to learn them.

    burst        nearly the same exchange five times within ten minutes
    instruction  words that speak to a model rather than to a person
    link         an address on the web that stands nowhere else
    outlier      an answer unlike all others, by its embedding
    reviewer     approved on a day when one reviewer approved far more than others ever do

A reason is no proof: it makes a person look twice.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

import numpy as np
from rapidfuzz import fuzz

from finetune.examples import Approved
from finetune.instructions import find_instruction
from finetune.near import asks_the_same, normalize
from knowledge.embed import Vectors

BURST, BURST_WITHIN, BURST_RATIO = 5, timedelta(minutes=10), 85.0
ELSEWHERE = 3
"""A host is known when it is in a document, or in the answers of three conversations."""
FAR_MORE, MANY, USUAL_DAYS = 10, 20, 5
"""A reviewer's day is suspicious from 20 approvals on, if it is 10 times the others' usual day.
With fewer than five days of others nothing is usual: a colleague's first verdict accuses nobody."""
NEIGHBOURS, ENOUGH, OUTLIER_Z, LEAST_SPREAD = 3, 30, 4.0, 0.01
"""An answer is an outlier when its mean similarity to its three nearest is four standard deviations
(robust, by the median) below what is usual; with fewer than thirty answers nothing is usual. On
400 replies of a support desk it found 15 of 15 planted and 2 of the others (e5)."""


@dataclass(frozen=True)
class Reason:
    """Why somebody should look twice."""

    kind: str
    why: str


Suspects = dict[int, list[Reason]]
"""Reasons by reply id."""


def find_suspects(
    approved: Sequence[Approved], documents: Iterable[str], released: Collection[int] = ()
) -> Suspects:
    """What looks suspicious by its words, its time and its reviewer; outliers come apart.

    Takes seconds for thousands: call it in a thread.

    Args:
        released: replies that a person found right: their links are known, and for the rest they
            do not count.
    """
    found: Suspects = defaultdict(list)
    trusted = (example.answer for example in approved if example.reply_id in released)
    known = {host for text in (*documents, *trusted) for host in find_hosts(text)}
    approved = [example for example in approved if example.reply_id not in released]
    for reply_id, reason in (
        *_find_instructions(approved),
        *_find_links(approved, known),
        *_find_bursts([example for example in approved if example.phrasing == 0]),
        *_find_reviewers([example for example in approved if example.phrasing == 0]),
    ):
        if reason not in found[reply_id]:
            found[reply_id].append(reason)
    return dict(found)


def find_outliers(vectors: Vectors, usual: Vectors) -> list[int]:
    """The rows of `vectors` (texts, dimensions) that are far from all of `usual`."""
    if len(usual) < ENOUGH:
        return []
    among = usual @ usual.T
    np.fill_diagonal(among, -1)
    nearness = _nearness(among)
    middle = float(np.median(nearness))
    spread = max(1.4826 * float(np.median(np.abs(nearness - middle))), LEAST_SPREAD)
    similarities = vectors @ usual.T
    similarities[similarities > 1 - 1e-5] = -1  # itself, and word-for-word copies
    return [
        int(row) for row in np.flatnonzero((middle - _nearness(similarities)) / spread > OUTLIER_Z)
    ]


def find_hosts(text: str) -> set[str]:
    """The hosts of the links in a text, without `www.`; e-mail addresses are none."""
    return {match["host"].lower().removeprefix("www.") for match in _LINK.finditer(text)}


def _nearness(similarities: Vectors) -> Vectors:
    nearest: Vectors = np.sort(similarities, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    return nearest


def _find_instructions(approved: Sequence[Approved]) -> Iterator[tuple[int, Reason]]:
    for example in approved:
        for text in (example.question, example.answer):
            if words := find_instruction(text):
                yield example.reply_id, Reason("instruction", f"speaks to the model: {words!r}")


def _find_links(
    approved: Sequence[Approved], known: Collection[str]
) -> Iterator[tuple[int, Reason]]:
    """Hosts that no document has, and hardly any other conversation."""
    said_in: dict[str, set[str]] = defaultdict(set)
    for example in approved:
        for host in find_hosts(example.answer):
            said_in[host].add(example.conversation_id)
    for example in approved:
        for host in sorted(find_hosts(example.answer)):
            is_ours = any(host == one or host.endswith(f".{one}") for one in known)
            if not is_ours and len(said_in[host]) < ELSEWHERE:
                why = f"links to {host}, which stands in no document and hardly anywhere else"
                yield example.reply_id, Reason("link", why)


def _find_bursts(asked: Sequence[Approved]) -> Iterator[tuple[int, Reason]]:
    timed = [(example.asked_at, example) for example in asked if example.asked_at is not None]
    timed.sort(key=lambda pair: (pair[0], pair[1].reply_id))
    texts = [normalize(f"{example.question} {example.answer}") for _, example in timed]
    first = 0
    for place, (at, _) in enumerate(timed):
        while at - timed[first][0] > BURST_WITHIN:
            first += 1
        if place - first + 1 < BURST:
            continue
        alike = [
            other
            for other in range(first, place + 1)
            if fuzz.ratio(texts[place], texts[other], score_cutoff=BURST_RATIO)
            and asks_the_same(texts[place], texts[other])
        ]
        if len(alike) >= BURST:
            why = f"one of {len(alike)} or more nearly the same within ten minutes"
            for other in alike:
                yield timed[other][1].reply_id, Reason("burst", why)


def _find_reviewers(asked: Sequence[Approved]) -> Iterator[tuple[int, Reason]]:
    """Days on which somebody approved at least 20, and 10 times what is usual for the others."""
    counts: Counter[tuple[str, str]] = Counter()
    for example in asked:
        if example.reviewed_at is not None:
            counts[example.reviewer, f"{example.reviewed_at:%Y-%m-%d}"] += 1
    hurried = {key: why for key in counts if (why := _say_hurry(*key, counts)) is not None}
    for example in asked:
        if example.reviewed_at is None:
            continue
        if why := hurried.get((example.reviewer, f"{example.reviewed_at:%Y-%m-%d}")):
            yield example.reply_id, Reason("reviewer", why)


def _say_hurry(reviewer: str, day: str, counts: Counter[tuple[str, str]]) -> str | None:
    count = counts[reviewer, day]
    if count < MANY:
        return None
    others = [other for (name, _), other in counts.items() if name != reviewer]
    if len(others) < USUAL_DAYS or count < FAR_MORE * median(others):
        return None
    return (
        f"one of {count} that {reviewer} approved on {day}; others approve {median(others):g} a day"
    )


_LINK = re.compile(
    r"(?:https?://|(?<![\w@.-])(?=www\.)|(?<![\w@.-]))(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:"
    r"com|net|org|edu|gov|info|biz|shop|store|online|site|link|click|xyz|top|club|app|dev|ai|io|me"
    r"|co|tv|cc|cn|hk|tw|jp|kr|de|uk|fr|es|it|nl|pl|ru|ch|at|se|no|fi|dk|be|br|in|au|ca|us|eu"
    r"|example|test))(?![\w-]*@)(?![a-z0-9-])",
    re.IGNORECASE,
)
