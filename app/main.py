"""The `nod` command: what starts it."""

import sys

INTERRUPTED = 130


def run() -> None:
    """The entry point. Ctrl-C ends it without a traceback, also while modules are still read."""
    try:
        from app.command_line import app

        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
