"""What tuning brings on a support desk's replies: base, live and candidate on one hold-out.

`NOD_BENCH_SUPPORT` names a folder with chat lines in OpenAI's form, `sft_train.jsonl` and
`sft_valid.jsonl`. The first lines of the one are approved and trained, those of the other are held
out. A first model is trained on few lines and goes live; the candidate on many, and is compared
with it and with the base model, question by question: chrF, similarity, and the interval of the
gate. The base model, the trainer and the embeddings are the real ones.

Only lines with short answers are taken, on both sides: answers are what training and evaluation
spend their time on. Answers are greedy, and lines are taken in the order of the files.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from app.nod import Nod, open_nod
from app.settings import Settings
from bench.rig.needs import NotHereError
from bench.rig.support_desk import (
    Answers,
    Trained,
    approve_all,
    ask_base,
    ask_candidate,
    conclude,
    open_desk,
    pair,
    promote_by_hand,
    train,
)
from bench.rig.support_lines import Desk, read_desk
from finetune.gate import Compared, measure

FOLDER = "NOD_BENCH_SUPPORT"
ANSWER_CHARS = 600
HELD_OUT = 120
FIRST_LINES, ALL_LINES = 50, 400
HYPERPARAMETERS = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 2.0}
"""Of both, so that the lines alone make the difference. The seed is the dataset's."""
MAX_TOKENS = 200
TIMEOUT_S = 600.0
"""No customer waits: on a busy machine a slow answer is better than none."""
MEASURES = {"chrf": "chrF", "similarity": "similarity"}
CONFIDENCE = 0.95


def main() -> dict[str, Any]:
    """Scores of the three, and the two differences with their intervals.

    Raises:
        NotHereError: the lines are not there.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        raise NotHereError(
            f"set {FOLDER} to a folder with sft_train.jsonl and sft_valid.jsonl (OpenAI chat lines)"
        )
    return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> dict[str, Any]:
    started_at = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nod-bench-") as home:
        settings = _own_settings(Path(home))
        desk = read_desk(folder, answer_chars=ANSWER_CHARS, holdout_share=settings.holdout_share)
        async with open_nod(settings, "bench") as nod:
            report = await _play(nod, desk)
    minutes = (time.perf_counter() - started_at) / 60
    report["figures"].append(_figure("the whole bench", minutes, "minutes"))
    return report


def _own_settings(home: Path) -> Settings:
    """A store, an index and a model server of its own, whatever the environment names."""
    return Settings(
        home=home,
        database_url=None,
        chroma_url=None,
        model_base_url=None,
        trainer_base_url=None,
        embedding_base_url=None,
        model_timeout_s=TIMEOUT_S,
    )


async def _play(nod: Nod, desk: Desk) -> dict[str, Any]:
    await open_desk(nod, desk.system_prompt, MAX_TOKENS)
    await approve_all(nod, desk.holdout[:HELD_OUT] + desk.train[:FIRST_LINES])
    first = await train(nod, HYPERPARAMETERS)
    base, live = await ask_base(nod, first.run), await ask_candidate(nod, first.run)
    is_live = (await conclude(nod, pair(base, live))).promote
    if not is_live:  # the gate said no; the next one is compared with it all the same
        await promote_by_hand(nod, first.run)
    await approve_all(nod, desk.train[FIRST_LINES:ALL_LINES])
    second = await train(nod, HYPERPARAMETERS)
    candidate = await ask_candidate(nod, second.run)
    decision = await conclude(nod, pair(live, candidate))
    asked = {"base": base, "live": live, "candidate": candidate}
    return {
        "figures": [
            *(figure for name, answers in asked.items() for figure in _means(name, answers)),
            *_differences("live - base", pair(base, live)),
            *_differences("candidate - base", pair(base, candidate)),
            *_differences("candidate - live", pair(live, candidate)),
            _figure("live, passed the gate", float(is_live), "of 1"),
            _figure("candidate, passed the gate", float(decision.promote), "of 1"),
            *_costs("live", first),
            *_costs("candidate", second),
            _figure("held out", len(candidate), "questions"),
        ],
        "reasons": decision.reasons,
        "datasets": [trained.dataset.report for trained in (first, second)],
        "answers": _specimens(asked),
    }


def _means(name: str, answers: Answers) -> list[dict[str, Any]]:
    return [
        _figure(f"{name}, {said}", fmean(row.scores[key] for row in answers.values()), _UNITS[key])
        for key, said in MEASURES.items()
    ]


def _differences(name: str, compared: list[Compared]) -> list[dict[str, Any]]:
    figures = []
    for key, said in MEASURES.items():
        gain = measure(compared, key, CONFIDENCE)
        assert gain is not None
        ends = {"": gain.mean, ", interval from": gain.low, ", interval to": gain.high}
        figures += [
            _figure(f"{name}, {said}{end}", value, _UNITS[key]) for end, value in ends.items()
        ]
    return figures


def _costs(name: str, trained: Trained) -> list[dict[str, Any]]:
    tokens = float(trained.run.trained_tokens or 0)
    return [
        _figure(f"{name}, trained on", trained.dataset.train_count, "examples"),
        _figure(f"{name}, trained tokens", tokens, "tokens"),
        _figure(f"{name}, dataset and training", trained.minutes, "minutes"),
    ]


def _specimens(asked: Mapping[str, Answers]) -> list[dict[str, str]]:
    """All answers beside each other, for a person to read."""
    return [
        {"question": row.question, "approved": row.reference}
        | {name: answers[key].output for name, answers in asked.items() if key in answers}
        for key, row in asked["candidate"].items()
    ]


def _figure(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio_to": None}


_UNITS = {"chrf": "points", "similarity": "cosine"}
