"""Recipes for labels: sentiment, classes, and what can be extracted from a text."""

from typing import Any

from finetune.prepare.conversation import RowError
from finetune.prepare.recipes.recipe import Cells, Recipe, cell, each, optional

_TEXT = ("text", "review", "message", "prompt", "sentence", "内容", "评论")
_SENTIMENTS = {
    "positive": "positive", "pos": "positive", "good": "positive", "1": "positive",
    "好评": "positive", "正面": "positive", "+": "positive",
    "negative": "negative", "neg": "negative", "bad": "negative", "0": "negative",
    "-1": "negative", "差评": "negative", "负面": "negative", "-": "negative",
    "neutral": "neutral", "neu": "neutral", "中评": "neutral", "中性": "neutral",
}  # fmt: skip


def _sentiment(cells: Cells, _as_chat: bool) -> list[dict[str, Any]]:
    said = cell(cells, "sentiment", "label", "completion", "情感")
    sentiment = _SENTIMENTS.get(said.casefold())
    if sentiment is None:
        raise RowError(f"has the sentiment {said!r}; known are positive, negative, neutral")
    return [{"prompt": cell(cells, *_TEXT), "completion": sentiment}]


def _class(cells: Cells, _as_chat: bool) -> list[dict[str, Any]]:
    label = cell(cells, "class", "label", "category", "intent", "completion", "分类", "类别")
    return [{"prompt": cell(cells, *_TEXT), "completion": label}]


def _extract(cells: Cells, _as_chat: bool) -> list[dict[str, Any]]:
    """All other columns are what is to be found; one without a value is not in the text."""
    text = cell(cells, *_TEXT)
    named = [
        f"{name}: {' / '.join(optional(cells, name).split(chr(10)))}"
        for name in cells
        if name not in _TEXT and name != "id" and optional(cells, name)
    ]
    if len(cells) < 2:
        raise RowError("has only the text; each other column is something to find in it")
    return [{"prompt": text, "completion": "\n".join(named) or "none"}]


SENTIMENT = Recipe(
    name="sentiment",
    task="tell how somebody feels",
    columns="text, sentiment (positive, negative, neutral)",
    example="the text -> positive",
    sample="sentiment.csv",
    conversion=each(_sentiment),
)
CLASSIFICATION = Recipe(
    name="classification",
    task="sort texts into classes",
    columns="text, class",
    example="the text -> refund",
    sample="classification.csv",
    conversion=each(_class),
)
EXTRACTION = Recipe(
    name="extraction",
    task="find names, dates, numbers in a text",
    columns="text, and a column for each thing to find",
    example="the text -> `product: ...`, `order: ...`, one a line",
    sample="extraction.csv",
    conversion=each(_extract),
)
