"""`python -m modelserver keys add|list|revoke`: API keys of a data folder, also while it serves."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from modelserver.database import Database, NewerDatabaseError
from modelserver.keys import Keys, UnknownKeyError

_EXAMPLES = """
examples:
  python -m modelserver keys add laptop --data ~/models
      prints a new key, once; only its hash is kept
  python -m modelserver keys list --data ~/models
  python -m modelserver keys revoke key-3hT0aXq9PzLm --data ~/models
      a server that runs turns it away within a second

A server whose folder has ever had a key asks everybody for one.
"""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    path = options.data / "modelserver.sqlite3"
    if options.run is not _add and not path.exists():
        return _refuse(f"--data {options.data}: no server has worked there, and no key was made")
    try:
        options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(Database(path)) as database:
            options.run(Keys(database), options)
    except (UnknownKeyError, NewerDatabaseError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"--data {options.data} cannot be made or written ({error.strerror})")
    except sqlite3.DatabaseError as error:
        return _refuse(f"{path} cannot be read ({error}): choose another --data")
    return 0


def _refuse(reason: str) -> int:
    print(f"modelserver: {reason}", file=sys.stderr)  # noqa: T201
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelserver keys",
        description="API keys: make one, list them, take one back.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="add|list|revoke", required=True)
    add = actions.add_parser("add", help="make a key and print it, once")
    add.add_argument("name", help="whose it is, to tell keys apart")
    add.set_defaults(run=_add)
    actions.add_parser("list", help="ids, names and last letters").set_defaults(run=_list)
    revoke = actions.add_parser("revoke", help="turn a key away from now on")
    revoke.add_argument("id", help="as `keys list` shows it")
    revoke.set_defaults(run=_revoke)
    for action in actions.choices.values():
        action.add_argument("--data", type=Path, required=True, metavar="DIR")
    return parser


def _add(keys: Keys, options: argparse.Namespace) -> None:
    key_id, key = keys.add(options.name)
    print(key)  # noqa: T201
    print(f"{key_id} is its id. It is shown this once: keep it safe.", file=sys.stderr)  # noqa: T201


def _list(keys: Keys, options: argparse.Namespace) -> None:  # noqa: ARG001 (as its siblings)
    row = "{:<18} {:<20} {:<8} {:<17} {}".format
    print(row("ID", "NAME", "KEY", "MADE", "REVOKED"))  # noqa: T201
    for key in keys.rows():
        made, revoked = _show_time(key["created_at"]), _show_time(key["revoked_at"])
        print(row(key["id"], key["name"], f"…{key['hint']}", made, revoked).rstrip())  # noqa: T201


def _revoke(keys: Keys, options: argparse.Namespace) -> None:
    keys.revoke(options.id)
    print(f"{options.id} is revoked")  # noqa: T201


def _show_time(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
