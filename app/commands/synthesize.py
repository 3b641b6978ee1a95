"""`nod synthesize`: the model writes pairs, and people review them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.settings import Settings
from app.terminal import FAILED, CommandError, run, screen, table

if TYPE_CHECKING:
    from app.nod import Nod
    from finetune.synthesize import Synthesis

PANEL = "Teach"
CHANNEL = "synthetic"
SHOWN = 5


def synthesize(
    topic: Annotated[str, typer.Option(help="What the questions are about.")],
    aspects: Annotated[
        list[str] | None, typer.Option(help="Parts of the topic, by commas; or again for each.")
    ] = None,
    count: Annotated[int, typer.Option("--n", "-n", min=1, max=1000, help="Pairs.")] = 15,
    model: Annotated[str | None, typer.Option(help="Who writes; default: the base model.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2)] = 0.8,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Into a file of pairs, not the queue.")
    ] = None,
) -> None:
    """Have the model write questions with answers, and put them before the reviewers.

    They are marked as synthetic: the model invents, so read every answer. What has not the right
    form, or asks what is there already, is dropped. A small local model writes few good ones;
    name a larger one with NOD_MODEL_BASE_URL and --model.

    Example:

      nod synthesize --topic mattresses --aspects "delivery, returns" --n 15
    """
    names = [name.strip() for given in aspects or () for name in given.split(",")]
    run(lambda settings: _synthesize(settings, topic, names, count, model, temperature, output))


async def _synthesize(
    settings: Settings,
    topic: str,
    aspects: list[str],
    count: int,
    model: str | None,
    temperature: float,
    output: Path | None,
) -> None:
    from app.nod import open_nod

    if not topic.strip():
        raise CommandError("--topic is empty; say what the questions are about")
    async with open_nod(settings, "synthesize") as nod:
        with screen.status("Waiting for the model server..."):
            await nod.wait_for_models()
        writer = model or settings.base_model
        made = await _write_pairs(nod, writer, topic, aspects, count, temperature)
        _tell(made)
        if made.pairs:
            await _keep(nod, made, writer, topic, output)
    if not made.pairs:
        raise CommandError(f"{writer} wrote no usable pair. {made.last_error or _ADVICE}")
    if len(made.pairs) < count:
        screen.print(f"[yellow]{len(made.pairs)} of {count}.[/] {made.last_error or _ADVICE}")
        raise typer.Exit(FAILED)


_ADVICE = "Small models seldom keep to a form: name a larger one with --model."


async def _write_pairs(
    nod: "Nod", model: str, topic: str, aspects: list[str], count: int, temperature: float
) -> "Synthesis":
    from bot.completion import complete
    from bot.prompt import Chat
    from finetune.synthesize import MAX_TOKENS, synthesize
    from store import Mask

    mask = Mask(name="synthesize", system_prompt="", temperature=temperature, max_tokens=MAX_TOKENS)

    async def write(prompt: Chat) -> str:
        timeout_s = nod.settings.model_timeout_s * 3  # it writes much more than an answer
        completion = await complete(nod.models, model, prompt, mask, timeout_s=timeout_s)
        return completion.text

    with Progress(
        TextColumn("writing"), BarColumn(), MofNCompleteColumn(), console=screen, transient=True
    ) as bar:
        task = bar.add_task("", total=count)
        return await synthesize(
            write,
            topic=topic,
            aspects=aspects,
            count=count,
            known=await _known_questions(nod),
            on_pair=lambda done: bar.update(task, completed=done),
        )


async def _known_questions(nod: "Nod") -> list[str]:
    """What was synthesized before."""
    from sqlalchemy import select

    from store import Conversation, Turn

    query = (
        select(Turn.text)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .where(Conversation.channel == CHANNEL)
        .order_by(Turn.id.desc())
        .limit(2000)
    )
    async with nod.database.read() as session:
        return list(await session.scalars(query))


async def _keep(nod: "Nod", made: "Synthesis", model: str, topic: str, output: Path | None) -> None:
    from app.pairs import Pair, import_pairs

    pairs = [
        Pair(
            question=each.question,
            answer=each.answer,
            note=f"synthetic: written by {model} about {topic}, {each.aspect}",
        )
        for each in made.pairs
    ]
    if output is not None:
        lines = (json.dumps(pair.model_dump(exclude_defaults=True), ensure_ascii=False)
                 for pair in pairs)  # fmt: skip
        output.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        screen.print(f"Wrote {len(pairs)} pairs to {output}", highlight=False)
        return
    added = await import_pairs(nod.database, pairs, channel=CHANNEL, source=model)
    waits = "1 pair waits" if added == 1 else f"{added} pairs wait"
    screen.print(f"{waits} for review, marked as synthetic: read every answer.")


def _tell(made: "Synthesis") -> None:
    coverage = table("Aspect", "Pairs#")
    for aspect, number in made.by_aspect.items():
        style = None if number else "yellow"
        coverage.add_row(escape(aspect), str(number), style=style)
    screen.print(coverage)
    screen.print(
        f"{made.requests} requests; dropped: {made.malformed} without the right form, "
        f"{made.duplicates} duplicates."
    )
    for pair in made.pairs[:SHOWN]:
        screen.print(f"  [bold]{escape(pair.question)}[/]", highlight=False)
        screen.print(f"  [green]{escape(pair.answer)}[/]", highlight=False)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(synthesize)
