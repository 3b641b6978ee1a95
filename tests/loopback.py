"""A server on a free port of this machine, for what a test has to answer or to hear itself.

class Handler(Answering):
    def do_GET(self) -> None:
        self.answer(200, b"{}")

with serving(Handler) as url: ...
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering(BaseHTTPRequestHandler):
    """One request; it says nothing on the screen."""

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(
        self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send JSON, unless the headers say what it is; who has gone away does not hear it."""
        said = {"content-type": "application/json", "content-length": str(len(content))}
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in {**said, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[Answering]) -> Iterator[str]:
    """Its URL, without a path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
