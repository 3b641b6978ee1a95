"""Settings: from the environment and `.env`, each with a default that runs on one machine.

What an operator switches while the program runs (mode, policy, schedule) is in the store instead:
see store.switches.
"""

import os
import re
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SettingsSourceError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

LOCAL_BASE_MODEL = "smollm2-135m-instruct"
LOCAL_EMBEDDING_MODEL = "multilingual-e5-small"
STUB_EMBEDDING_MODEL = "stub-embeddings"
"""The stub engine's vectors go by a name of their own: what was fitted for the real model does not
hold for them, and an index that holds the one kind refuses the other."""


NOT_OURS = {"NOD_VERSION", "NOD_TEST_POSTGRES"}
"""Read by compose.yaml and by the tests."""


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it, its value and the way out."""


class Settings(BaseSettings):
    """Everything that is decided before the program starts."""

    # An empty value is one not set: `NOD_TELEGRAM_TOKEN=` in a .env is no token, not an empty one.
    model_config = SettingsConfigDict(
        env_prefix="NOD_", env_file=".env", extra="ignore", env_ignore_empty=True
    )

    home: Path = Field(default=Path.home() / ".nod", description="The data folder.")
    host: str = Field(default="127.0.0.1", description="Where the web server listens.")
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = Field(default=None, description="How customers reach the web server.")
    sample: bool = Field(default=True, description="Load the sample shop at the first start.")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_json: bool = Field(default=False, description="Logs as JSON lines, for machines.")

    database_url: str | None = Field(default=None, description="PostgreSQL, or SQLite elsewhere.")
    chroma_url: str | None = Field(default=None, description="A Chroma server; none: on disk.")

    model_base_url: str | None = Field(
        default=None, description="Any OpenAI-compatible endpoint; none: our own model server."
    )
    model_api_key: SecretStr = Field(default=SecretStr("none"))
    base_model: str = Field(default=LOCAL_BASE_MODEL)
    model_timeout_s: float = Field(default=60.0, gt=0)
    trainer_base_url: str | None = Field(default=None, description="Default: model_base_url.")
    trainer_api_key: SecretStr | None = Field(default=None)
    embedding_base_url: str | None = Field(default=None, description="Default: model_base_url.")
    embedding_api_key: SecretStr | None = Field(default=None)
    embedding_model: str = Field(default=LOCAL_EMBEDDING_MODEL)
    model_engine: str = Field(default="llama", pattern="^(llama|stub)$")

    telegram_token: SecretStr | None = Field(default=None)
    telegram_base_url: str = Field(default="https://api.telegram.org")

    context_chunks: int = Field(default=3, ge=1, le=20)
    context_tokens: int = Field(default=400, ge=50, description="Budget of the context.")
    mask_tokens: int = Field(
        default=600, ge=50, description="Budget of a mask's system prompt and few-shot turns."
    )
    history_tokens: int = Field(default=300, ge=0, description="Budget of the history.")
    approved_similarity: float = Field(
        default=0.93, ge=0, le=1, description="From here a question is near the approved one."
    )

    gate_min_items: int = Field(default=8, ge=1, description="Fewer hold-out items: no promotion.")
    gate_confidence: float = Field(default=0.95, gt=0.5, lt=1)
    gate_similarity_loss: float = Field(
        default=0.01, ge=0, le=1, description="So much less of the mean counts as no worse."
    )
    gate_facts_loss: float = Field(default=0.02, ge=0, le=1)
    gate_refusal_loss: float = Field(default=0.02, ge=0, le=1)
    gate_length_loss: float = Field(default=0.1, ge=0, le=1)
    gate_language_loss: float = Field(default=0.01, ge=0, le=1)
    gate_protected: str = Field(
        default="*", description="Slices that may not regress: tag:refund, channel:web; * for all."
    )
    gate_slice_min_items: int = Field(default=5, ge=2, description="Smaller slices are not judged.")
    judge_model: str | None = Field(default=None, description="A model that compares answers.")
    judge_base_url: str | None = Field(default=None, description="Default: model_base_url.")
    judge_api_key: SecretStr | None = Field(default=None)
    redact_words: list[str] = Field(
        default=[], description='Replaced before anything is trained: ["Ada", "Project Fern"].'
    )
    train_expiring: bool = Field(
        default=True, description="Whether prices, dates and stock are trained, or only looked up."
    )
    retention_days: int | None = Field(
        default=None, ge=1, description="What is older is forgotten; none: kept for ever."
    )
    holdout_share: float = Field(default=0.2, gt=0, lt=0.9)

    rival_base_models: str = Field(
        default="", description="More base models that our own model server holds, by commas."
    )
    training_price: float | None = Field(
        default=None, ge=0, description="Of a million trained tokens; none: by the table of prices."
    )
    run_budget: float | None = Field(default=None, ge=0, description="The most for one run.")
    month_budget: float | None = Field(default=None, ge=0, description="The most for one month.")

    canary_min_conversations: int = Field(
        default=20, ge=5, description="Judged conversations on each side at the first look."
    )
    canary_tolerance: float = Field(default=0.05, ge=0, le=1)
    canary_days: int = Field(default=30, ge=1, description="Undecided for so long, it ends.")

    announce_emails: str = Field(default="", description="Who hears how runs end, by commas.")
    smtp_url: SecretStr | None = Field(
        default=None, description="smtp://USER:PASSWORD@HOST:587, or smtps://...:465."
    )
    smtp_from: str = Field(default="nod@localhost", description="The sender of e-mails.")
    announce_webhook_url: str | None = Field(default=None)
    announce_webhook_secret: SecretStr | None = Field(default=None)

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if not url:
            return None
        try:
            backend = make_url(url).get_backend_name()
        except ArgumentError:
            backend = "?"
        if backend not in ("sqlite", "postgresql"):
            raise ValueError("give sqlite+aiosqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
        return url

    @field_validator(
        "public_url",
        "chroma_url",
        "model_base_url",
        "trainer_base_url",
        "embedding_base_url",
        "judge_base_url",
        "telegram_base_url",
    )
    @classmethod
    def _known_address(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/\s]", url):
            raise ValueError("give an address that begins with http:// or https://")
        return url

    @field_validator("smtp_url")
    @classmethod
    def _known_smtp(cls, url: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(url.get_secret_value() if url else "smtp://host")
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("give smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465")
        return url

    @model_validator(mode="after")
    def _can_send_emails(self) -> Self:
        if split_commas(self.announce_emails) and self.smtp_url is None:
            raise ValueError(
                "NOD_ANNOUNCE_EMAILS needs NOD_SMTP_URL: smtp://USER:PASSWORD@HOST:587"
            )
        return self

    @model_validator(mode="after")
    def _resolve_home(self) -> Self:
        self.home = self.home.expanduser().resolve()
        return self

    @model_validator(mode="after")
    def _name_stub_embeddings(self) -> Self:
        is_ours = self.runs_model_server and self.embedding_base_url is None
        if is_ours and self.model_engine == "stub":
            self.embedding_model = STUB_EMBEDDING_MODEL
        return self

    @property
    def store_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.home / 'nod.db'}"

    @property
    def runs_model_server(self) -> bool:
        """Whether the model server is a child of this program."""
        return self.model_base_url is None

    @property
    def base_models(self) -> tuple[str, ...]:
        """The base model and its rivals, each once."""
        return tuple(dict.fromkeys((self.base_model, *split_commas(self.rival_base_models))))

    @property
    def is_for_one_process(self) -> bool:
        """Whether the data folder holds what two processes would spoil for each other."""
        return self.runs_model_server or self.chroma_url is None

    @property
    def web_url(self) -> str:
        """Where a browser finds Nod."""
        return (self.public_url or self.local_url).rstrip("/")

    @property
    def local_url(self) -> str:
        """Where the web server answers, seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}"


