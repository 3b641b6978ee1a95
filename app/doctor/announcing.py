"""The ways to the operators, under the doctor's eyes: e-mail and webhook. Nothing is sent."""

import asyncio
import base64
import binascii
import smtplib
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from app.announcing.by_email import PORTS, EmailSender
from app.doctor.finding import Finding, ill, odd, well
from app.settings import Settings, split_commas

TIMEOUT_S = 10.0
WEBHOOK_PORTS = {"http": 80, "https": 443}


async def check_email(settings: Settings) -> Finding:
    """Whether the SMTP server answers, and takes the user and the password."""
    what = "e-mail"
    if settings.smtp_url is None:
        return well(what, "off")
    url = settings.smtp_url.get_secret_value()
    parts = urlsplit(url)
    try:
        where = f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
    except ValueError:  # its words would show what stands there, which may be a password
        mend = "NOD_SMTP_URL is smtp://USER:PASSWORD@HOST:587; in both, write / as %2F and @ as %40"
        return ill(what, "NOD_SMTP_URL has no number for a port", mend)
    sender = EmailSender(url, settings.smtp_from)
    try:
        await asyncio.to_thread(_say_hello, sender)
    except smtplib.SMTPAuthenticationError as error:
        mend = "correct USER and PASSWORD in NOD_SMTP_URL; in both, write @ as %40"
        return ill(what, f"{where} refuses them ({error.smtp_code})", mend)
    except smtplib.SMTPNotSupportedError:
        mend = "leave USER:PASSWORD@ out of NOD_SMTP_URL, or choose a port that takes them"
        return ill(what, f"{where} knows no login", mend)
    except ssl.SSLCertVerificationError as error:
        return ill(what, f"{where}: {error.verify_message}", "mend its certificate, or its name")
    except ssl.SSLError as error:
        mend = "in NOD_SMTP_URL, smtps:// is for port 465 and smtp:// for 587"
        return ill(what, f"{where}: no TLS: {error.reason or error}", mend)
    except (smtplib.SMTPException, OSError) as error:
        mend = "correct NOD_SMTP_URL, or start that server"
        return ill(what, f"{where} does not answer: {_said(error)}", mend)
    if not split_commas(settings.announce_emails):
        return odd(what, f"{where} answers, and nobody gets e-mails", "set NOD_ANNOUNCE_EMAILS")
    return well(what, f"{where} answers" + (" and knows us" if parts.username else ""))


async def check_webhook(settings: Settings) -> Finding:
    """Whether the URL is one, and its host takes a connection."""
    what, mend = "webhook", "set NOD_ANNOUNCE_WEBHOOK_URL to https://HOST/PATH"
    if settings.announce_webhook_url is None:
        return well(what, "off")
    parts = urlsplit(settings.announce_webhook_url)
    if parts.scheme not in WEBHOOK_PORTS or not parts.hostname:
        return ill(what, "NOD_ANNOUNCE_WEBHOOK_URL is no http:// or https:// address", mend)
    try:
        port = parts.port or WEBHOOK_PORTS[parts.scheme]
    except ValueError:
        return ill(what, "NOD_ANNOUNCE_WEBHOOK_URL has no number for a port", mend)
    where = f"{parts.hostname}:{port}"  # the path may be a secret
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return well(what, f"{where}, through a proxy; not tried")
    try:
        await _connect(parts.hostname, port, is_tls=parts.scheme == "https")
    except ssl.SSLError as error:
        said = f"{where}: no TLS: {error.reason or error}"
        return ill(what, said, "mend its certificate, or correct NOD_ANNOUNCE_WEBHOOK_URL")
    except OSError as error:
        mend = "correct NOD_ANNOUNCE_WEBHOOK_URL, or start what listens there"
        return ill(what, f"{where} takes no connection: {_said(error)}", mend)
    return _check_secret(settings, f"{where} takes connections")


def _check_secret(settings: Settings, said: str) -> Finding:
    what, secret = "webhook", settings.announce_webhook_secret
    if secret is None:
        return well(what, f"{said}; not signed")
    kind, _, encoded = secret.get_secret_value().partition("whsec_")
    if not kind:
        try:
            base64.b64decode(encoded, validate=True)
        except binascii.Error:
            mend = "set NOD_ANNOUNCE_WEBHOOK_SECRET to what the receiver has: base64 after whsec_"
            return odd(what, f"{said}; the secret is not in base64, and counts as it stands", mend)
    return well(what, f"{said}; signed")


async def _connect(host: str, port: int, *, is_tls: bool) -> None:
    """Open a connection and close it again, without a word.

    Raises:
        OSError: there is none; the name is not known, or TLS fails, too.
    """
    async with asyncio.timeout(TIMEOUT_S):
        tls = httpx2.create_ssl_context() if is_tls else None
        _, writer = await asyncio.open_connection(host, port, ssl=tls)
    writer.close()


def _say_hello(sender: EmailSender) -> None:
    with sender.log_in(TIMEOUT_S) as server:
        server.noop()


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
