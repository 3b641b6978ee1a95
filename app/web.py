"""The web server: chat at `/`, console at `/console`, `/health` and `/metrics`."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from app.console import mount_console
from app.metrics import Metrics
from app.nod import Nod
from bot.channels.web import WebChannel, mount_web_chat

GRACE_S = 5
"""What requests under way get at the end."""


class WebServer:
    """`run` until `stop`."""

    def __init__(self, nod: Nod, listener: socket.socket) -> None:
        self._nod = nod
        self._listener = listener
        self._metrics = Metrics(nod.database)
        self.app = FastAPI(title="Nod", docs_url=None, redoc_url=None, openapi_url=None)
        self._add_probes()
        self._chat: WebChannel = mount_web_chat(self.app, nod)
        mount_console(self.app, nod)
        self._server = _Server(
            uvicorn.Config(
                self.app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    async def run(self) -> None:
        await self._metrics.start()
        await self._server.serve(sockets=[self._listener])

    async def stop(self) -> None:
        """Open streams end first, or the server would wait for them."""
        await self._chat.close()
        self._server.should_exit = True

    def _add_probes(self) -> None:
        @self.app.get("/health")
        async def health(response: Response) -> dict[str, str]:
            """Whether messages are taken: 200, or 503 where the database does not answer."""
            try:
                async with asyncio.timeout(3), self._nod.database.read() as session:
                    await session.execute(text("select 1"))
            except Exception as error:
                response.status_code = 503
                return {"status": "unwell", "database": type(error).__name__}
            return {"status": "ok", "models": self._models()}

        @self.app.get("/metrics")
        async def metrics() -> Response:
            server = self._nod.model_server
            self._metrics.model_server_ready.set(server.is_ready if server else 1)
            return Response(await self._metrics.render(), media_type=CONTENT_TYPE_LATEST)

    def _models(self) -> str:
        server = self._nod.model_server
        if server is None:
            return "elsewhere"
        return "ready" if server.is_ready else "starting"


class _Server(uvicorn.Server):
    """Signals are for the whole program, which stops the server in its turn."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
