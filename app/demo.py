"""The demo: the main job in one terminal, on a data folder of its own.

Ask held-out questions; review the sample replies; freeze, train, evaluate, promote; ask again. The
questions are other wordings of what the sample pairs answer, and some that the shop cannot answer;
none of them is trained on. The table at the end is what came out, whatever it is.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import plotext
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy import func, select

from app.nod import Nod, open_nod
from app.pairs import import_pairs, read_pairs
from app.sample import DOCUMENTS, PAIRS, QUESTIONS
from app.settings import Settings
from app.terminal import CommandError, screen, table
from bot.draft import Draft
from bot.masks import edit_mask, read_default
from bot.review import decide
from finetune.dataset import Recipe
from finetune.evaluate import plan_evaluation
from finetune.promote import live_version
from finetune.retrain import Retrainer, RetrainOptions
from finetune.run import request_run
from finetune.scores import chrf
from store import (
    Dataset,
    EvaluationItem,
    Mode,
    Reply,
    Run,
    RunEvent,
    RunState,
    Turn,
    Verdict,
    Way,
)

CHANNEL = "demo"
REVIEWER = "demo"
QUESTIONS_ASKED, OFF_TOPIC_ASKED = 15, 5
EPOCHS = 2
EVALUATION_ITEMS = 14
MAX_TOKENS = 80
CONCURRENCY = 4
TIMEOUT_S = 300.0
"""No customer waits: on a busy machine a slow answer is better than none."""
BEFORE = (Mode.base, Mode.retrieval, Mode.auto)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One answer to a held-out question; `reference` is none where none exists."""

    question: str
    reference: str | None
    text: str
    way: Way
    chrf: float | None
    similarity: float | None
    total_ms: float
    prompt_tokens: int
    completion_tokens: int


@dataclass
class Report:
    """What the table and the JSON file say."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    review: dict[str, int] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        started_at = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started_at, 1)


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
    questions = _read_questions()
    _say("1", "A shop opens: seven documents, and a model of 135 million parameters")
    with report.clock("open"):
        await _open_shop(nod)
    _say("2", f"Ask {len(questions)} questions that it will never be trained on")
    with report.clock("ask before"):
        before = await _ask_all(nod, questions, BEFORE)
    _say("3", "Review the sample replies: approve, edit, reject")
    with report.clock("review"):
        report.review = await _review(nod)
    _say("4", "Freeze the dataset, train, evaluate, promote if it is better")
    run = await _retrain(nod, report, epochs)
    _say("5", "Ask the same questions again")
    with report.clock("ask after"):
        after = await _ask_all(nod, questions, tuple(Mode))
    report.before = {mode: _summarize(asked) for mode, asked in before.items()}
    report.after = {mode: _summarize(asked) for mode, asked in after.items()}
    report.examples = _examples(before[Mode.auto], after[Mode.auto])
    _show_end(report, run)


async def _open_shop(nod: Nod) -> None:
    with _progress() as progress:
        task = progress.add_task("documents", total=None)
        await nod.wait_for_models()
        async with nod.database.write() as session:
            mask = await read_default(session)
            await edit_mask(session, mask.name, who=REVIEWER, max_tokens=MAX_TOKENS)
        read = await nod.knowledge.ingest([DOCUMENTS])
        progress.update(task, total=len(read.added), completed=len(read.added))
        await import_pairs(nod.database, read_pairs(PAIRS), channel=CHANNEL, source="the demo")


def _read_questions() -> list[dict[str, Any]]:
    """Evenly spread over the facts, then some that have no answer here."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    every = [json.loads(line) for line in lines if line.strip()]
    known = [question for question in every if question["answer"]]
    unknown = [question for question in every if not question["answer"]]
    return _spread(known, QUESTIONS_ASKED) + _spread(unknown, OFF_TOPIC_ASKED)


