"""Alembic's entry: called by store.migrate, with the URL in the config's attributes."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, event

from store import Base
from store.base import UtcDateTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Migrations name plain SQLAlchemy types: they must not change when our code does."""
    is_time = kind == "type" and isinstance(item, UtcDateTime)
    return "sa.DateTime(timezone=True)" if is_time else False


def begin_with_ddl(engine: Engine) -> None:
    """Have SQLite change its tables in one transaction: killed in the middle, nothing has changed.

    Python's driver begins none for DDL. IMMEDIATE, so that two processes that start together
    migrate one after the other.
    """

    @event.listens_for(engine, "connect")
    def leave_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


engine = create_engine(context.config.attributes["url"])
if engine.dialect.name == "sqlite":
    begin_with_ddl(engine)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=render_item,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # As above: one after the other.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7283645)")
        context.run_migrations()
engine.dispose()
