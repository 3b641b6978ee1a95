"""Token numbers where texts are usual: as input of embeddings, and as prompts."""

from pathlib import Path
from typing import Any

import bpe_openai
import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.modelserver.training_jobs import BASE, Connect
from tests.modelserver_process import running_modelserver

EMBEDDING = "multilingual-e5-small"
TEXTS = ["query: Where is my order?", "passage: 床垫 300 欧元"]


def number(text: str) -> list[int]:
    """As LangChain and others do it for a model that they do not know."""
    return list(bpe_openai.get_encoding("cl100k_base").encode(text))


async def test_numbers_of_openais_tokenizer_are_embedded_as_their_texts(
    client: AsyncOpenAI,
) -> None:
    texts = await client.embeddings.create(model=EMBEDDING, input=TEXTS)
    numbers = await client.embeddings.create(model=EMBEDDING, input=list(map(number, TEXTS)))
    assert [one.embedding for one in numbers.data] == [one.embedding for one in texts.data]
    assert numbers.usage == texts.usage
    alone = await client.embeddings.create(model=EMBEDDING, input=number(TEXTS[1]))
    assert [one.embedding for one in alone.data] == [texts.data[1].embedding]


async def test_a_number_that_stands_for_nothing_is_refused(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match=r"input\[1\].*send texts"):
        await client.embeddings.create(model=EMBEDDING, input=[[1, 2], [5, 100_300]])
    for wrong in (-1, 2**70):
        with pytest.raises(BadRequestError) as refused:
            await client.embeddings.create(model=EMBEDDING, input=[[1, 2], [wrong]])
        assert (refused.value.param or "").startswith("input")


async def test_a_prompt_may_be_numbers_of_the_model_that_is_asked(client: AsyncOpenAI) -> None:
    one = await client.completions.create(model=BASE, prompt=[7, 8])
    assert [choice.text for choice in one.choices] == [" 7 8"]
    two = await client.completions.create(model=BASE, prompt=[[7, 8], [9]])
    assert [choice.text for choice in two.choices] == [" 7 8", " 9"]
    assert two.usage is not None
    assert two.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[7], []]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [7], "echo": True}, "echo"),
    ],
)
async def test_a_prompt_of_nothing_or_that_cannot_be_shown_is_refused(
    client: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.completions.create(model=BASE, **change)
    assert (refused.value.param or "").startswith(param)


async def test_who_asks_by_an_alias_has_another_models_numbers(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path, "--alias", f"babbage-002={BASE}") as server:
        with pytest.raises(BadRequestError, match="babbage-002 stands for") as refused:
            await connect(server.url).completions.create(model="babbage-002", prompt=[7])
        assert refused.value.param == "prompt"
