"""What every row has: the declarative base, UTC times and JSON."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

IDS_USED_ONCE = {"sqlite_autoincrement": True}
"""For tables whose rows are deleted. SQLite would give the newest one's id again, and a button, a
mark or a page that names it would mean another row."""


def utc_now() -> datetime:
    """The present, aware and in UTC."""
    return datetime.now(UTC)


CLOCKS_APART = timedelta(minutes=1)
"""So far the clocks of two machines may lie apart. What was written with one that was further ahead
holds nobody up once it is set right."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, also in SQLite, which keeps no zone of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time was given to the store: {value!r}; use utc_now()")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    # Constraints need names, or a migration cannot drop them.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - the name and the form are SQLAlchemy's
        datetime: UtcDateTime,
        # As text: a new member then needs no migration of a database type.
        StrEnum: Enum(StrEnum, native_enum=False, length=16),
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
        list[str]: JSON,
        list[int]: JSON,
    }
