"""The loss curve as an SVG drawing: one path for training, one for validation."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
MOST_TICKS = 5
SMOOTH = 0.8
"""Weight of the past in the smoothed line; single batches jump."""

Points = Sequence[tuple[float, float]]


def draw_curve(train: Points, valid: Points, *, label: str, until: float = 0) -> str:
    """The drawing of (step, loss) points. `label` says for screen readers what it shows.

    The steps reach to `until` where that is beyond the last point.
    """
    every = [*train, *valid]
    last_step = max([until, *(step for step, _ in every)]) or 1.0
    ticks = _ticks(max((loss for _, loss in every), default=1.0))
    top_loss = ticks[-1]

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(loss, top_loss) / top_loss)
        return round(x, 1), round(y, 1)

    lines = [_grid(place(0, loss)[1], loss) for loss in ticks]
    lines.append(_path("raw", [place(*point) for point in train]))
    lines.append(_path("train", [place(*point) for point in _smooth(train)]))
    lines.append(_path("valid", [place(*point) for point in valid]))
    lines += [f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in (place(*each) for each in valid)]
    lines.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{last_step:.0f}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">0</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        + "".join(lines)
        + "</svg>"
    )


def _grid(y: float, loss: float) -> str:
    return (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{loss:g}</text>'
    )


def _path(kind: str, points: Points) -> str:
    if not points:
        return ""
    return f'<path class="{kind}" d="M{" L".join(f"{x},{y}" for x, y in points)}"/>'


def _smooth(points: Points) -> list[tuple[float, float]]:
    smoothed: list[tuple[float, float]] = []
    for step, loss in points:
        before = smoothed[-1][1] if smoothed else loss
        smoothed.append((step, SMOOTH * before + (1 - SMOOTH) * loss))
    return smoothed


def _ticks(most: float) -> list[float]:
    """From 0 to at least `most`, at most five apart, by 1, 2 or 5 of a power of ten."""
    power = 10.0 ** floor(log10(max(most, 0.01)))
    steps = (power * share for share in (0.1, 0.2, 0.5, 1, 2, 5))
    step = next(step for step in steps if most / step <= MOST_TICKS)
    return [round(step * place, 6) for place in range(max(1, ceil(most / step)) + 1)]
