"""uvicorn, saying where it listens once it does."""

import socket

import uvicorn
from fastapi import FastAPI

_GRACE_S = 10  # what answers under way get at the end


class Server(uvicorn.Server):
    """Prints one line on stdout as soon as requests are taken."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=_GRACE_S,
                limit_concurrency=None,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"modelserver listening on http://{shown}:{port}/v1", flush=True)  # noqa: T201
