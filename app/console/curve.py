"""The loss curve as an SVG drawing: one path for training, one for validation."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
SMOOTH = 0.8
"""Weight of the past in the smoothed line; single batches jump."""

Points = Sequence[tuple[float, float]]


def draw_curve(train: Points, valid: Points, *, label: str) -> str:
    """The drawing of (step, loss) points. `label` says for screen readers what it shows."""
    every = [*train, *valid]
    last_step = max((step for step, _ in every), default=1.0) or 1.0
    top_loss = _round_up(max((loss for _, loss in every), default=1.0))

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(loss, top_loss) / top_loss)
        return round(x, 1), round(y, 1)

    lines = [_grid(top_loss, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
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


def _grid(top_loss: float, share: float) -> str:
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)
    return (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{top_loss * share:.2g}</text>'
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


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, ... halves: a scale that people read easily."""
    step = 0.5 if value <= 5 else 1.0 if value <= 10 else 5.0
    return max(step, step * -(-value // step))
