"""Cron's five fields, read as crontab reads them."""

from apscheduler.triggers.cron import CronTrigger

from store import utc_now

_FIELDS = ("minute", "hour", "day", "month", "weekday")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Crontab's 0 to 7. APScheduler counts from Monday, so that a number would be the day after."""


class CronError(ValueError):
    """It is no time in cron's form, or one that never comes; the message says which."""


def read_cron(cron: str) -> CronTrigger:
    """The trigger of minute, hour, day, month and weekday, in UTC.

    Where day and weekday are both given, both must fit: crontab takes either.

    Raises:
        CronError: with the way out.
    """
    try:
        fields = cron.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"{len(fields)} fields instead of {', '.join(_FIELDS)}")
        minute, hour, day, month, weekdays = fields
        trigger = CronTrigger.from_crontab(
            f"{minute} {hour} {day} {month} {_name_weekdays(weekdays)}", timezone="UTC"
        )
    except ValueError as error:
        raise CronError(
            f"{cron!r} is not a time in cron's form ({error}); '0 3 * * *' is each day at 03:00"
        ) from None
    if trigger.get_next_fire_time(None, utc_now()) is None:
        raise CronError(f"{cron!r} never comes; '0 3 * * *' is each day at 03:00")
    return trigger


def _name_weekdays(field: str) -> str:
    return ",".join(name for part in field.split(",") for name in _names(part))


def _names(part: str) -> list[str]:
    """`1-3` as mon, tue, wed; what has no numbers stays as it is."""
    days, _, step = part.partition("/")
    if days == "*" and step:
        days = "0-6"
    first, _, last = days.partition("-")
    if not first.isdigit():
        return [part]
    places = range(int(first), int(last or first) + 1, int(step or 1))
    if not places or places[-1] >= len(_WEEKDAYS):
        raise ValueError(f"the weekday {part!r} is not within 0 (Sunday) to 7 (Sunday)")
    return [_WEEKDAYS[place] for place in places]
