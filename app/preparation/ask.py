"""Questions: one a remedy, with a look at what it would do."""

from collections.abc import Mapping

import typer
from rich.markup import escape

from app.terminal import CommandError, asking, screen
from finetune.prepare.plan import Ask
from finetune.prepare.reading import Reading
from finetune.prepare.remedies import Effect, Remedy

SHOWN = 3
_WIDTH = 100


def asker(reading: Reading, given: Mapping[str, str | None], *, is_quiet: bool) -> Ask:
    """What answers a remedy: an option of the command, `-q`, or the person.

    Args:
        given: answers by the name of the remedy; None where there is none.
    """

    def ask(remedy: Remedy) -> str:
        answer = given.get(remedy.name)
        if answer is None:
            answer = remedy.recommended if is_quiet else _ask_person(remedy, reading)
        elif answer not in remedy.ways:
            ways = ", ".join(remedy.ways)
            raise CommandError(f"--{remedy.name} {answer} does not go here; there are {ways}")
        return answer

    return ask


def _ask_person(remedy: Remedy, reading: Reading) -> str:
    is_plain = set(remedy.ways) == {"yes", "no"}
    mark = "[green]Recommended[/]" if is_plain else "[yellow]Your choice[/]"
    screen.print(f"\n{mark} [bold]{escape(remedy.title)}[/]", highlight=False)
    screen.print(f"  {escape(remedy.why)}", style="dim", highlight=False)
    _preview(remedy, reading)
    with asking("nothing is written. -q accepts all remedies"):
        if is_plain:
            return "yes" if typer.confirm("  Do it?", default=True) else "no"
        return _choose(remedy)


def _choose(remedy: Remedy) -> str:
    ways = list(remedy.ways)
    while True:
        said: str = typer.prompt(f"  {' / '.join(ways)}", default=remedy.recommended)
        found = [way for way in ways if way.startswith(said.strip().lower())]
        if len(found) == 1:
            return found[0]
        screen.print(f"  Type one of {', '.join(ways)}.")


def _preview(remedy: Remedy, reading: Reading) -> None:
    """Rows that would go, or texts before and after."""
    effect = next(iter(remedy.ways.values()))
    if effect.change is not None:
        _show_change(effect, reading)
        return
    places = remedy.rows[: SHOWN * 2]
    for place, (prompt, completion) in zip(places, reading.spill.pick(places), strict=False):
        where = reading.survey.place_of(place)
        screen.print(
            f"    [dim]{escape(where)}:[/] {_short(prompt)} [dim]->[/] {_short(completion)}",
            highlight=False,
        )


def _show_change(effect: Effect, reading: Reading) -> None:
    assert effect.change is not None
    for prompt, completion in reading.spill.pick(range(min(SHOWN, len(reading.survey)))):
        before = prompt if effect.column == "prompt" else completion
        [after] = effect.change([before])
        screen.print(f"    {_short(before)} [dim]=>[/] [green]{_short(after)}[/]", highlight=False)


def _short(text: str) -> str:
    """One line, with the ends that matter."""
    line = text.replace("\n", "\\n")
    if len(line) > _WIDTH:
        line = f"{line[: _WIDTH // 2]} … {line[-_WIDTH // 3 :]}"
    return escape(f"'{line}'")
