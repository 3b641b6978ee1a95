"""Cron's fields mean what crontab says they mean."""

from datetime import UTC, datetime

import pytest

from app.cron import CronError, read_cron

A_SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("weekdays", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("1", "Mon"),
        ("mon", "Mon"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("0-2", "Sun Mon Tue"),
        ("5-7", "Fri Sat Sun"),
        ("1,3", "Mon Wed"),
        ("*/3", "Sun Wed Sat"),
        ("*", "Mon Tue Wed Thu Fri Sat Sun"),
    ],
)
def test_weekdays_count_from_sunday(weekdays: str, days: str) -> None:
    trigger = read_cron(f"0 3 * * {weekdays}")
    fires, now = set(), A_SUNDAY
    for _ in range(7):
        now = trigger.get_next_fire_time(now, now)
        fires.add(f"{now:%a}")
    assert fires == set(days.split())


@pytest.mark.parametrize(
    "cron",
    ["", "0 3 * *", "99 * * * *", "a b c d e", "0 3 * * 8", "0 3 * * 5-1", "0 3 * * */0"],
)
def test_what_cron_would_not_know_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(CronError, match=r"not a time in cron's form .*'0 3 \* \* \*'"):
        read_cron(cron)


def test_a_time_that_never_comes_is_refused() -> None:
    with pytest.raises(CronError, match="never comes"):
        read_cron("0 0 31 2 *")
