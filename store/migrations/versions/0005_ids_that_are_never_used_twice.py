"""Ids that are never used twice, and when the reviewers were told of a reply."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("turn", "reply", "review", "document", "example")
_setting = sa.table(
    "setting", sa.column("key", sa.String), sa.column("value", sa.JSON), sa.column("updated_by")
)
_reply = sa.table(
    "reply",
    sa.column("id", sa.Integer),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("announced_at", sa.DateTime(timezone=True)),
)
_MARK = "telegram.announced_reply_id"


def upgrade() -> None:
    with op.batch_alter_table("reply", schema=None) as batch_op:
        batch_op.add_column(sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True))
    _mark_the_announced()
    _name_edits_anew()
    _make_anew(is_used_twice=False)


def downgrade() -> None:
    _make_anew(is_used_twice=True)
    with op.batch_alter_table("reply", schema=None) as batch_op:
        batch_op.drop_column("announced_at")


def _mark_the_announced() -> None:
    """Until now a setting said up to which reply the reviewers had been told."""
    connection = op.get_bind()
    mark = connection.scalar(sa.select(_setting.c.value).where(_setting.c.key == _MARK))
    if mark is not None:
        told = sa.update(_reply).where(_reply.c.id <= int(mark))
        connection.execute(told.values(announced_at=_reply.c.created_at))
        connection.execute(sa.delete(_setting).where(_setting.c.key == _MARK))


def _name_edits_anew() -> None:
    """The edit that a reviewer is writing also says which message it was, once it has come."""
    connection = op.get_bind()
    of_edits = _setting.c.key.like("telegram.editing.%")
    rows = connection.execute(sa.select(_setting.c.key, _setting.c.value).where(of_edits)).all()
    for key, reply_id in rows:
        anew = sa.update(_setting).where(_setting.c.key == key)
        connection.execute(anew.values(value={"reply_id": json.loads(str(reply_id))}))


def _make_anew(*, is_used_twice: bool) -> None:
    """SQLite alone gives the id of the newest row again once that is deleted."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table in TABLES:
        options = {"sqlite_autoincrement": not is_used_twice}
        with op.batch_alter_table(table, recreate="always", table_kwargs=options):
            pass
