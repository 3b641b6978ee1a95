"""Writes the migration for what has changed in the models: `make migration m="Add thumbs"`."""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from store.migrate import MIGRATIONS, migrate_now


def revise(message: str) -> None:
    """Compare the models with a fresh database and write the difference down."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'fresh.db'}"
        migrate_now(url)
        config = Config(attributes={"url": make_url(url)})
        config.set_main_option("script_location", str(MIGRATIONS))
        number = len(list((MIGRATIONS / "versions").glob("[0-9]*.py"))) + 1
        command.revision(config, message=message, autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit('Say what changes: make migration m="Add thumbs"')
    revise(sys.argv[1])
