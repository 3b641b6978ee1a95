"""A visit: one open page of the console, the user who opened it and what that user may do.

Every change goes through `doing`, which asks the store again who this is: a page that was opened
before its user was shut out, or lost a role, can change nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from fastapi import Request
from nicegui import ui

from app.console.guard import USER
from app.console.health import Health
from app.console.login import COOKIE, read_user
from app.console.retelling import retell
from app.console.words import Language, choose_language, translate
from app.nod import Nod
from finetune.run import RunActiveError
from store import Database, User, UserRole, utc_now

log = structlog.get_logger(__name__)

Act = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Desk:
    """What all pages share."""

    nod: Nod
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "health", Health(self.nod.models))


class Visit:
    """One open page."""

    def __init__(self, desk: Desk, request: Request) -> None:
        self.desk = desk
        self.nod = desk.nod
        self.database: Database = desk.nod.database
        self.request = request
        self.user: User = request.scope[USER]
        self.language: Language = choose_language(request.headers, request.cookies)
        self._token = request.cookies.get(COOKIE)
        self._client = ui.context.client

    def say(self, english: str, **values: object) -> str:
        """The sentence in the user's language, its {blanks} filled."""
        sentence = translate(self.language, english)
        return sentence.format(**values) if values else sentence

    def retell(self, told: str) -> str:
        """What a run, a canary or a refusal says, in the user's language."""
        return retell(self.language, told)

    def may(self, needed: UserRole) -> bool:
        """Whether to offer something; `doing` decides again when it is done."""
        return self.user.role.may_act_as(needed)

    def doing(self, needed: UserRole, act: Act) -> Act:
        """A handler that does it if the user still may, and tells what went wrong.

        Who presses again while it is done has pressed once.
        """
        is_busy = False

        async def checked() -> None:
            nonlocal is_busy
            if is_busy:
                return
            is_busy = True
            try:
                with self._client:  # the act may remove the very button that was pressed
                    if await self._is_allowed(needed):
                        await self._attempt(act)
            finally:
                is_busy = False

        return checked

    async def _attempt(self, act: Act) -> None:
        try:
            await act()
        except (ValueError, RunActiveError) as error:  # SwitchError, UserError...: to be read
            self.tell(self.retell(str(error)), is_bad=True)
        except Exception:
            log.exception("console_action_failed", path=self.request.url.path)
            self.tell(self.say("That did not work; the log says why."), is_bad=True)

    def live(
        self,
        read: Callable[[], Awaitable[Any]],
        show: Callable[[Any], Awaitable[None]],
        *,
        every_s: float = 1.5,
    ) -> Act:
        """Show what `read` gives now and whenever it differs; the returned act looks at once."""
        seen: list[Any] = []

        async def look() -> None:
            value = await read()
            if seen != [value]:
                seen[:] = [value]
                await show(value)

        async def look_again() -> None:
            if await self._stays():
                await look()

        ui.timer(every_s, look_again, immediate=False)
        return look

    def run_script(self, script: str) -> None:
        """Run JavaScript in the page; also for a button that its own press has removed."""
        self._client.run_javascript(script)

    def name_of(self, customer_name: str | None, conversation_id: str) -> str:
        """What a customer is called here; those without a name are told apart by the id."""
        return customer_name or f"{self.say('Customer')} {conversation_id[:4]}"

    def tell(self, what: str, *, is_bad: bool = False) -> None:
        """A short notice at the edge of the page, also read aloud."""
        classes, stays_ms = ("notice bad", 6000) if is_bad else ("notice", 2500)
        ui.notify(what, position="bottom", classes=classes, timeout=stays_ms)

    def ago(self, at: datetime | None) -> str:
        """How long ago, in the largest unit that fits."""
        if at is None:
            return "–"
        seconds = (utc_now() - at).total_seconds()
        for unit_s, words in _UNITS:
            if seconds >= unit_s:
                return self.say(words, n=int(seconds // unit_s))
        return self.say("just now")

    async def _is_allowed(self, needed: UserRole) -> bool:
        if not await self._stays():
            return False
        if not self.user.role.may_act_as(needed):
            self.tell(
                self.say("This needs the role {role}.", role=self.say(needed.value)), is_bad=True
            )
            return False
        return True

    async def _stays(self) -> bool:
        user = await read_user(self.database, self._token)
        if user is None:
            ui.navigate.to("/login")
            return False
        self.user = user
        return True


_UNITS = (
    (86_400, "{n} d ago"),
    (3_600, "{n} h ago"),
    (60, "{n} min ago"),
)