def _spread(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [rows[n * len(rows) // count] for n in range(min(count, len(rows)))]


async def _ask_all(
    nod: Nod, questions: Sequence[dict[str, Any]], modes: Sequence[Mode]
) -> dict[Mode, list[Asked]]:
    slots = asyncio.Semaphore(CONCURRENCY)
    with _progress() as progress:

        async def ask(mode: Mode, question: dict[str, Any], task: Any) -> Asked:
            async with slots:
                asked = await _ask(nod, mode, question)
            progress.advance(task)
            return asked

        answers = {}
        for mode in modes:
            task = progress.add_task(mode, total=len(questions))
            answers[mode] = await asyncio.gather(*(ask(mode, q, task) for q in questions))
        return answers


async def _ask(nod: Nod, mode: Mode, question: dict[str, Any]) -> Asked:
    async with nod.database.read() as session:
        mask = await read_default(session)
        version = await live_version(session)
    draft = await nod.answerer.answer(
        question["question"], mode=mode, mask=mask, model_version=version
    )
    return await _judge(nod, question, draft)


async def _judge(nod: Nod, question: dict[str, Any], draft: Draft) -> Asked:
    reference = question["answer"]
    similarity = None
    if reference:
        [similarity] = await nod.knowledge.similarities([(draft.text, reference)])
    return Asked(
        question=question["question"],
        reference=reference,
        text=draft.text,
        way=draft.way,
        chrf=chrf(draft.text, reference) if reference else None,
        similarity=similarity,
        total_ms=draft.total_ms or 0.0,
        prompt_tokens=draft.prompt_tokens or 0,
        completion_tokens=draft.completion_tokens or 0,
    )


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
    with _progress() as progress:
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
                phrasings=() if verdict is Verdict.rejected else pair.get("phrasings", ()),
                reviewer=REVIEWER,
            )
            verdicts[verdict] += 1
            progress.advance(task)
    screen.print("  " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    return dict(verdicts)


async def _retrain(nod: Nod, report: Report, epochs: int) -> Run:
    settings = nod.settings
    options = RetrainOptions(
        recipe=Recipe(holdout_share=settings.holdout_share, budget=nod.answerer.options.budget),
        evaluation_items=EVALUATION_ITEMS,
        concurrency=CONCURRENCY,
        poll_s=1.0,
    )
    options = replace(options, gate=replace(options.gate, min_items=settings.gate_min_items))
    retrainer = Retrainer(
        nod.database, nod.knowledge, nod.answerer, nod.trainer, settings.home, options
    )
    run = await request_run(
        nod.database,
        trigger="command",
        requested_by=REVIEWER,
        base_model=settings.base_model,
        hyperparameters={"n_epochs": epochs},
    )
    story = _Story()
    with Live(get_renderable=story.render, console=screen, refresh_per_second=2):
        while run.is_active:
            with _state_clock(report, run.state):
                if not await retrainer.step():
                    await asyncio.sleep(0.5)
                run = await story.follow(nod, run.id, options.evaluation_items)
    if run.state not in (RunState.promoted, RunState.refused):
        raise CommandError(f"the run is {run.state}: {run.error}")
    async with nod.database.read() as session:
        dataset = await session.get_one(Dataset, run.dataset_id)
    report.dataset = {
        "version": dataset.version,
        "sha256": dataset.sha256,
        "train": dataset.train_count,
        "holdout": dataset.holdout_count,
        "report": dataset.report,
    }
    report.run = {
        "state": run.state,
        "trained_tokens": run.trained_tokens,
        "epochs": epochs,
        "losses": story.losses,
        "verdict": run.verdict,
    }
    return run


@contextmanager
def _state_clock(report: Report, state: RunState) -> Iterator[None]:
    started_at = time.perf_counter()
    yield
    spent = report.seconds.get(state, 0.0) + time.perf_counter() - started_at
    report.seconds[state] = round(spent, 1)


class _Story:
    """The run on the screen: its lines, the loss curve, and how far the evaluation is."""

    def __init__(self) -> None:
        self.losses: list[tuple[int, float]] = []
        self._valid: list[tuple[int, float]] = []
        self._lines: list[str] = []
        self._last_id = 0
        self._evaluated: tuple[int, int] | None = None
        self._state = RunState.collecting

    async def follow(self, nod: Nod, run_id: int, items: int) -> Run:
        async with nod.database.read() as session:
            run = await session.get_one(Run, run_id)
            events = await session.scalars(
                select(RunEvent)
                .where(RunEvent.run_id == run_id, RunEvent.id > self._last_id)
                .order_by(RunEvent.id)
            )
            for event in events:
                self._take(event)
            if run.state is RunState.evaluating:
                plan = await plan_evaluation(session, run, items)
                done = select(func.count()).where(EvaluationItem.run_id == run_id)
                self._evaluated = (await session.scalar(done) or 0, plan.total)
            self._state = run.state
        return run

    def _take(self, event: RunEvent) -> None:
        self._last_id = event.id
        step, data = event.data.get("step"), event.data
        if step is not None and "train_loss" in data:
            self.losses.append((int(step), float(data["train_loss"])))
            if data.get("valid_loss") is not None:
                self._valid.append((int(step), float(data["valid_loss"])))
        elif event.provider_id is None:
            self._lines.append(event.message)

    def render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(f"  {line}") for line in self._lines]
        if self.losses:
            parts.append(Text.from_ansi(_plot(self.losses, self._valid)))
        if self._state is RunState.evaluating and self._evaluated:
            done, total = self._evaluated
            parts.append(Text(f"  evaluating: {done} of {total} answers", style="cyan"))
        elif not self._state.is_final:
            parts.append(Text(f"  {self._state} ...", style="cyan"))
        return Group(*parts)


def _plot(losses: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]]) -> str:
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(screen.width - 4, 76), 12)
    plotext.plot(*zip(*losses, strict=True), label=f"train loss {losses[-1][1]:.2f}")
    if valid:
        plotext.plot(*zip(*valid, strict=True), label=f"hold-out loss {valid[-1][1]:.2f}")
    plotext.xlabel("step")
    return str(plotext.build())


