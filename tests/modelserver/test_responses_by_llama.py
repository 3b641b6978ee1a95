"""/v1/responses by the official client, answered by a real model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.modelserver.training_jobs import BASE, Connect
from tests.modelserver_process import ModelServer, running_modelserver

pytestmark = pytest.mark.model
pytest.importorskip("xllamacpp")

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Lima"]}},
        "required": ["city"],
    },
    "strict": True,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("responses")
    with running_modelserver(folder, "--context", "512", engine="llama") as server:
        yield server


@pytest.fixture
def client(server: ModelServer, connect: Connect) -> AsyncOpenAI:
    return connect(server.url)


async def test_a_response_is_what_the_same_chat_answers(client: AsyncOpenAI) -> None:
    instructions, question = "Answer in one word.", "What is the capital of France?"
    chat = await client.chat.completions.create(
        model=BASE,
        messages=[
            {"role": "system", "content": instructions},
            {"role": "user", "content": question},
        ],
        temperature=0,
        max_tokens=8,
    )
    asked: Any = {"model": BASE, "instructions": instructions, "input": question}
    asked |= {"temperature": 0, "max_output_tokens": 8}
    response = await client.responses.create(**asked)
    assert response.output_text == chat.choices[0].message.content != ""
    assert response.usage is not None
    assert chat.usage is not None
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert response.usage.output_tokens == chat.usage.completion_tokens
    events = [event async for event in await client.responses.create(**asked, stream=True)]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == response.output_text
    assert events[-1].type == f"response.{response.status}"


async def test_a_response_keeps_to_its_json_schema(client: AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    response = await client.responses.create(
        model=BASE,
        input="What is the capital of France?",
        max_output_tokens=30,
        text={"format": {"type": "json_schema", "name": "a", "schema": schema}},
    )
    assert json.loads(response.output_text)["city"] in ("Paris", "Rome")


async def test_a_response_makes_the_call_that_is_demanded(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model=BASE,
        input="What is the weather in Lima?",
        tools=[WEATHER],
        tool_choice="required",
        temperature=0,
        max_output_tokens=40,
    )
    (call,) = response.output
    assert call.type == "function_call"
    assert call.name == "get_weather"
    assert json.loads(call.arguments)["city"] in ("Paris", "Lima")


async def test_what_is_too_long_for_the_model_is_refused(client: AsyncOpenAI) -> None:
    for is_streamed in (False, True):
        with pytest.raises(BadRequestError) as refused:
            await client.responses.create(model=BASE, input="word " * 3000, stream=is_streamed)
        assert refused.value.code == "context_length_exceeded"
