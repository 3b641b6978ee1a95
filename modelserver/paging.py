"""Lists in pages: `limit` rows after the row called `after`, newest or oldest first."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from modelserver.database import Database
from modelserver.errors import BadRequestError

Order = Literal["asc", "desc"]


@dataclass(frozen=True, kw_only=True)
class Page:
    rows: list[sqlite3.Row]
    has_more: bool


def read_page(
    database: Database,
    table: str,
    *,
    limit: int,
    after: str | None = None,
    order: Order = "desc",
    where: str = "1",
    values: tuple[object, ...] = (),
) -> Page:
    """`where` is SQL of ours, `values` what it binds. Raises BadRequestError on a wrong `after`."""
    sql = f"SELECT * FROM {table} WHERE {where}"
    if after is not None and limit > 0:
        cursor = database.row(f"SELECT seq FROM {table} WHERE id = ?", after)
        if cursor is None:
            raise BadRequestError(f"No such object: {after}. Start the list again.", param="after")
        sql += f" AND seq {'<' if order == 'desc' else '>'} ?"
        values = (*values, cursor["seq"])
    rows = database.rows(f"{sql} ORDER BY seq {order} LIMIT ?", *values, limit + 1)
    return Page(rows=rows[:limit], has_more=len(rows) > limit)


def show_page(items: list[dict[str, Any]], has_more: bool, *, empty: str | None) -> dict[str, Any]:
    """OpenAI's list object; `empty` stands for the ids of a page without items."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else empty,
        "last_id": items[-1]["id"] if items else empty,
        "has_more": has_more,
    }
