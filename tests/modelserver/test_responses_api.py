"""/v1/responses by the official client, answered by the stub engine."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.modelserver.training_jobs import BASE

SHOP = "We sell beds. Delivery takes three days. The warranty is ten years."
ASK = "How many days does delivery take?"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"question": {"type": "string"}}},
    "strict": True,
}


async def test_it_answers_from_its_instructions(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=BASE, instructions=SHOP, input=ASK)
    assert response.output_text == "Delivery takes three days."
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens > response.usage.output_tokens > 0


async def test_a_conversation_is_read_in_all_its_shapes(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model=BASE,
        input=[
            {"role": "developer", "content": [{"type": "input_text", "text": SHOP}]},
            {"type": "message", "role": "user", "content": "Hi"},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
            },
            {"role": "user", "content": ASK},
        ],
    )
    assert response.output_text == "Delivery takes three days."


async def test_a_stream_adds_up_to_the_response(client: AsyncOpenAI) -> None:
    asked: Any = {"model": BASE, "instructions": SHOP, "input": ASK}
    stream = await client.responses.create(**asked, stream=True)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    last: Any = events[-1]
    assert text == last.response.output_text == "Delivery takes three days."
    async with client.responses.stream(**asked) as helper:
        assert (await helper.get_final_response()).output_text == text


async def test_an_answer_that_was_cut_is_incomplete(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=BASE, input=ASK, max_output_tokens=2)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


async def test_a_function_is_called_and_its_result_read(client: AsyncOpenAI) -> None:
    asked: Any = {"model": BASE, "input": ASK, "tools": [WEATHER], "tool_choice": "required"}
    response = await client.responses.create(**asked)
    call: Any = response.output[0]
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert json.loads(call.arguments) == {"question": ASK}
    stream = await client.responses.create(**asked, stream=True)
    events: list[Any] = [event async for event in stream]
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call.arguments
    assert events[-1].response.output[0].arguments == call.arguments
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": SHOP}
    question: Any = {"role": "user", "content": ASK}
    after = await client.responses.create(
        model=BASE, input=[question, call.model_dump(), result], tools=[WEATHER]
    )
    assert after.status == "completed"


async def test_logprobs_come_where_they_are_asked_for(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model=BASE, input=ASK, include=["message.output_text.logprobs"], top_logprobs=2
    )
    message: Any = response.output[0]
    shown = message.content[0].logprobs
    assert "".join(token.token for token in shown) == response.output_text
    assert all(len(token.top_logprobs) == 2 for token in shown)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "function", "name": "no blanks"}]}, "tools.0.function.name"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user"}]}, "input.0"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input.0.content.0",
        ),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
async def test_what_is_not_kept_or_run_is_refused(
    client: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        await client.responses.create(**({"model": BASE, "input": "x"} | change))
    assert refused.value.param == param


async def test_no_response_is_kept(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=BASE, input="x")
    assert made.to_dict()["store"] is False
    for act in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(NotFoundError, match="keeps no responses"):
            await act(made.id)
    with pytest.raises(NotFoundError):
        await client.responses.create(model="gpt-5.4", input="x")