def _summarize(asked: Sequence[Asked]) -> dict[str, Any]:
    """Means over the questions that have an answer; of the others, how many are admitted."""
    known = [one for one in asked if one.reference]
    unknown = [one for one in asked if not one.reference]
    return {
        "questions": len(known),
        "chrf": round(fmean(one.chrf or 0.0 for one in known), 1),
        "similarity": round(fmean(one.similarity or 0.0 for one in known), 3),
        "admits_unknown": sum(one.way is Way.unknown for one in unknown),
        "off_topic": len(unknown),
        "median_ms": round(median(one.total_ms for one in asked)),
        "prompt_tokens": round(fmean(one.prompt_tokens for one in asked)),
        "completion_tokens": round(fmean(one.completion_tokens for one in asked)),
        "ways": dict(Counter(one.way.value for one in asked)),
    }


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


def _show_end(report: Report, run: Run) -> None:
    _say("6", "What came of it")
    for example in report.examples[:3]:
        screen.print(f"  [bold]{example['question']}[/]", highlight=False)
        for when in ("before", "after"):
            told = example[when]
            screen.print(f"    [dim]{when}, {told['way']}:[/] {told['text']}", highlight=False)
    screen.print()
    screen.print(_answers_table(report))
    screen.print()
    screen.print(_holdout_table(run))
    screen.print()
    for reason in run.verdict["reasons"]:
        screen.print(f"  {reason}", highlight=False)
    clocks = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.seconds.items())
    screen.print(f"\n  {run.trained_tokens or 0:,} tokens trained; {clocks}", highlight=False)


def _answers_table(report: Report) -> Table:
    shown = table(
        *("mode", "chrF before#", "after#", "similarity before#", "after#", "admits it#"),
        *("ms#", "tokens in#", "out#"),
        title="Questions in new words, before and after (never trained on)",
    )
    for mode in Mode:
        old, new = report.before.get(mode), report.after[mode]
        shown.add_row(
            mode,
            f"{old['chrf']:.1f}" if old else "-",
            f"{new['chrf']:.1f}",
            f"{old['similarity']:.3f}" if old else "-",
            f"{new['similarity']:.3f}",
            f"{new['admits_unknown']} of {new['off_topic']}",
            str(new["median_ms"]),
            str(new["prompt_tokens"]),
            str(new["completion_tokens"]),
        )
    return shown


def _holdout_table(run: Run) -> Table:
    shown = table(
        *("mode", "chrF#", "similarity#", "ms#", "tokens in#", "out#"),
        title="What the gate saw: the hold-out",
    )
    for mode, row in run.verdict["scoreboard"].items():
        shown.add_row(
            "auto of before" if mode == "live auto" else mode,
            f"{row['chrf']:.1f}",
            f"{row['similarity']:.3f}",
            str(row["median_ms"]),
            str(round(row["prompt_tokens"] / row["items"])),
            str(round(row["completion_tokens"] / row["items"])),
        )
    return shown


def _progress() -> Progress:
    return Progress(
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=screen,
    )


def _say(number: str, text: str) -> None:
    screen.print(f"\n[bold green]{number}[/] [bold]{text}[/]", highlight=False)
