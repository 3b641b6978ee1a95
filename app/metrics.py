"""Prometheus metrics, read from the tables when somebody asks.

The tables are the truth, so a restart, a second process and a crash between an answer and its
count falsify nothing. How long answers take is observed from the start of this process on.
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store import (
    Announcement,
    Conversation,
    Database,
    ModelVersion,
    Reply,
    ReplyStatus,
    Review,
    Run,
    Stage,
    Thumb,
    Turn,
    TurnState,
)

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
MOST_NEW = 10_000
"""Answers observed at one reading; after a longer pause the rest follows at the next."""


def _count(table: type, *where: Any) -> Select[Any]:
    return select(func.count()).select_from(table).where(*where)


_COUNTERS: dict[str, tuple[str, str, Any]] = {
    "nod_turns": ("Turns stored.", "role", Turn.role),
    "nod_replies": ("Replies stored, by the way they went.", "way", Reply.way),
    "nod_reviews": ("Reviews.", "verdict", Review.verdict),
    "nod_runs": ("Retrains, by the state they are in.", "state", Run.state),
}

_GAUGES: dict[str, tuple[str, Select[Any]]] = {
    "nod_turns_waiting": (
        "Customers' turns that wait for an answer.",
        _count(Turn, Turn.state.in_((TurnState.waiting, TurnState.answering))),
    ),
    "nod_turns_failed": (
        "Customers' turns that were given up.",
        _count(Turn, Turn.state == TurnState.failed),
    ),
    "nod_outbox": (
        "Replies on their way to the customer.",
        _count(Reply, Reply.status.in_((ReplyStatus.ready, ReplyStatus.sending))),
    ),
    "nod_replies_failed": (
        "Replies that no channel took.",
        _count(Reply, Reply.status == ReplyStatus.failed),
    ),
    "nod_replies_held": (
        "Replies that customers wait for, held until a person approves them.",
        _count(Reply, Reply.status == ReplyStatus.held),
    ),
    "nod_review_queue": ("Replies to review.", _count(Reply, Reply.needs_review)),
    "nod_persons_wanted": (
        "Conversations in which the bot asked for a person.",
        _count(Conversation, Conversation.wants_person_at.is_not(None)),
    ),
    "nod_thumbs_up": ("Replies that customers gave a thumb up.", _count(Thumb, Thumb.is_up)),
    "nod_thumbs_down": ("Replies that customers gave a thumb down.", _count(Thumb, ~Thumb.is_up)),
    "nod_announcements_waiting": (
        "Announcements to operators that are still to be sent.",
        _count(Announcement, Announcement.is_open),
    ),
    "nod_canary_version": (
        "The id of the model version that a share of the conversations tries; 0 for none.",
        select(func.coalesce(func.max(ModelVersion.id), 0)).where(
            ModelVersion.stage == Stage.canary
        ),
    ),
    "nod_live_model_version": (
        "The id of the live model version; 0 while the base model answers alone.",
        select(func.coalesce(func.max(ModelVersion.id), 0)).where(ModelVersion.stage == Stage.live),
    ),
}


class Metrics:
    """One for a web server; `render` is what `/metrics` answers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._registry = CollectorRegistry()
        self._tables = _Tables()
        self._registry.register(self._tables)
        self._answer_s = self._histogram(
            "nod_answer_seconds", "From the start of an answer to its end."
        )
        self._first_token_s = self._histogram(
            "nod_first_token_seconds", "From the start of an answer to its first token."
        )
        self.model_server_ready = Gauge(
            "nod_model_server_ready",
            "Whether our own model server answers (1), as far as we know.",
            registry=self._registry,
        )
        self._last_reply_id: int | None = None

    async def start(self) -> None:
        """From here on answers are observed."""
        async with self._database.read() as session:
            self._last_reply_id = await session.scalar(select(func.max(Reply.id))) or 0

    async def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        if self._last_reply_id is None:
            await self.start()
        async with self._database.read() as session:
            self._tables.families = await _read(session)
            await self._observe_new(session)
        return generate_latest(self._registry)

    def _histogram(self, name: str, caption: str) -> Histogram:
        return Histogram(name, caption, ["way"], buckets=BUCKETS_S, registry=self._registry)

    async def _observe_new(self, session: AsyncSession) -> None:
        fresh = await session.execute(
            select(Reply.id, Reply.way, Reply.total_ms, Reply.first_token_ms)
            .where(Reply.id > self._last_reply_id)
            .order_by(Reply.id)
            .limit(MOST_NEW)
        )
        for reply_id, way, total_ms, first_token_ms in fresh:
            self._last_reply_id = reply_id
            if total_ms is not None:
                self._answer_s.labels(way.value).observe(total_ms / 1000)
            if first_token_ms is not None:
                self._first_token_s.labels(way.value).observe(first_token_ms / 1000)


class _Tables(Collector):
    """What was last read from the tables."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.families


async def _read(session: AsyncSession) -> list[Metric]:
    families: list[Metric] = []
    for name, (caption, label, column) in _COUNTERS.items():
        counter = CounterMetricFamily(name, caption, labels=[label])
        for member, count in await session.execute(
            select(column, func.count()).group_by(column).order_by(column)
        ):
            counter.add_metric([member.value], count)
        families.append(counter)
    for name, (caption, query) in _GAUGES.items():
        families.append(GaugeMetricFamily(name, caption, value=await session.scalar(query)))
    return families
