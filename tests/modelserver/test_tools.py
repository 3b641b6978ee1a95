"""Functions that a model may or must call, in today's form and in the older one."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.modelserver.training_jobs import BASE

FUNCTIONS: list[Any] = [{"name": name, "parameters": {"type": "object"}} for name in ("one", "two")]
TOOLS: list[Any] = [{"type": "function", "function": function} for function in FUNCTIONS]
NAMED: Any = {"type": "function", "function": {"name": "two"}}
ASK: Any = {"model": BASE, "messages": [{"role": "user", "content": "Which?"}]}


async def test_the_function_that_was_named_is_called(client: AsyncOpenAI) -> None:
    done = await client.chat.completions.create(**ASK, tools=TOOLS, tool_choice=NAMED)
    (call,) = done.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "two"
    assert json.loads(call.function.arguments) == {"question": "Which?"}
    assert done.choices[0].finish_reason == "tool_calls"
    assert done.choices[0].message.content is None


async def test_a_function_that_may_be_called_need_not_be(client: AsyncOpenAI) -> None:
    for choice in ("auto", "none"):
        more: Any = {"tool_choice": choice}
        done = await client.chat.completions.create(**ASK, tools=TOOLS, **more)
        assert done.choices[0].message.content


async def test_the_older_form_is_answered_in_the_older_form(client: AsyncOpenAI) -> None:
    asked = ASK | {"functions": FUNCTIONS, "function_call": {"name": "two"}}
    done = await client.chat.completions.create(**asked)
    message = done.choices[0].message
    assert done.choices[0].finish_reason == "function_call"
    assert message.tool_calls is None
    assert message.function_call is not None
    assert message.function_call.name == "two"
    stream = await client.chat.completions.create(**asked, stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream]
    pieces = [delta.function_call for delta in deltas if delta.function_call]
    assert pieces[0].name == "two"
    assert "".join(piece.arguments or "" for piece in pieces) == message.function_call.arguments
    history = [*ASK["messages"], message.to_dict()]
    history.append({"role": "function", "name": "two", "content": "It was the second."})
    after = await client.chat.completions.create(**asked | {"messages": history})
    assert after.choices


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
        (
            {
                "tools": TOOLS,
                "tool_choice": {"type": "function", "function": {"name": "three"}},
            },
            "tool_choice",
        ),
        ({"functions": FUNCTIONS, "function_call": {"name": "three"}}, "function_call"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
    ],
)
async def test_a_call_that_cannot_be_is_refused(
    client: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.chat.completions.create(**ASK | change)
    assert refused.value.param == param