def split_commas(value: str) -> tuple[str, ...]:
    """The parts of a setting that is a list."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def load_settings(**overrides: object) -> Settings:
    """The settings as the environment has them.

    Raises:
        SettingsError: names every wrong setting, its value and what it should be.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [_describe(problem) for problem in error.errors()]
        raise SettingsError("Some settings are wrong:\n" + "\n".join(lines)) from None
    except SettingsSourceError:  # its message names neither the variable nor the way out
        raise SettingsError(
            'NOD_REDACT_WORDS is no list in the form of JSON: ["Ada", "Project Fern"]'
        ) from None


def unknown_names() -> tuple[str, ...]:
    """What is called as a setting is, in the environment or in `.env`, and is none: so ignored."""
    known = {f"NOD_{name.upper()}" for name in Settings.model_fields} | NOT_OURS
    given = {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}
    return tuple(sorted(name for name in given - known if name.startswith("NOD_")))


_SECRET = re.compile("key|token|password|secret|smtp_url", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^/@\s:]*):\S*@")


def _describe(problem: ErrorDetails) -> str:
    """One line on one wrong setting, with its value where that is no secret."""
    why = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # of several together, which its words name; the input is all there are
        return f"  {why}"
    if problem["type"] == "string_pattern_mismatch":
        choices = problem["ctx"]["pattern"].strip("^$()").split("|")
        why = f"give one of {', '.join(choices)}"
    name = f"NOD_{problem['loc'][0]}".upper()
    return f"  {name}={_shown(name, problem['input'])}: {why}"


def _shown(name: str, value: object) -> str:
    if _SECRET.search(name):
        return "(not shown)"
    return _URL_PASSWORD.sub(r"\1:***@", repr(value))
