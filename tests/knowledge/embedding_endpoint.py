"""A small OpenAI-compatible embedding endpoint over HTTP: the same words, the same vector.

It can be told to be down, and counts what it was asked for.
"""

import base64
import json
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import openai

from knowledge.words import words_of


class EmbeddingEndpoint:
    """Hashes words into `dimension` buckets, so that texts that share words are near."""

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.is_down = False
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def embed(self, text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        vector = np.full(self.dimension, 0.01, dtype=np.float32)
        for word in words_of(text.removeprefix("query: ").removeprefix("passage: ")):
            vector[zlib.crc32(word.encode()) % self.dimension] += 1
        return vector

    def _handler(endpoint) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if endpoint.is_down:
                    self._answer(503, {"error": {"message": "down for the test"}})
                    return
                endpoint.asked.extend(body["input"])
                rows = [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": base64.b64encode(endpoint.embed(text).tobytes()).decode(),
                    }
                    for index, text in enumerate(body["input"])
                ]
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                answer = {"object": "list", "data": rows, "model": body["model"], "usage": usage}
                self._answer(200, answer)

            def _answer(self, status: int, answer: dict[str, Any]) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
