"""What a channel is to the rest of the bot."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

OnPart = Callable[[str], Awaitable[None]]
"""Is told the channel's id of a part as soon as the channel has taken it."""


async def _not_noted(_part: str) -> None:
    """For channels whose replies have one part."""


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A reply on its way to the customer."""

    reply_id: int
    conversation_id: str
    address: str
    text: str
    turn_id: int | None = None
    """The turn that it answers: its preview ends where this begins."""
    sources: Sequence[dict[str, Any]] = ()
    is_rated: bool = False
    """Whether the customer is asked for a thumb."""
    sent_parts: Sequence[str] = ()
    """The channel's ids of the parts that it took before a crash or a refusal."""
    on_part: OnPart = field(default=_not_noted, repr=False, compare=False)
    """Where a reply has several parts: to be called after each but the last."""


class DeliveryError(Exception):
    """The channel did not take the reply.

    DeliveryError
    ├── PermanentDeliveryError   never will: blocked, gone, window closed
    └── TransientDeliveryError   may yet: network, flood limit, server error
    """


class PermanentDeliveryError(DeliveryError):
    """Trying again is of no use."""


class TransientDeliveryError(DeliveryError):
    """Worth another try, not before `retry_after_s` where the channel said so."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Preview(Protocol):
    """What the customer sees while the answer is being made. Never raises: it is a courtesy."""

    async def typing(self) -> None:
        """Show that an answer is being made."""

    async def show(self, text: str) -> None:
        """Show the answer as far as it is written: the whole text so far, not the addition.

        Returns at once: the answer is not read on before.
        """


class Channel(Protocol):
    """A way to the customer."""

    name: str

    def preview(self, address: str, turn_id: int) -> Preview:
        """The preview of the answer to one turn."""

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        """Hand the reply over, from the first part that is not in `sent_parts`.

        Returns the channel's ids of all its parts. A channel that knows replies by their id takes
        one once, however often it is given. Where there is no such id, a part that was taken in
        the moment of a crash is sent again: rather twice than never.

        Raises:
            DeliveryError: it was not, or not wholly, taken.
        """
