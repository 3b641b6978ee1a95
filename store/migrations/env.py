"""Alembic's entry: called by store.migrate, with the URL in the config's attributes."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import create_engine

from store import Base
from store.base import UtcDateTime


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Migrations name plain SQLAlchemy types: they must not change when our code does."""
    is_time = kind == "type" and isinstance(item, UtcDateTime)
    return "sa.DateTime(timezone=True)" if is_time else False


engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two processes that start together migrate one after the other.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7283645)")
        context.run_migrations()
engine.dispose()
