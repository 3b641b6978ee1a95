"""Announcements by e-mail, through the SMTP server that the settings name."""

import asyncio
import hashlib
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from app.announcing import NotSentError
from store import Announcement

TIMEOUT_S = 30.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORTS = {"smtp": 587, "smtps": 465}


class EmailSender:
    """`url` is smtp://USER:PASSWORD@HOST:587 (STARTTLS where offered) or smtps://...:465."""

    def __init__(self, url: str, sender: str) -> None:
        self._parts = urlsplit(url)
        self._sender = sender

    async def send(self, announcement: Announcement, picture: bytes | None) -> None:
        await asyncio.to_thread(self._send, self._write(announcement, picture))

    def _write(self, announcement: Announcement, picture: bytes | None) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self._sender, announcement.recipient
        message["Subject"] = f"Nod: {announcement.subject}"
        message["Date"] = formatdate(announcement.created_at.timestamp())
        # The same for every try, so that a mail program shows a repeated one once.
        message["Message-ID"] = _message_id(announcement, self._sender)
        message.set_content(announcement.text)
        if picture is not None:
            message.add_attachment(picture, maintype="image", subtype="png", filename="loss.png")
        return message

    def _send(self, message: EmailMessage) -> None:
        try:
            with self.log_in() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, why = next(iter(error.recipients.values()))
            raise NotSentError(f"{code} {why!r}", is_permanent=code >= 500) from error
        except (smtplib.SMTPException, OSError) as error:  # time-outs and TLS too
            raise NotSentError(f"{type(error).__name__}: {error}") from error

    @contextmanager
    def log_in(self, timeout_s: float = TIMEOUT_S) -> Iterator[smtplib.SMTP]:
        """The server, ready to take a message. Blocks.

        Raises:
            smtplib.SMTPException: it refuses something.
            OSError: it does not answer, or not by TLS.
        """
        with self._connect(timeout_s) as server:
            if self._parts.username:
                server.login(unquote(self._parts.username), unquote(self._parts.password or ""))
            yield server

    def _connect(self, timeout_s: float) -> smtplib.SMTP:
        host = self._parts.hostname or "localhost"
        port = self._parts.port or PORTS[self._parts.scheme]
        context = ssl.create_default_context()
        if self._parts.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=context)
        server = smtplib.SMTP(host, port, timeout=timeout_s)
        server.ehlo()
        if server.has_extn("starttls") and host not in LOOPBACK:
            server.starttls(context=context)
            server.ehlo()
        return server


def _message_id(announcement: Announcement, sender: str) -> str:
    told = f"{announcement.key}\0{announcement.recipient}\0{announcement.created_at.isoformat()}"
    domain = sender.rsplit("@", 1)[-1].strip("> ") or make_msgid().rsplit("@", 1)[-1].strip(">")
    return f"<nod-{hashlib.sha256(told.encode()).hexdigest()[:32]}@{domain}>"
