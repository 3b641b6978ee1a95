"""Near-duplicates: how well finetune.near tells the same question from another one.

Copies of questions are made by a courtesy, a word more or less, a typing error and another order;
what is found between questions as people wrote them is right where both have the same intent. It
needs `en_banking77` in the folder that `NOD_BENCH_DATA` names. Two minutes on a busy core.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.near import asks_the_same, find_near, plainly, similarity

DATA = os.environ.get("NOD_BENCH_DATA")
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)
SAMPLE = 400


def main() -> dict[str, Any]:
    folder = Path(DATA or "") / "en_banking77"
    if not DATA or not folder.is_dir():
        print("skipped: NOD_BENCH_DATA does not name the folder of the test sets")
        return {"figures": []}
    train, held_out = (_read(folder / name) for name in ("corpus.jsonl", "queries.jsonl"))
    copies = _copy([row["text"] for row in held_out])
    figures: list[dict[str, Any]] = []
    for least in THRESHOLDS:
        near = list(find_near([row["text"] for row in train], [r["text"] for r in held_out], least))
        same = sum(train[place]["intent"] == held_out[other]["intent"] for place, other in near)
        found = sum(_is_near(text, copy, least) for text, copy in copies)
        for name, value in (
            ("train questions struck", len(near) / len(train)),
            ("of these with the same intent", same / len(near)),
            ("copies found", found / len(copies)),
        ):
            figures.append(
                {
                    "name": f"{name}, from {least:.2f}",
                    "value": round(value, 3),
                    "unit": "share",
                    "ratio_to": None,
                }
            )
    return {"figures": figures}


def _is_near(text: str, copy: str, least: float) -> bool:
    one, other = plainly(text), plainly(copy)
    return similarity(one, other) >= least and asks_the_same(one, other)


def _copy(texts: list[str]) -> list[tuple[str, str]]:
    chance = random.Random(7)
    sample = chance.sample(texts, SAMPLE)
    return [(text, copy) for text in sample for copy in _copies(text, chance)]


def _copies(text: str, chance: random.Random) -> Iterator[str]:
    words = text.split()
    yield f"Hi, {text} Please, thank you!"
    yield f"{text} today"
    place = chance.randrange(len(words))
    word = words[place]
    if len(word) > 3:
        at = chance.randrange(1, len(word) - 2)
        typo = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        yield " ".join([*words[:place], typo, *words[place + 1 :]])
    if len(words) > 4:
        yield " ".join(words[:place] + words[place + 1 :])
        half = len(words) // 2
        yield " ".join(words[half:] + words[:half])


def _read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
