"""An SMTP server on loopback that keeps the letters it is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class Mailbox:
    """An SMTP server that takes what it is given, or refuses the next letters."""

    port: int = 0
    letters: list[Message] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        self.letters.append(message_from_bytes(envelope.content))
        return "250 taken"

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 ok"


@asynccontextmanager
async def open_mailbox() -> AsyncIterator[Mailbox]:
    """Its user is `nod`, and the password `s3cret@`."""
    box = Mailbox()

    def check(_server: Any, _session: Any, _envelope: Any, _how: str, data: Any) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"nod", b"s3cret@"), handled=False)

    def serve() -> SMTP:
        return SMTP(box, authenticator=check, auth_require_tls=False, auth_required=True)

    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()
