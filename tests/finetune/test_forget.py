"""Who wants to be forgotten is forgotten everywhere, whatever happens meanwhile."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Text, func, select, update
from sqlalchemy.types import JSON, String

from bot.forgetting import ask_to_forget
from bot.inbox import Inbox
from bot.message import Message
from finetune import forget as forget_module
from finetune.forget import Forgetter, find_conversations, forget_by_age
from finetune.promote import live_version
from finetune.run import request_run
from store import (
    Base,
    Conversation,
    Database,
    Dataset,
    EvaluationItem,
    Example,
    Forgetting,
    ForgettingState,
    ModelVersion,
    Reply,
    RunState,
    Split,
    Turn,
    TurnState,
    Way,
    conversation_id,
    utc_now,
)
from tests.finetune.shop import BASE_MODEL, Shop, approve, approve_many, open_shop
from tests.finetune.shop import _address as address_on

SECRET = "xylophone marmalade"
ANN = address_on("ann", Split.train)
BOB = address_on("bob", Split.holdout)


async def forget_all(shop: Shop, home: Path) -> list[Forgetting]:
    forgetter = Forgetter(shop.database, shop.knowledge, home)
    while await forgetter.step():
        pass
    async with shop.database.read() as session:
        return list(await session.scalars(select(Forgetting).order_by(Forgetting.id)))


async def ask(database: Database, address: str, by: str = "olga") -> None:
    async with database.write() as session:
        await session.run_sync(ask_to_forget, conversation_id("web", address), by)


async def everything_stored(database: Database) -> str:
    """Every text of every table."""
    texts = []
    async with database.read() as session:
        for table in Base.metadata.sorted_tables:
            columns = [c for c in table.columns if isinstance(c.type, String | Text | JSON)]
            rows = await session.execute(select(*columns)) if columns else ()
            texts += [repr(tuple(row)) for row in rows]
    return "\n".join(texts)


async def train(shop: Shop) -> None:
    await request_run(shop.database, trigger="command", requested_by="ada", base_model=BASE_MODEL)
    run = await shop.run_to_the_end()
    assert run.state is RunState.promoted, run.verdict or run.error


async def test_a_forgotten_conversation_is_nowhere_and_the_next_retrain_heals_the_model(
    shop: Shop, tmp_path: Path
) -> None:
    for address in (ANN, BOB):
        reply_id = await approve(
            shop.database, f"Is the {SECRET} {address} here?", f"The {SECRET} is.", address=address
        )
        await shop.knowledge.learn(reply_id)
    other = await approve(shop.database, "Another?", "Yes, another.", address="carl")
    [quoted] = [
        found
        for found in await shop.knowledge.retrieve(f"Is the {SECRET} {ANN} here?")
        if found.question and ANN in found.question
    ]
    async with shop.database.write() as session:
        await session.execute(
            update(Reply)
            .where(Reply.id == other)
            .values(
                prompt=[{"role": "user", "content": quoted.question}],
                sources=[quoted.as_source()],
                reason=f"approved: 0.95 >= 0.93 like {quoted.question!r}",
                way=Way.approved,
            )
        )
    await train(shop)
    folder = tmp_path / "datasets" / "v1"
    assert SECRET in (folder / "train.jsonl").read_text()
    before = await everything_stored(shop.database)
    assert before.count(SECRET) > 10
    sha256 = (await datasets(shop))[0].sha256

    for address in (ANN, BOB):
        await ask(shop.database, address)
    rows = await forget_all(shop, tmp_path)

    assert [row.state for row in rows] == [ForgettingState.done] * 2
    assert rows[0].report["model_versions"] == 1
    after = await everything_stored(shop.database)
    for trace in (SECRET, ANN, conversation_id("web", ANN), conversation_id("web", BOB)):
        assert trace not in after, [line for line in after.splitlines() if trace in line]
    assert await shop.knowledge.retrieve(f"{SECRET}") == [] or all(
        SECRET not in found.text for found in await shop.knowledge.retrieve(SECRET)
    )
    assert await shop.knowledge._index.dense.ids() == await chunk_ids(shop.database)
    assert not folder.exists()
    [dataset] = await datasets(shop)
    assert (dataset.sha256, dataset.struck_count) == (sha256, 2)
    async with shop.database.read() as session:
        live = await live_version(session)
        assert live is not None
        assert live.tainted_at is not None

    await train(shop)
    async with shop.database.read() as session:
        healed = await live_version(session)
    assert healed is not None
    assert healed.id != live.id
    assert healed.tainted_at is None
    assert [each.version for each in await datasets(shop)] == [1, 2]


async def datasets(shop: Shop) -> list[Dataset]:
    async with shop.database.read() as session:
        return list(await session.scalars(select(Dataset).order_by(Dataset.version)))


async def chunk_ids(database: Database) -> set[int]:
    from store import Chunk

    async with database.read() as session:
        return set(await session.scalars(select(Chunk.id)))


async def test_a_customer_says_forget_hears_of_it_and_leaves_nothing_behind(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(shop.database)

    async def say(text: str) -> None:
        await inbox.receive(
            Message(
                channel="web", address="dora", text=text, delivery_id=text, customer_name="Dora"
            )
        )

    await say(f"My {SECRET} is broken")
    await say("/forget")
    await say("/forget")  # delivered twice
    await forget_all(shop, tmp_path)
    async with shop.database.read() as session:
        turns = [turn.text for turn in await session.scalars(select(Turn).order_by(Turn.seq))]
    assert turns[-2] == "/forget"
    assert turns[-1].startswith("I am deleting our conversation")
    assert SECRET not in await everything_stored(shop.database)
    assert "Dora" not in await everything_stored(shop.database)
    async with shop.database.write() as session:
        await session.execute(update(Forgetting).values(due_at=utc_now()))
    [row] = await forget_all(shop, tmp_path)
    assert row.state is ForgettingState.done
    assert conversation_id("web", "dora") not in await everything_stored(shop.database)


async def test_what_the_customer_writes_after_forget_stays(shop: Shop, tmp_path: Path) -> None:
    inbox = Inbox(shop.database)
    for text in ("one", "/forget", "two"):
        await inbox.receive(Message(channel="web", address="dora", text=text))
    await forget_all(shop, tmp_path)
    async with shop.database.write() as session:
        await session.execute(update(Forgetting).values(due_at=utc_now()))
    await forget_all(shop, tmp_path)
    async with shop.database.read() as session:
        id_ = conversation_id("web", "dora")
        kept = select(Turn).where(Turn.conversation_id == id_)
        [turn] = (await session.scalars(kept)).all()
    assert (turn.text, turn.state) == ("two", TurnState.waiting)


async def test_an_answer_under_way_ends_before_its_conversation_is_forgotten(
    shop: Shop, tmp_path: Path
) -> None:
    await approve(shop.database, "Hello?", "Hi.", address="emil")
    async with shop.database.write() as session:
        await session.execute(
            update(Turn)
            .where(Turn.text == "Hello?")
            .values(
                state=TurnState.answering,
                claimed_by="w",
                claimed_until=utc_now() + timedelta(minutes=1),
            )
        )
    await ask(shop.database, "emil")
    [row] = await forget_all(shop, tmp_path)
    assert row.state is ForgettingState.asked
    assert row.due_at > utc_now()
    async with shop.database.write() as session:
        await session.execute(update(Turn).values(claimed_until=utc_now()))
        await session.execute(update(Forgetting).values(due_at=utc_now()))
    [row] = await forget_all(shop, tmp_path)
    assert row.state is ForgettingState.done


@pytest.mark.parametrize("at", ["erase", "drop", "rmtree"])
async def test_killed_anywhere_it_goes_on(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """What a kill leaves behind is what an exception leaves that nothing catches."""
    await approve(shop.database, f"A {SECRET}?", "Yes.", address=ANN)
    await shop.knowledge.sync()
    await ask(shop.database, ANN)

    class Killed(BaseException):
        pass

    def die(*_args: object, **_options: object) -> None:
        raise Killed

    owner = {"erase": forget_module, "drop": shop.knowledge, "rmtree": forget_module.shutil}[at]
    if at == "rmtree":
        async with shop.database.write() as session:
            session.add(Dataset(version=1, sha256="0" * 64, train_count=1, holdout_count=0))
            await session.flush()
            session.add(
                Example(
                    dataset_id=1, split=Split.train, seq=0, line=SECRET, question="", answer="",
                    conversation_id=conversation_id("web", ANN),
                )
            )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(owner, at, die)
        with pytest.raises(Killed):
            await forget_all(shop, tmp_path)
    [row] = await forget_all(shop, tmp_path)
    assert row.state is ForgettingState.done
    assert SECRET not in await everything_stored(shop.database)
    assert await shop.knowledge._index.dense.ids() == await chunk_ids(shop.database)


async def test_what_is_too_old_is_forgotten_and_what_is_younger_stays(
    shop: Shop, tmp_path: Path
) -> None:
    for question in ("Old one?", "Young one?"):
        await approve(shop.database, question, "Yes.", address="finn")
    await approve(shop.database, "Old too?", "Yes.", address="gus")
    async with shop.database.write() as session:
        old = (
            select(Reply.turn_id)
            .join(Turn, Turn.id == Reply.turn_id)
            .where(Turn.text.startswith("Old"))
        )
        replies = select(Reply.id).where(Reply.turn_id.in_(old))
        await session.execute(
            update(Turn)
            .where(Turn.id.in_(old) | Turn.reply_id.in_(replies))
            .values(created_at=utc_now() - timedelta(days=40))
        )
    assert await forget_by_age(shop.database, 30) == 2
    assert await forget_by_age(shop.database, 30) == 2  # asked for again, before it was done
    rows = await forget_all(shop, tmp_path)
    assert [row.state for row in rows] == [ForgettingState.done] * 2
    assert await forget_by_age(shop.database, 30) == 0
    async with shop.database.read() as session:
        left = await session.scalars(
            select(Turn.text).where(Turn.conversation_id == conversation_id("web", "finn"))
        )
        assert left.all() == ["Young one?", "Yes."]
        assert await session.get(Conversation, conversation_id("web", "gus")) is None


async def test_a_conversation_is_found_by_its_address_and_by_its_id(database: Database) -> None:
    await approve(database, "Hello?", "Hi.", address="hal")
    for name in ("hal", conversation_id("web", "hal")):
        [(found, turns)] = await find_conversations(database, name)
        assert (found.address, turns) == ("hal", 2)
    assert await find_conversations(database, "nobody") == []


async def test_it_works_on_both_databases(
    any_database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    await approve_many(any_database)
    await approve(any_database, f"A {SECRET}?", "Yes.", address=ANN)
    async with open_shop(any_database, tmp_path, modelserver_url) as shop:
        await ask(any_database, ANN)
        [row] = await forget_all(shop, tmp_path)
    assert row.state is ForgettingState.done
    assert SECRET not in await everything_stored(any_database)
    async with any_database.read() as session:
        assert await session.scalar(select(func.count()).select_from(EvaluationItem)) == 0
        assert (await session.scalars(select(ModelVersion))).all() == []
