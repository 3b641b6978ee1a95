"""Recipes for questions: answering from a text, and telling right answers from wrong ones."""

from typing import Any

from finetune.prepare.conversation import RowError
from finetune.prepare.recipes.recipe import Cells, Recipe, cell, each, optional

_QUESTION = ("question", "prompt", "问题")
_CONTEXT = ("context", "passage", "document", "资料")


def _answer(cells: Cells, as_chat: bool) -> list[dict[str, Any]]:
    context, question = optional(cells, *_CONTEXT), cell(cells, *_QUESTION)
    answer = cell(cells, "answer", "completion", "答案")
    if as_chat:
        asked = f"{context}\n\n{question}" if context else question
        return [{"prompt": asked, "completion": answer}]
    before = f"{context}\n" if context else ""
    return [{"prompt": f"{before}Question: {question}\nAnswer:", "completion": f" {answer}"}]


def _judge(cells: Cells, as_chat: bool) -> list[dict[str, Any]]:
    context, question = optional(cells, *_CONTEXT), cell(cells, *_QUESTION)
    right = cell(cells, "right", "chosen", "correct", "正确")
    wrong = [
        line.strip()
        for name in ("wrong", "rejected", "incorrect", "错误", "wrong 2", "wrong 3")
        for line in optional(cells, name).split("\n")
        if line.strip()
    ]
    if not wrong:
        raise RowError("has no wrong answer; put one a line into the column wrong")
    asked = f"{context}\n\n{question}" if context else question
    if as_chat:
        return [{"prompt": asked, "chosen": right, "rejected": other} for other in wrong]
    return [
        {
            "prompt": f"{asked}\nAnswer: {answer}\nIs the answer right?",
            "completion": " yes" if answer == right else " no",
        }
        for answer in (right, *wrong)
    ]


QUESTION_ANSWERING = Recipe(
    name="question-answering",
    task="answer a question, from a text where the row has one",
    columns="question, answer; context if you like",
    example="CONTEXT / Question: ... / Answer: -> the answer",
    sample="question-answering.csv",
    conversion=each(_answer),
)
NEGATIVE = Recipe(
    name="negative",
    task="prefer right answers to wrong ones (--form chat), or judge them with yes and no",
    columns="question, right, wrong (one a line); context if you like",
    example="question with chosen and rejected; or `Is the answer right?` -> yes, no",
    sample="negative.csv",
    conversion=each(_judge),
)
