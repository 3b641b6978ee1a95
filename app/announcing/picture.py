"""The loss of a run as a PNG: one line for training, one for validation."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 900, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 50, 50
SCALE = 2
"""Drawn so much larger and made smaller, or the lines would be jagged."""
PAPER, INK, GRID = "white", "#333333", "#dddddd"
COLOURS = {"train_loss": "#2563eb", "valid_loss": "#d97706"}
NAMES = {"train_loss": "training", "valid_loss": "validation"}

Points = Sequence[tuple[float, float]]
"""(step, loss)"""


async def draw_losses(metrics: Sequence[Mapping[str, Any]]) -> bytes | None:
    """The picture of a run's events; none where fewer than two steps were told."""
    lines = {name: _points(metrics, name) for name in COLOURS}
    if len(lines["train_loss"]) < 2:
        return None
    return await asyncio.to_thread(_draw, lines)


def _points(metrics: Sequence[Mapping[str, Any]], name: str) -> Points:
    return [
        (float(each["step"]), float(each[name]))
        for each in metrics
        if isinstance(each.get(name), int | float) and isinstance(each.get("step"), int | float)
    ]


def _draw(lines: Mapping[str, Points]) -> bytes:
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    draw = ImageDraw.Draw(image)
    every = [point for points in lines.values() for point in points]
    last_step = max(step for step, _ in every) or 1.0
    top_loss = max(max(loss for _, loss in every) * 1.05, 0.1)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - loss / top_loss)
        return x * SCALE, y * SCALE

    _draw_grid(draw, last_step, top_loss, place)
    legend = LEFT * SCALE
    for name, points in lines.items():
        if points:
            placed = [place(*point) for point in points]
            draw.line(placed, fill=COLOURS[name], width=3 * SCALE, joint="curve")
            label = f"{NAMES[name]} {points[-1][1]:.3f}"
            draw.text((legend, 16 * SCALE), label, fill=COLOURS[name], font=_font(16))
            legend += int(draw.textlength(label, font=_font(16))) + 30 * SCALE
    out = io.BytesIO()
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


def _draw_grid(draw: ImageDraw.ImageDraw, last_step: float, top_loss: float, place: Any) -> None:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        left, y = place(0, top_loss * share)
        draw.line([(left, y), (place(last_step, 0)[0], y)], fill=GRID, width=SCALE)
        label = f"{top_loss * share:.2g}"
        draw.text((left - 10 * SCALE, y), label, fill=INK, font=_font(13), anchor="rm")
    for step in (0.0, last_step):
        x, y = place(step, 0)
        draw.text((x, y + 10 * SCALE), f"{step:g}", fill=INK, font=_font(13), anchor="mt")
    draw.text(
        ((LEFT + WIDTH - RIGHT) / 2 * SCALE, (HEIGHT - 20) * SCALE),
        "loss by step",
        fill=INK,
        font=_font(13),
        anchor="mm",
    )


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size * SCALE)
