"""What the loop asks of the database holds on SQLite and on PostgreSQL."""

from pathlib import Path

from sqlalchemy import select

from app.announcing.senders import open_announcer
from app.settings import load_settings
from bot.thumbs import give_thumb
from finetune.announce import Recipients, announce_run
from finetune.budget import spent_this_month
from finetune.canary import Canary, CanaryOptions
from finetune.lineage import trace_back, trace_forward
from finetune.promote import canary_version, start_canary
from store import (
    Announcement,
    ChunkKind,
    Database,
    Dataset,
    Document,
    DocumentKind,
    Example,
    ModelVersion,
    Reply,
    Run,
    RunEvent,
    RunState,
    Split,
    Thumb,
    utc_now,
)
from store import Chunk as Pair
from store.switches import set_switch
from tests.finetune.shop import approve, open_shop


async def add_loop(database: Database, reply_id: int) -> None:
    """A reply that was trained on, and sent again word for word to somebody else."""
    async with database.write() as session:
        reply = await session.get_one(Reply, reply_id)
        dataset = Dataset(version=1, sha256="a", train_count=1, holdout_count=1)
        document = Document(source="approved", kind=DocumentKind.approved, title="Approved")
        session.add_all([dataset, document])
        await session.flush()
        example = {"question": "One?", "answer": "1", "line": "{}"}
        session.add(
            Example(
                dataset_id=dataset.id,
                split=Split.train,
                seq=0,
                reply_id=reply_id,
                reply_ids=[reply_id],
                conversation_id=reply.conversation_id,
                **example,
            )
        )
        session.add(
            Example(
                dataset_id=dataset.id,
                split=Split.train,
                seq=1,
                quoted_reply_ids=[reply_id],
                conversation_id="other",
                **example,
            )
        )
        session.add(
            Pair(
                document_id=document.id,
                seq=0,
                kind=ChunkKind.pair,
                question="One?",
                text="1",
                reply_id=reply_id,
            )
        )
        run = Run(
            trigger="command",
            base_model="m",
            state=RunState.failed,
            is_active=False,
            dataset_id=dataset.id,
            cost=1.5,
            leftovers_due_at=utc_now(),
        )
        session.add(run)
        await session.flush()
        session.add(ModelVersion(model="ft:m", base_model="m", run_id=run.id))
        session.add(RunEvent(run_id=run.id, message="Step", data={"step": 1, "train_loss": 1.0}))
        recipients = Recipients(webhook_url="http://127.0.0.1:9/hook")
        await announce_run(session, recipients, run, RunState.failed, "no reason")


async def test_every_query_of_the_loop_works(any_database: Database, tmp_path: Path) -> None:
    reply_id = await approve(any_database, "One?", "1")
    await add_loop(any_database, reply_id)
    async with any_database.read() as session:
        forward = str(await trace_forward(session, "turn:1"))
        assert forward.count("kind='example'") == 2
        assert "quoted as context" in forward
        assert "kind='pair'" in forward
        assert "wrote 0 replies" in forward
        assert "kind='review'" in str(await trace_back(session, "model:1"))
        assert await spent_this_month(session, utc_now()) == 1.5

    async with any_database.write() as session:
        await set_switch(session, "canary_share", 0.5, who="ada")
        await start_canary(session, 1, "ada")
        reply = await session.get_one(Reply, reply_id)
        for is_up in (True, False):
            assert await give_thumb(session, reply.conversation_id, reply_id, is_up)
    canary = Canary(any_database, CanaryOptions(), Recipients())
    assert not await canary.step(), "too little was said yet"

    async with open_announcer(load_settings(home=tmp_path), any_database) as announcer:
        assert await announcer.step()
        assert not await announcer.step(), "it waits for its next try"
    away = "http://127.0.0.1:9/v1"
    async with open_shop(any_database, tmp_path, away, max_retries=0) as shop:
        assert await shop.retrainer.step(), "the leftovers are due"
        assert not await shop.retrainer.step()

    async with any_database.read() as session:
        assert await canary_version(session) is not None
        assert (await session.scalars(select(Thumb.is_up))).all() == [False]
        told = (await session.scalars(select(Announcement))).one()
        assert (told.attempts, told.is_open) == (1, True)
        run = (await session.scalars(select(Run))).one()
        assert run.leftovers_attempts == 1
