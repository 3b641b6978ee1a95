"""llama.cpp with a real model: adapters that come and go, several at a time, and its faults."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError

from modelserver.catalog import Model
from modelserver.engine import Chunk
from modelserver.errors import ApiError, ModelNotFoundError
from tests.modelserver.noise_models import answer, make_tuned, request_for
from tests.modelserver.training_jobs import BASE, Connect
from tests.modelserver_process import ModelServer, running_modelserver

pytestmark = pytest.mark.model
pytest.importorskip("gguf")
np = pytest.importorskip("numpy")
pytest.importorskip("xllamacpp")

BAD_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 1}}}}
QUESTIONS = ("Name a fruit.", "Name a colour.", "Write about whales.")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def engine(data_dir: Path) -> Iterator[Any]:
    from modelserver.engine.llama import LlamaEngine

    engine = LlamaEngine([BASE], data_dir, slots=4, context=512)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def tuned(engine: Any, data_dir: Path) -> list[Model]:
    """Two models with adapters of noise: not clever, but different from the base for sure."""
    return [make_tuned(engine, data_dir / f"adapter-{seed}", seed) for seed in (1, 2)]


def test_no_model_ever_gives_the_answer_of_another(engine: Any, tuned: list[Model]) -> None:
    base = Model(name=BASE, base=BASE)
    alone = {(m.name, q): answer(engine, m, q) for m in (base, *tuned) for q in QUESTIONS}
    assert len({alone[m.name, QUESTIONS[2]] for m in (base, *tuned)}) == 3
    mixed = [(m, q) for q in QUESTIONS for m in (tuned[1], base, tuned[0], base)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda pair: answer(engine, *pair), mixed))
    assert answers == [alone[m.name, q] for m, q in mixed]


def complete(engine: Any, prompt: str | list[int]) -> tuple[str, list[int]]:
    """The text that follows, and the numbers of its tokens."""
    chunks: list[Chunk] = []

    def emit(chunk: Chunk) -> bool:
        chunks.append(chunk)
        return False

    request = {"prompt": prompt, "max_tokens": 6, "temperature": 0, "stream": True, "logprobs": 1}
    engine.generate("completion", Model(name=BASE, base=BASE), request, emit)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    tokens = [t for c in choices if c.get("logprobs") for t in c["logprobs"]["content"]]
    return "".join(choice["text"] for choice in choices), [token["id"] for token in tokens]


def test_a_prompt_of_the_models_own_token_numbers_is_as_good_as_its_text(engine: Any) -> None:
    text, numbers = complete(engine, "The capital of France is")
    assert len(numbers) == 6
    assert complete(engine, numbers) == complete(engine, text)
    with pytest.raises(ApiError, match="invalid tokens") as refused:
        complete(engine, [10**6])
    assert refused.value.status == 400


def test_who_asks_for_another_adapter_waits_for_the_answers_under_way_alone(
    engine: Any, tuned: list[Model]
) -> None:
    base = Model(name=BASE, base=BASE)
    engine.load([base, *tuned])
    answered: list[str] = []
    is_over, is_busy = threading.Event(), threading.Semaphore(0)

    def keep_asking(talker: int) -> None:
        while not is_over.is_set() and len(answered) < 200:
            length = 12 + 7 * ((len(answered) + talker) % 5)  # they never all end at once
            answered.append(answer(engine, base, f"Tell story {len(answered)}.", length))
            is_busy.release()

    with ThreadPoolExecutor(3) as threads:
        talks = [threads.submit(keep_asking, talker) for talker in range(3)]
        for _ in range(4):
            is_busy.acquire()
        before = len(answered)
        assert answer(engine, tuned[0], QUESTIONS[0])
        meanwhile = len(answered) - before
        is_over.set()
        for talk in talks:
            talk.result()
    assert meanwhile <= 6  # three under way, and three that came before we asked


def test_a_new_adapter_interrupts_nobody(engine: Any, data_dir: Path) -> None:
    base = Model(name=BASE, base=BASE)
    expected = answer(engine, base, QUESTIONS[0], 16)
    new = make_tuned(engine, data_dir / "adapter-3", 3)
    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(answer, engine, base, QUESTIONS[0], 16) for _ in range(6)]
        engine.load([new])
        assert [other.result() for other in others] == [expected] * 6
    assert answer(engine, new, QUESTIONS[0], 16) != expected


def test_a_deleted_adapter_is_gone(engine: Any, data_dir: Path) -> None:
    model = make_tuned(engine, data_dir / "adapter-4", 4)
    assert model.adapter is not None
    answer(engine, model, QUESTIONS[0])
    (model.adapter / "adapter.gguf").unlink()
    engine.unload(model)
    with pytest.raises(ModelNotFoundError):
        answer(engine, model, QUESTIONS[0])


def test_a_broken_adapter_fails_alone(engine: Any, data_dir: Path) -> None:
    folder = data_dir / "adapter-broken"
    folder.mkdir()
    (folder / "adapter.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(ApiError, match="could not be loaded"):
        engine.load([Model(name="broken", base=BASE, adapter=folder)])
    assert answer(engine, Model(name=BASE, base=BASE), QUESTIONS[0])


def test_who_stops_listening_stops_the_model(engine: Any) -> None:
    seen: list[Chunk] = []

    def emit(chunk: Chunk) -> bool:
        seen.append(chunk)
        return len(seen) >= 3

    engine.generate(
        "chat", Model(name=BASE, base=BASE), request_for("Tell a long story.", 400), emit
    )
    assert len(seen) < 100


def test_a_crash_of_llama_is_survived(engine: Any) -> None:
    base = Model(name=BASE, base=BASE)
    expected = answer(engine, base, QUESTIONS[0])
    with engine._hosts[BASE].using([]) as process:
        crashed = threading.Event()

        def crash(_: Chunk) -> bool:
            if not crashed.is_set():
                crashed.set()
                os.kill(process._child.pid, signal.SIGKILL)
            return False

        with pytest.raises(ApiError) as failed:
            engine.generate("chat", base, request_for("Tell a long story.", 400), crash)
        assert failed.value.status == 503  # the client tries again
    assert answer(engine, base, QUESTIONS[0]) == expected


@pytest.fixture(scope="module")
def server(data_dir: Path) -> Iterator[ModelServer]:
    with running_modelserver(data_dir, "--context", "512", engine="llama") as server:
        yield server


async def test_a_real_model_answers_over_http(server: ModelServer, connect: Connect) -> None:
    client = connect(server.url)
    done = await client.chat.completions.create(
        model=BASE,
        messages=[{"role": "user", "content": "Name a fruit."}],
        temperature=0,
        max_tokens=8,
        logprobs=True,
        top_logprobs=2,
    )
    choice = done.choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert "".join(token.token for token in tokens) == choice.message.content
    assert all(token.top_logprobs[0].logprob >= token.logprob - 1e-6 for token in tokens)


async def test_an_answer_keeps_to_its_json_schema(server: ModelServer, connect: Connect) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    done = await connect(server.url).chat.completions.create(
        model=BASE,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=30,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )
    assert json.loads(done.choices[0].message.content or "")["city"] in ("Paris", "Rome")


def function(name: str, *cities: str) -> Any:
    city = {"type": "string", "enum": list(cities)}
    parameters = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    about = {"description": f"about {cities[0]}", "parameters": parameters}
    return {"type": "function", "function": {"name": name} | about}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "b"}}])
async def test_a_call_that_is_demanded_is_made(
    server: ModelServer, connect: Connect, choice: Any
) -> None:
    tools = [function("a", "Rome", "Oslo"), function("b", "Paris", "Lima")]
    asked: Any = {
        "model": BASE,
        "messages": [{"role": "user", "content": "What is the weather there?"}],
        "tools": tools,
        "tool_choice": choice,
        "temperature": 0,
        "max_tokens": 40,
    }
    client = connect(server.url)
    done = await client.chat.completions.create(**asked)
    assert done.choices[0].finish_reason == "tool_calls"
    (call,) = done.choices[0].message.tool_calls or ()
    assert call.type == "function"
    cities = {"a": ("Rome", "Oslo"), "b": ("Paris", "Lima")}[call.function.name]
    assert json.loads(call.function.arguments)["city"] in cities
    assert call.function.name == "b" or choice == "required"
    stream = await client.chat.completions.create(**asked, stream=True)
    pieces = [chunk.choices[0].delta.tool_calls or [] async for chunk in stream]
    text = "".join(c.function.arguments or "" for calls in pieces for c in calls if c.function)
    assert json.loads(text) == json.loads(call.function.arguments)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, "context_length_exceeded"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 1}}}},
            None,
        ),
        ({"tools": [{"type": "banana"}]}, None),
    ],
)
async def test_what_llama_refuses_is_a_400(
    server: ModelServer, connect: Connect, change: dict[str, Any], code: str | None
) -> None:
    request: dict[str, Any] = {
        "model": BASE,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 2,
    }
    for is_streamed in (False, True):
        with pytest.raises(BadRequestError) as refused:
            await connect(server.url).chat.completions.create(
                **(request | change), stream=is_streamed
            )
        assert refused.value.code == code


async def test_real_embeddings_know_what_is_near(server: ModelServer, connect: Connect) -> None:
    texts = ["query: 床垫多少钱", "passage: The mattress costs 300 euros.", "passage: Whales sing."]
    answer = await connect(server.url).embeddings.create(model="multilingual-e5-small", input=texts)
    question, near, far = (np.array(one.embedding) for one in answer.data)
    assert question @ near > question @ far
    assert np.linalg.norm(question) == pytest.approx(1, abs=1e-3)
