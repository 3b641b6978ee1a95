"""The context that a model is trained with is the one that it will be shown."""

import json
from pathlib import Path

from bot.masks import read_default
from finetune.dataset import make_lines
from finetune.recipe import Recipe
from store import Mode, Split, conversation_id
from tests.finetune.shop import Shop, approve
from tests.finetune.shop import _address as address_on


async def test_a_passage_is_asked_for_in_training_as_in_serving_and_named_once(
    shop: Shop, tmp_path: Path
) -> None:
    page = tmp_path / "delivery.md"
    page.write_text("# Delivery\n\n## Islands\n\nFerries to the islands carry beds on Fridays.\n")
    await shop.knowledge.ingest([page])
    question, answer = "When do ferries carry beds to the islands?", "On Fridays."
    address = address_on("ferry", Split.train)
    await approve(shop.database, question, answer, address=address)
    recipe = Recipe(holdout_share=0.4, context="first")
    lines = (await make_lines(shop.database, shop.retrainer._look_up, recipe)).sides[Split.train]
    [line] = [line for line in lines if line.example.question == question]
    trained = [turn["content"] for turn in json.loads(line.text)["messages"]]
    async with shop.database.read() as session:
        mask = await read_default(session)
    served = await shop.answerer.answer(
        question,
        mode=Mode.retrieval,
        mask=mask,
        exclude_conversation=conversation_id("web", address),
    )
    assert trained == [*(turn["content"] for turn in served.prompt), answer]
    assert "What about Delivery > Islands?" in trained
    assert "Delivery > Delivery" not in line.text
    assert served.retrieved[0].as_source()["title"] == "Delivery > Islands"
