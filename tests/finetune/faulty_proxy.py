"""A proxy before a model server that spoils chosen requests, as networks and providers do."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.loopback import Answering, serving

Spoil = Callable[[str, str, int], "Spoiled | None"]
"""By method, path and how often this was asked before, what goes wrong."""


@dataclass(frozen=True)
class Spoiled:
    """An answer in the provider's place, after `delay_s`; `is_lost` does the work and loses the
    response."""

    status: int = 500
    message: str = "The server had an error while processing your request."
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    is_lost: bool = False
    delay_s: float = 0.0


@contextmanager
def faulty_proxy(url: str, spoil: Spoil) -> Iterator[str]:
    """The base URL of a proxy before the server at `url`."""
    asked: dict[tuple[str, str], int] = {}

    class Handler(Answering):
        def do_GET(self) -> None:
            self.forward(None)

        def do_POST(self) -> None:
            self.forward(self.read_body())

        def do_DELETE(self) -> None:
            self.forward(None)

        def forward(self, body: bytes | None) -> None:
            path = self.path.removeprefix("/v1").partition("?")[0]
            key = (self.command, path)
            spoiled = spoil(*key, asked.get(key, 0))
            asked[key] = asked.get(key, 0) + 1
            if spoiled is None or spoiled.is_lost:
                status, kind, content = self.ask(body)
            if spoiled is None:
                self.answer(status, content, {"content-type": kind})
            elif spoiled.is_lost:
                self.close_connection = True
            else:
                time.sleep(spoiled.delay_s)
                self.answer(spoiled.status, _error(spoiled), spoiled.headers)

        def ask(self, body: bytes | None) -> tuple[int, str, bytes]:
            target = url.removesuffix("/v1") + self.path
            kind = {"content-type": self.headers.get("content-type", "application/json")}
            request = Request(target, data=body, headers=kind, method=self.command)
            try:
                with urlopen(request, timeout=30) as response:
                    return response.status, response.headers["content-type"], response.read()
            except HTTPError as error:
                return error.code, "application/json", error.read()

    with serving(Handler) as proxy:
        yield f"{proxy}/v1"


def _error(spoiled: Spoiled) -> bytes:
    error = {
        "message": spoiled.message,
        "type": "invalid_request_error",
        "param": None,
        "code": spoiled.code,
    }
    return json.dumps({"error": error}).encode()
