"""A receiver of webhooks on a free port, which answers as it is told and keeps what it got."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.loopback import Answering, serving


@dataclass
class Receiver:
    """`answers` are (status, Retry-After) for the next requests; after them it takes all."""

    url: str = ""
    answers: list[tuple[int, str | None]] = field(default_factory=list)
    got: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)


@contextmanager
def running_receiver(*answers: tuple[int, str | None]) -> Iterator[Receiver]:
    receiver = Receiver(answers=list(answers))

    class Handler(Answering):
        def do_POST(self) -> None:
            body = self.read_body()
            receiver.got.append((body, dict(self.headers.items())))
            status, retry_after = receiver.answers.pop(0) if receiver.answers else (200, None)
            self.answer(status, headers={"Retry-After": retry_after} if retry_after else None)

    with serving(Handler) as url:
        receiver.url = f"{url}/hooks?token=sesame"
        yield receiver
