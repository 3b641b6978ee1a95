"""An answer that goes round in circles is stopped, and what it said before is kept."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answer import Answerer
from bot.completion import complete
from bot.masks import new_default
from bot.repetition import cut_loop
from store import Mask, Mode, Way
from tests.bot.conftest import Teach
from tests.bot.running_bot import Bot

ONCE = "We do. The order is shipped on a Monday."
AGAIN = " The order is shipped on a Monday."
PIECES = 400


class Parrot(httpx2.AsyncByteStream):
    """A completion that would say the same sentence hundreds of times, with sure words."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in (ONCE, *[AGAIN] * PIECES):
            self.sent += 1
            token = {"token": piece, "logprob": -0.01, "top_logprobs": []}
            choice = {
                "index": 0,
                "delta": {"content": piece},
                "logprobs": {"content": [token]},
                "finish_reason": None,
            }
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            yield f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode()
        yield b"data: [DONE]\n\n"


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def client(parrot: Parrot) -> openai.AsyncOpenAI:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=parrot)

    http = openai.DefaultAsyncHttpxClient(transport=httpx2.MockTransport(answer))
    return openai.AsyncOpenAI(base_url="http://m/v1", api_key="n", http_client=http)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("It comes soon. " + "We ship on a Monday, always. " * 4, None),
        ("We ship on a Monday, always. " * 4, "We ship on a Monday, always. "),
        ("The box costs 3.50 euros and " * 4, "The box costs 3.50 euros and…"),
        ("价格是三百元。" + "订单会在周一发货的。" * 5, "价格是三百元。订单会在周一发货的。"),
        ("It is " + "very " * 30, "It is very…"),
        ("a, b and c\n" + "- the same line again\n" * 5, "a, b and c\n- the same line again\n"),
        (
            "It holds 90.5 kg. " + "".join(f"It is made for up to {9 * n} kg. " for n in range(20)),
            "It holds 90.5 kg. It is made for up to 0 kg.",
        ),
        (
            "It has 1,250 springs, " + "".join(f"or {10**n} springs in each, " for n in range(20)),
            "It has 1,250 springs, or 1 springs in each…",
        ),
        ("".join(f"第{n}年起每年收费。" for n in range(8, 40)), "第8年起每年收费。"),
    ],
    ids=[
        *("a sentence", "nothing before", "a price", "Chinese", "a word", "lines"),
        *("a growing number", "a growing price", "counting in Chinese"),
    ],
)
def test_the_first_time_is_kept_up_to_the_end_of_its_sentence(text: str, kept: str | None) -> None:
    assert cut_loop(text) == (kept or "It comes soon. We ship on a Monday, always.")


@pytest.mark.parametrize(
    "text",
    [
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        "." * 100,
        "Mon: 9 am to 5 pm. Tue: 9 am to 5 pm. Wed: 9 am to 5 pm. Thu: 9 am to 5 pm.",
        "Yes, yes, yes! We do deliver.",
        "".join(f"The {90 + 20 * n} x 200 costs {300 + 50 * n} euros. " for n in range(4)),
        "".join(f"- {90 + 10 * n} x 200 cm: {300 + 50 * n} euros\n" for n in range(12)),
        "".join(f"| {90 + 20 * n} x 200 | {300 + 50 * n} euros | 24 months |\n" for n in range(30)),
        " ".join(str(n * n) for n in range(200)),
        "| Berlin |" + " 9:00 - 17:00 |" * 7,
        "| Cover |" + " Included |" * 6,
        "| Repair | 24 months, repair or replacement | 24 months, repair or replacement |",
        "| 保修 | 二十四个月内免费维修或更换 | 二十四个月内免费维修或更换 |",
        "<tr>" + "<td>0</td>" * 12 + "</tr>",
        "",
    ],
)
def test_lists_rules_and_emphasis_are_no_loops(text: str) -> None:
    assert all(cut_loop(text[:end]) is None for end in range(len(text) + 1))


@given(
    st.text(alphabet="abc. ", max_size=40),
    st.text(alphabet="abcdefgh。 ", min_size=1, max_size=50).filter(
        lambda part: any(map(str.isalnum, part))
    ),
)
def test_whatever_is_said_long_enough_over_and_over_is_cut_and_nothing_is_invented(
    before: str, part: str
) -> None:
    text = before + part * 130
    kept = cut_loop(text)
    assert kept is not None
    assert text.startswith(kept.removesuffix("…"))
    assert len(kept) <= len(before) + 2 * len(part) + 1


@given(
    st.text(alphabet="abc.12 ", max_size=40),
    st.lists(st.decimals(0, 10**6, places=2), min_size=60, max_size=60),
)
def test_a_loop_that_counts_is_cut_after_a_whole_number(
    before: str, numbers: list[Decimal]
) -> None:
    text = before + "".join(f" and it holds {number} kg" for number in numbers)
    kept = cut_loop(text)
    assert kept is not None
    assert text.startswith(kept.removesuffix("…"))
    assert not text[len(kept.removesuffix("…")) :][:1].isdigit()
    assert len(kept) <= len(before) + 60


async def test_a_looping_model_is_stopped_and_nobody_sees_the_loop_grow(
    client: openai.AsyncOpenAI, parrot: Parrot
) -> None:
    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)

    completion = await complete(client, "m", [], new_default(), timeout_s=60, on_text=show)

    assert completion.text == shown[-1] == ONCE
    assert completion.is_looping
    assert completion.completion_tokens == parrot.sent
    assert parrot.sent < PIECES


async def test_an_answer_that_looped_is_never_sure(
    bot: Bot, teach: Teach, mask: Mask, client: openai.AsyncOpenAI
) -> None:
    await teach("When is an order shipped?", "We ship: the order is shipped on a Monday.")
    answerer = Answerer(bot.knowledge, client, base_model="m")

    draft = await answerer.answer("On which day do you ship?", mode=Mode.retrieval, mask=mask)

    assert (draft.text, draft.way, draft.is_sure) == (ONCE, Way.retrieval, False)
    assert "repeat" in draft.reason
