"""An id means one row for ever, also when that row has been deleted."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import delete, select

from store import Database, Dataset, Document, Example, Reply, Review, Split, Turn, Verdict
from store.base import Base
from store.migrate import MIGRATIONS, _sync_url, migrate
from tests.bot.verdicts import put_held


async def put_row(database: Database, kind: type[Base], name: str) -> int:
    """A row of a kind; its id."""
    reply_id = await put_held(database, name)
    async with database.write() as session:
        made: Any
        if kind is Reply:
            return reply_id
        if kind is Turn:
            return int(await session.scalar(select(Reply.turn_id).where(Reply.id == reply_id)) or 0)
        if kind is Review:
            made = Review(reply_id=reply_id, verdict=Verdict.approved, text="A", reviewer="rita")
        elif kind is Document:
            made = Document(source=name, kind="text", title=name, sha256="0", size_bytes=1)
        else:
            dataset = Dataset(version=reply_id, sha256=name, train_count=1, holdout_count=0)
            session.add(dataset)
            await session.flush()
            made = Example(
                dataset_id=dataset.id,
                split=Split.train,
                seq=0,
                line="{}",
                question="Q",
                answer="A",
                conversation_id="c",
            )
        session.add(made)
        await session.flush()
        return int(made.id)


@pytest.mark.parametrize("kind", [Turn, Reply, Review, Document, Example])
async def test_the_id_of_a_deleted_row_is_not_given_again(
    kind: type[Any], any_database: Database
) -> None:
    first = await put_row(any_database, kind, "ann")
    async with any_database.write() as session:
        if kind is Turn:
            await session.execute(delete(Reply))
        await session.execute(delete(kind).where(kind.id == first))
    assert await put_row(any_database, kind, "bob") > first


async def test_older_rows_and_how_far_their_announcements_had_come_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "nod.db"
    url = f"sqlite+aiosqlite:///{path}"
    config = Config(attributes={"url": _sync_url(url)})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, "0004")
    _put_older_rows(path)
    await migrate(url)
    database = Database(url)
    async with database.read() as session:
        replies = (await session.scalars(select(Reply).order_by(Reply.id))).all()
        assert [(each.id, each.text, each.announced_at is None) for each in replies] == [
            (1, "one", False),
            (2, "two", True),
        ]
        assert (await session.scalars(select(Turn.text))).all() == ["Q"]
    await database.close()
    with sqlite3.connect(path) as connection:
        settings = dict(connection.execute("select key, value from setting"))
    assert settings == {"telegram.editing.5": '{"reply_id": 2}'}


def _put_older_rows(path: Path) -> None:
    at = "2026-01-01 00:00:00.000000"
    reply = {
        "conversation_id": "c",
        "turn_id": 1,
        "status": "held",
        "needs_review": 1,
        "due_at": at,
        "created_at": at,
        "attempts": 0,
        **dict.fromkeys(("prompt", "sources", "phrasings", "sent_parts"), "[]"),
        **dict.fromkeys(("draft", "reason", "mode"), ""),
    }
    rows: list[tuple[str, dict[str, Any]]] = [
        (
            "conversation",
            {
                "id": "c",
                "channel": "test",
                "address": "ann",
                "last_seq": 1,
                "context_from_seq": 0,
                "created_at": at,
                "updated_at": at,
            },
        ),
        (
            "turn",
            {
                "id": 1,
                "conversation_id": "c",
                "seq": 1,
                "role": "customer",
                "text": "Q",
                "state": "answered",
                "attempts": 0,
                "due_at": at,
                "created_at": at,
            },
        ),
        ("reply", {**reply, "id": 1, "text": "one", "way": "base"}),
        ("reply", {**reply, "id": 2, "text": "two", "way": "person"}),
        *(
            ("setting", {"key": key, "value": value, "updated_at": at, "updated_by": "telegram"})
            for key, value in (
                ("telegram.announced_reply_id", "1"),
                ("telegram.editing.5", "2"),
            )
        ),
    ]
    with sqlite3.connect(path) as connection:
        for table, row in rows:
            places = ", ".join(f":{key}" for key in row)
            connection.execute(f"insert into {table} ({', '.join(row)}) values ({places})", row)
