"""Announce: what the operators are to hear, written down in the transaction of what has happened.

One row a recipient; `app.announcer` sends them. What has been announced once under a key is never
announced again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import Announcement, Run, RunState, User, UserRole, Via

TOLD = frozenset(
    {
        RunState.promoted,
        RunState.canary,
        RunState.refused,
        RunState.failed,
        RunState.cancelled,
    }
)
"""Ends that are news; that a night brought nothing new to learn is none."""


@dataclass(frozen=True, kw_only=True)
class Recipients:
    """Where announcements go, as the settings say."""

    emails: tuple[str, ...] = ()
    webhook_url: str | None = None
    has_telegram: bool = False
    """Then every operator whose account is linked gets them."""


async def announce(
    session: AsyncSession,
    recipients: Recipients,
    *,
    key: str,
    subject: str,
    text: str,
    data: dict[str, Any],
    run_id: int | None = None,
) -> None:
    """Write one announcement for each recipient that has not got this one."""
    key = key[:128]
    known = await session.execute(
        select(Announcement.via, Announcement.recipient).where(Announcement.key == key)
    )
    told = {(via, recipient) for via, recipient in known}
    for via, recipient in [*_addresses(recipients), *await _operators(session, recipients)]:
        if (via, recipient) not in told:
            session.add(
                Announcement(
                    key=key,
                    via=via,
                    recipient=recipient,
                    subject=subject[:255],
                    text=text,
                    data=data,
                    run_id=run_id,
                )
            )


async def announce_run(
    session: AsyncSession, recipients: Recipients, run: Run, state: RunState, note: str
) -> None:
    """Tell that a run has come to this end."""
    if state not in TOLD:
        return
    await announce(
        session,
        recipients,
        key=f"run.{run.id}.{state}",
        subject=f"Run {run.id} is {state}",
        text=f"Run {run.id} on {run.base_model} is {state}: {note}",
        data={
            "type": f"run.{state}",
            "run": run.id,
            "base_model": run.base_model,
            "tuned_model": run.tuned_model,
            "reason": note,
        },
        run_id=run.id,
    )


def _addresses(recipients: Recipients) -> Iterator[tuple[Via, str]]:
    for email in recipients.emails:
        yield Via.email, email
    if recipients.webhook_url:
        yield Via.webhook, recipients.webhook_url


async def _operators(session: AsyncSession, recipients: Recipients) -> list[tuple[Via, str]]:
    if not recipients.has_telegram:
        return []
    users = await session.scalars(
        select(User).where(User.telegram_id.is_not(None), User.disabled_at.is_(None))
    )
    return [
        (Via.telegram, str(user.telegram_id))
        for user in users
        if user.role.may_act_as(UserRole.operator)
    ]
