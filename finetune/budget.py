"""The budget: what a run may cost, what a month may, and how many jobs a day may bring.

Prices are of the trained tokens: the dataset's, times its epochs. On one's own machine the price
is 0 and only the number of jobs counts.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from finetune.prepare.prices import SHIPPED, find_price, read_prices
from store import Dataset, Run, utc_now
from store.switches import read_switches

AUTO_EPOCHS = 3
"""What providers choose for datasets of a usual size, when they may choose."""


class OverLimitError(ValueError):
    """The run would break a limit; says which, by how much, and how to change it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the settings say about money."""

    is_free: bool = True
    """Trained on one's own machine."""
    price_per_million: float | None = None
    """Of a million trained tokens; none: what the table of prices says of the base model."""
    prices: Path = SHIPPED
    """That table."""
    most_per_run: float | None = None
    most_per_month: float | None = None

    @property
    def has_budget(self) -> bool:
        return self.most_per_run is not None or self.most_per_month is not None

    def price_of(self, base_model: str) -> float | None:
        """Of a million trained tokens of this base model; none where nobody knows it."""
        if self.price_per_million is not None:
            return self.price_per_million
        if self.is_free:
            return 0.0
        known = find_price(read_prices(self.prices), base_model)
        return known.price if known else None


def estimate_cost(run: Run, dataset: Dataset, limits: Limits) -> float:
    """What the training of a run will cost, by the dataset's own count of tokens."""
    epochs = run.hyperparameters.get("n_epochs", "auto")
    tokens = int(dataset.report.get("tokens", {}).get("train", 0))
    epochs = epochs if isinstance(epochs, int) else AUTO_EPOCHS
    return tokens * epochs * (limits.price_of(run.base_model) or 0.0) / 1_000_000


def cost_of(run: Run, trained_tokens: int | None, limits: Limits) -> float | None:
    """What was paid for so many tokens; the estimate where the provider does not count them."""
    if trained_tokens is None:
        return run.cost
    return trained_tokens * (limits.price_of(run.base_model) or 0.0) / 1_000_000


async def refuse_over_limits(
    session: AsyncSession, run: Run, dataset: Dataset, limits: Limits
) -> None:
    """Hold a run against every limit.

    Raises:
        OverLimitError: names the first limit that it breaks.
    """
    now = utc_now()
    most_jobs = (await read_switches(session)).retrain_jobs_a_day
    if most_jobs and await _jobs_today(session, run, now) >= most_jobs:
        raise OverLimitError(
            f"{most_jobs} job(s) were created today (UTC), and retrain_jobs_a_day={most_jobs} "
            f"allows no more: run it tomorrow, or `nod schedule --jobs-a-day`"
        )
    if limits.has_budget and limits.price_of(run.base_model) is None:
        raise OverLimitError(
            f"NOD_RUN_BUDGET or NOD_MONTH_BUDGET is set, and no price of {run.base_model} is "
            f"known: set NOD_TRAINING_PRICE, of a million trained tokens"
        )
    cost = estimate_cost(run, dataset, limits)
    if limits.most_per_run is not None and cost > limits.most_per_run:
        raise OverLimitError(
            f"training would cost about {cost:.2f}, and NOD_RUN_BUDGET={limits.most_per_run:g} "
            f"is the most for one run: fewer epochs, a smaller dataset or a larger budget"
        )
    if limits.most_per_month is not None:
        spent = await spent_this_month(session, now)
        if spent + cost > limits.most_per_month:
            raise OverLimitError(
                f"training would cost about {cost:.2f}; {spent:.2f} of "
                f"NOD_MONTH_BUDGET={limits.most_per_month:g} are spent this month (UTC): wait for "
                f"the next one, or raise it"
            )


async def spent_this_month(session: AsyncSession, now: datetime) -> float:
    """The cost of all jobs of runs that began in this UTC month."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spent = await session.scalar(select(func.sum(Run.cost)).where(Run.created_at >= first))
    return float(spent or 0.0)


def quiet_until(now: datetime, hours: str) -> datetime | None:
    """The end of the quiet hours that a time lies in, such as 08:00-20:00; they may span midnight.

    Both times alike mean the whole day.
    """
    if not hours:
        return None
    start, end = (time.fromisoformat(each) for each in hours.split("-"))
    clock = now.time().replace(tzinfo=None)
    is_quiet = start <= clock < end if start < end else clock >= start or clock < end
    if not is_quiet:
        return None
    ends_at = now.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
    return ends_at if ends_at > now else ends_at + timedelta(days=1)


async def _jobs_today(session: AsyncSession, run: Run, now: datetime) -> int:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    query = (
        select(func.count())
        .select_from(Run)
        .where(Run.job_id.is_not(None), Run.created_at >= midnight, Run.id != run.id)
    )
    return await session.scalar(query) or 0
