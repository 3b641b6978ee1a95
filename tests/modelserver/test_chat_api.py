"""Chat completions over the real API, answered by the stub engine."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)

from tests.modelserver.training_jobs import BASE, Connect, ask
from tests.modelserver_process import running_modelserver

HELLO: list[Any] = [{"role": "user", "content": "Tell me about the weather in Paris"}]
SHOP = "We sell beds. Delivery takes three days. The warranty is ten years."


async def test_a_stream_adds_up_to_the_whole_answer(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model=BASE, messages=HELLO)
    stream = await client.chat.completions.create(
        model=BASE, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_answer_comes_from_the_system_message(client: AsyncOpenAI) -> None:
    messages: list[Any] = [
        {"role": "developer", "content": [{"type": "text", "text": SHOP}]},
        {"role": "user", "content": "How many days does delivery take?"},
    ]
    done = await client.chat.completions.create(model=BASE, messages=messages)
    assert done.choices[0].message.content == "Delivery takes three days."


async def test_each_token_has_its_logprob_and_its_rivals(client: AsyncOpenAI) -> None:
    done = await client.chat.completions.create(
        model=BASE, messages=HELLO, logprobs=True, top_logprobs=3
    )
    choice = done.choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert "".join(t.token for t in tokens) == choice.message.content
    assert all(len(t.top_logprobs) == 3 and t.logprob < 0 for t in tokens)


async def test_stop_and_limit_end_an_answer(client: AsyncOpenAI) -> None:
    stopped = await client.chat.completions.create(model=BASE, messages=HELLO, stop=["weather"])
    assert "weather" not in (stopped.choices[0].message.content or "")
    assert stopped.choices[0].finish_reason == "stop"
    cut = await client.chat.completions.create(model=BASE, messages=HELLO, max_completion_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 2


async def test_several_choices_share_one_prompt(client: AsyncOpenAI) -> None:
    one = await client.chat.completions.create(model=BASE, messages=HELLO)
    three = await client.chat.completions.create(model=BASE, messages=HELLO, n=3)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert one.usage is not None
    assert three.usage is not None
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens


async def test_an_unknown_model_is_a_404_and_never_another(client: AsyncOpenAI) -> None:
    for name in ("gpt-4o-mini", "", f"ft:{BASE}:nod::12345678", "multilingual-e5-small"):
        with pytest.raises(NotFoundError) as refused:
            await ask(client, name, "Hi")
        assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages.0.role"),
        ({"temperature": 2.1}, "temperature"),
        ({"stop": [""]}, "stop.0"),
        ({"n": 0}, "n"),
        ({"top_logprobs": 21}, "top_logprobs"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_key_at_fault(
    client: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    request: dict[str, Any] = {"model": BASE, "messages": HELLO}
    with pytest.raises(BadRequestError) as refused:
        await client.chat.completions.create(**(request | change))
    assert refused.value.param == param


async def test_a_model_answers_to_its_alias_only_where_it_was_given(
    tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(tmp_path, "--alias", f"gpt-3.5-turbo={BASE}") as server:
        client = connect(server.url)
        assert await ask(client, "gpt-3.5-turbo", "Hi") == await ask(client, BASE, "Hi")
        assert (await client.models.retrieve("gpt-3.5-turbo")).id == "gpt-3.5-turbo"
        with pytest.raises(NotFoundError):
            await ask(client, "gpt-4", "Hi")


async def test_only_those_with_a_key_come_in(tmp_path: Path, connect: Connect) -> None:
    with running_modelserver(tmp_path, "--api-key", "sk-one", "--api-key", "sk-two") as server:
        for key in ("sk-one", "sk-two"):
            await connect(server.url, key).models.list()
        with pytest.raises(AuthenticationError):
            await connect(server.url, "sk-three").models.list()
        async with httpx2.AsyncClient() as plain:
            assert (await plain.get(f"{server.url}/models")).status_code == 401
            assert (await plain.get(server.url.removesuffix("/v1") + "/health")).is_success
        assert "sk-" not in (tmp_path / "server.log").read_text()


async def test_beyond_its_queue_the_server_asks_to_come_again(
    tmp_path: Path, connect: Connect
) -> None:
    options = ("--slots", "1", "--queue", "1", "--stub-delay-s", "0.1")
    with running_modelserver(tmp_path, *options) as server:
        client = connect(server.url)
        asked = [ask(client, BASE, "one two three four") for _ in range(4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        busy = [answer for answer in answers if isinstance(answer, RateLimitError)]
        assert len(busy) == 2
        assert busy[0].response.headers["retry-after"] == "1"
        assert await ask(client, BASE, "And now?")  # the queue has emptied


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_client_that_leaves_stops_its_answer(
    tmp_path: Path, connect: Connect, is_streamed: bool
) -> None:
    options = ("--slots", "1", "--stub-delay-s", "0.2")
    with running_modelserver(tmp_path, *options) as server:
        client = connect(server.url)
        long = [{"role": "user", "content": "word " * 500}]  # 100 seconds of answer
        with pytest.raises(Exception, match="timed out"):
            async with asyncio.timeout(20):
                await client.with_options(timeout=0.5).chat.completions.create(
                    model=BASE, messages=long, n=2
                ) if not is_streamed else await _read_a_little(client, long)
        started = time.monotonic()
        assert await ask(client, BASE, "Hi")
        assert time.monotonic() - started < 60  # else it had waited for the other's end


async def _read_a_little(client: AsyncOpenAI, messages: list[Any]) -> None:
    stream = await client.chat.completions.create(model=BASE, messages=messages, stream=True)
    await anext(aiter(stream))
    await stream.close()
    raise TimeoutError("timed out")


async def test_base_models_cannot_be_deleted(client: AsyncOpenAI) -> None:
    with pytest.raises(PermissionDeniedError):
        await client.models.delete(BASE)
    with pytest.raises(NotFoundError):
        await client.models.delete("ft:none")


async def test_a_text_completion_echoes_stops_and_counts(client: AsyncOpenAI) -> None:
    done = await client.completions.create(
        model=BASE, prompt=["red green blue", "one two"], echo=True, stop="blue"
    )
    assert [choice.text for choice in done.choices] == [
        "red green blue red green ",
        "one two one two",
    ]
    scored = await client.completions.create(model=BASE, prompt="red green", logprobs=2)
    shown = scored.choices[0].logprobs
    assert shown is not None
    assert shown.tokens == [" red", " green"]
    assert shown.text_offset == [0, 4]
