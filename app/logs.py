"""Logs: pretty for people, JSON for machines, and never a secret in either."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from app.outage import is_broken_off, shorten_outage
from app.settings import Settings

_SECRET_KEY = re.compile("token|password|secret|api_key|authorization|cookie", re.IGNORECASE)
_NO_SECRET = frozenset({"prompt_tokens", "completion_tokens", "trained_tokens", "tokens"})
_SECRETS_IN_TEXT = (
    (re.compile(r"(://[^/@\s:]*):[^\s]*@"), r"\1:***@"),  # passwords in URLs
    (re.compile(r"\d{6,}:[A-Za-z0-9_-]{30,}"), "***"),  # Telegram tokens, also in URLs
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), "***"),  # OpenAI's keys and their kin
    (re.compile(r"(?i)(bearer )\S+"), r"\1***"),
)
_CHATTY = (
    "httpx",
    "httpx2",
    "httpcore",
    "openai",
    "apscheduler",
    "alembic",
    "chromadb",
    "jieba",
    "uvicorn",
)
"""They log every request at info; what matters of it we log ourselves."""


def set_up_logs(settings: Settings, *, level: str | None = None) -> None:
    """Send our own and the libraries' logs to stderr in one form."""
    shows_all = (level or settings.log_level) == "debug"
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if shows_all else [shorten_outage]),
                structlog.processors.format_exc_info,
                redact,
                _renderer(is_json=settings.log_json),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # A damaged PDF is refused in our own words, with its name.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    root.setLevel((level or settings.log_level).upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.getLogger("uvicorn.error").addFilter(_is_no_hang_up)
    # It warns at each tick that a run's step takes longer than the pause between two ticks.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    # At the end it calls what it broke off an error, with a traceback.
    logging.getLogger("apscheduler.executors.default").addFilter(_is_not_broken_off)


def _is_no_hang_up(record: logging.LogRecord) -> bool:
    """A browser that left before its page came: Starlette's middleware calls that an error."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, RuntimeError) and str(error) == "No response returned.")


def _is_not_broken_off(record: logging.LogRecord) -> bool:
    return not is_broken_off(record.exc_info)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Take out what looks like a secret: by its key, or by its form in any text."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and key not in _NO_SECRET:
        return "***"
    if isinstance(value, Mapping):
        return {inner: _clean(str(inner), each) for inner, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(key, each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    for pattern, shown in _SECRETS_IN_TEXT:
        text = pattern.sub(shown, text)
    return text


def _renderer(*, is_json: bool) -> structlog.types.Processor:
    if is_json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28)
