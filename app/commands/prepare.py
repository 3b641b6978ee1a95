"""`nod prepare`: files of every kind become something one can train on."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.settings import Settings
from app.terminal import CommandError, run, screen, table

if TYPE_CHECKING:
    from app.preparation.preparation import Wishes
    from app.preparation.review import ReviewWishes

PANEL = "Teach"

Form = Literal["auto", "prompt", "chat"]
Code = Literal["keep", "drop"]
TooLong = Literal["drop", "truncate", "split", "keep"]
Conflicts = Literal["keep", "first", "last", "drop"]
Near = Literal["keep", "drop"]


def prepare(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="Files, or folders with Markdown."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Accept every recommended remedy.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report.")] = False,
    form: Annotated[
        Form, typer.Option(help="prompt: prompt and completion; chat: messages; auto: as it is.")
    ] = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: FILE_prepared.jsonl.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="The kind of task; --list-recipes shows them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose limit and tokenizer count; default: the base model.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=16, help="The longest example, instead of the model's.")
    ] = None,
    too_long: Annotated[
        TooLong | None, typer.Option("--too-long", help="What becomes of longer ones.")
    ] = None,
    conflicts: Annotated[
        Conflicts | None, typer.Option(help="Which of several answers to one prompt stays.")
    ] = None,
    near: Annotated[
        Near | None, typer.Option(help="What becomes of near-duplicates; default: keep.")
    ] = None,
    valid: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.9, help="Share put aside; default: a fifth of classes."),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Of an .xlsx: its name or number.")] = None,
    code: Annotated[Code, typer.Option(help="Blocks of code in Markdown.")] = "keep",
    prompt_column: Annotated[str | None, typer.Option(help="Where it is not told.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Where it is not told.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="o200k_base, cl100k_base, or a tokenizer.json.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=50, help="To reckon the cost with.")] = 3,
    prices: Annotated[
        Path | None, typer.Option(help="A price table; default: prices.toml in the data folder.")
    ] = None,
    complaints: Annotated[
        Path | None, typer.Option(help="Write the rows that were left out here.")
    ] = None,
    to_review: Annotated[
        bool, typer.Option("--to-review", help="Into the review queue, instead of a file.")
    ] = False,
    answerers: Annotated[
        list[str] | None,
        typer.Option("--answerer", help="Of a group chat: whose answers count; again for more."),
    ] = None,
    list_recipes: Annotated[
        bool, typer.Option("--list-recipes", help="Show the recipes, and end.")
    ] = False,
    sample: Annotated[
        str | None, typer.Option(help="Write a recipe's sample file here, and end.")
    ] = None,
    write_prices: Annotated[
        bool, typer.Option("--write-prices", help="Write the price table, to edit it, and end.")
    ] = False,
) -> None:
    """Turn files into training data: look for what is wrong, ask, write FILE_prepared.jsonl.

    Reads CSV, TSV, XLSX, JSON, JSONL, text, folders of Markdown, ShareGPT, Alpaca, OpenAI's chat
    and preference lines, in UTF-8, UTF-16, GB18030 and others. What a file is, is told by what
    stands in it. Rows that cannot be used are named, and the rest goes on.

    Chats exported by Telegram Desktop (result.json) and from WeChat (CSV) become questions with
    their answers, for a person to review: --to-review.

    Examples:

      nod prepare faq.csv                       a question for each remedy
      nod prepare -q faq.csv --form chat        all accepted, for a chat model
      nod prepare --dry-run big.jsonl           only the report, with its costs
      nod prepare --to-review result.json       a chat into the review queue

      nod prepare --sample sentiment            a file to start from
    """
    if list_recipes:
        _show_recipes()
    elif sample is not None:
        run(lambda _settings: _write_sample(sample))
    elif write_prices:
        run(_write_prices)
    elif not paths:
        raise typer.BadParameter("give a file, or --list-recipes", param_hint="FILE...")
    else:
        from app.preparation.preparation import Wishes
        from app.preparation.review import ReviewWishes
        from finetune.prepare.options import ReadOptions

        files = paths
        read = ReadOptions(
            sheet=sheet,
            code=code,
            prompt_column=prompt_column,
            completion_column=completion_column,
            form=form,
            recipe=recipe,
        )
        if to_review:
            asked = ReviewWishes(
                read=read,
                is_quiet=quiet,
                is_dry_run=dry_run,
                output=output,
                answerers=frozenset(answerers or ()),
            )
            run(lambda settings: _put_to_review(settings, files, asked))
            return
        wishes = Wishes(
            read=read,
            is_quiet=quiet,
            is_dry_run=dry_run,
            output=output,
            model=model,
            max_tokens=max_tokens,
            tokenizer=tokenizer,
            given={"too-long": too_long, "conflicts": conflicts, "near": near},
            valid=valid,
            epochs=epochs,
            prices=prices,
            complaints=complaints,
        )
        run(lambda settings: _prepare(settings, files, wishes))


async def _prepare(settings: Settings, paths: list[Path], wishes: "Wishes") -> None:
    from app.preparation.preparation import prepare_files

    await prepare_files(settings, paths, wishes)


async def _put_to_review(settings: Settings, paths: list[Path], wishes: "ReviewWishes") -> None:
    from app.preparation.review import put_to_review

    await put_to_review(settings, paths, wishes)


def _show_recipes() -> None:
    from finetune.prepare.recipes import RECIPES

    shown = table("Recipe", "To", "A row has", "An example is")
    for each in RECIPES.values():
        shown.add_row(each.name, each.task, each.columns, each.example)
    screen.print(shown)
    screen.print("`nod prepare --sample NAME` writes a file to start from.")


async def _write_sample(name: str) -> None:
    from finetune.prepare.recipes import find_recipe

    recipe = find_recipe(name)
    target = Path(recipe.sample)
    if target.exists():
        raise CommandError(f"{target} is there already; it is not overwritten")
    shutil.copyfile(recipe.sample_path, target)
    screen.print(
        f"Wrote {target}. Put your rows into it, then: nod prepare --recipe {name} {target}",
        highlight=False,
    )


async def _write_prices(settings: Settings) -> None:
    from app.home import prepare_home
    from finetune.prepare.prices import SHIPPED

    prepare_home(settings.home)
    target = settings.home / SHIPPED.name
    if target.exists():
        raise CommandError(f"{target} is there already; it is not overwritten")
    shutil.copyfile(SHIPPED, target)
    screen.print(f"Wrote {target}: `nod prepare` reckons with it from now on.", highlight=False)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(prepare)
