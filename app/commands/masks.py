"""`nod masks`: what the model is told first, and how it is asked."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.settings import Settings
from app.terminal import CommandError, run, screen, table, whoami

masks = typer.Typer(help="Masks: what the model is told first, and how it is asked.")

Name = Annotated[str, typer.Argument(help="The mask's name.")]


@masks.callback(invoke_without_command=True)
def _list_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        run(_list)


@masks.command("list")
def list_() -> None:
    """Show the masks, the default first."""
    run(_list)


@masks.command()
def show(name: Name) -> None:
    """Show a mask in full.

    Example: nod masks show default
    """
    run(lambda settings: _show(settings, name))


@masks.command()
def edit(
    name: Name,
    prompt: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="A text file that holds the system prompt.")
    ] = None,
    few_shot: Annotated[
        Path | None,
        typer.Option(help="Exchanges to show first: a file of pairs, as for `nod import`."),
    ] = None,
    no_few_shot: Annotated[
        bool, typer.Option("--no-few-shot", help="Show no exchanges first.")
    ] = False,
    temperature: Annotated[float | None, typer.Option(help="0 to 2.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="The longest answer, 1 to 4096 tokens.")
    ] = None,
) -> None:
    """Change a mask, or make a new one of this name; the next message follows.

    System prompt and exchanges together may take NOD_MASK_TOKENS of each prompt (default 600).

    Examples:

      nod masks edit default --prompt-file our-voice.txt

      nod masks edit night --prompt "Be brief." --few-shot examples.jsonl
    """
    given = {"temperature": temperature, "max_tokens": max_tokens}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if no_few_shot:
        changes["few_shot"] = []
    run(lambda settings: _edit(settings, name, changes, prompt, prompt_file, few_shot))


@masks.command()
def default(name: Name) -> None:
    """Make a mask the default: every conversation follows with its next message.

    Example: nod masks default night
    """
    run(lambda settings: _make_default(settings, name))


@masks.command()
def remove(name: Name) -> None:
    """Forget a mask that is not the default.

    Example: nod masks remove night
    """
    run(lambda settings: _remove(settings, name))


async def _list(settings: Settings) -> None:
    from app.nod import open_store
    from bot.masks import count_mask_tokens, ensure_default, list_masks

    shown = table("Name", "", "Temperature#", "Answer#", "Exchanges#", "Tokens#", "System prompt")
    async with open_store(settings) as database:
        await ensure_default(database)
        async with database.read() as session:
            for mask in await list_masks(session):
                shown.add_row(
                    escape(mask.name),
                    "[green]default[/]" if mask.is_default else "",
                    f"{mask.temperature:g}",
                    str(mask.max_tokens),
                    str(len(mask.few_shot) // 2),
                    str(count_mask_tokens(mask.system_prompt, mask.few_shot)),
                    escape(mask.system_prompt[:60]),
                )
    screen.print(shown)


async def _show(settings: Settings, name: str) -> None:
    from app.nod import open_store
    from bot.masks import ensure_default, find_mask

    async with open_store(settings) as database:
        await ensure_default(database)
        async with database.read() as session:
            mask = await find_mask(session, name)
    screen.print(f"[dim]system[/]     {escape(mask.system_prompt)}", highlight=False)
    for turn in mask.few_shot:
        screen.print(f"[dim]{turn['role']:9}[/]  {escape(turn['content'])}", highlight=False)
    screen.print(f"temperature {mask.temperature:g}, at most {mask.max_tokens} tokens")


async def _edit(
    settings: Settings,
    name: str,
    changes: dict[str, Any],
    prompt: str | None,
    prompt_file: Path | None,
    few_shot: Path | None,
) -> None:
    from app.nod import open_store
    from bot.masks import edit_mask, ensure_default

    if prompt is not None or prompt_file is not None:
        changes["system_prompt"] = prompt if prompt is not None else _read(prompt_file)
    if few_shot is not None:
        changes["few_shot"] = _read_exchanges(few_shot)
    if not changes:
        raise CommandError("nothing to change: give --prompt, --few-shot, --temperature...")
    async with open_store(settings) as database:
        await ensure_default(database)
        async with database.write() as session:
            within = settings.mask_tokens
            await edit_mask(session, name, who=whoami(), within_tokens=within, **changes)
    screen.print(f"{name}: {', '.join(changes)} changed", highlight=False, markup=False)


def _read(path: Path | None) -> str:
    assert path is not None
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is no UTF-8 text: save it as UTF-8, or use --prompt") from None


def _read_exchanges(path: Path) -> list[dict[str, str]]:
    from app.pairs import read_pairs

    return [
        {"role": role, "content": text}
        for pair in read_pairs(path)
        for role, text in (("user", pair.question), ("assistant", pair.answer))
    ]


async def _make_default(settings: Settings, name: str) -> None:
    from app.nod import open_store
    from bot.masks import set_default

    async with open_store(settings) as database, database.write() as session:
        await set_default(session, name, who=whoami())
    screen.print(f"default: {name}", highlight=False, markup=False)


async def _remove(settings: Settings, name: str) -> None:
    from app.nod import open_store
    from bot.masks import remove_mask

    async with open_store(settings) as database, database.write() as session:
        await remove_mask(session, name, who=whoami())
    screen.print(f"{name} is gone", highlight=False, markup=False)


def add_to(app: typer.Typer) -> None:
    app.add_typer(masks, name="masks", rich_help_panel="Operate")
