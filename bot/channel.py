"""What a channel is to the rest of the bot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A reply on its way to the customer."""

    reply_id: int
    conversation_id: str
    address: str
    text: str
    sources: Sequence[dict[str, Any]] = ()
    sent_parts: Sequence[str] = ()
    """The channel's ids of the parts that went out before a crash or a refusal."""


class DeliveryError(Exception):
    """The channel did not take the reply.

    DeliveryError
    ├── PermanentDeliveryError   never will: blocked, gone, window closed
    └── TransientDeliveryError   may yet: network, flood limit, server error

    Both carry `sent_parts`, so that the next attempt goes on and repeats nothing.
    """

    def __init__(self, message: str, *, sent_parts: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.sent_parts = list(sent_parts)


class PermanentDeliveryError(DeliveryError):
    """Trying again is of no use."""


class TransientDeliveryError(DeliveryError):
    """Worth another try, not before `retry_after_s` where the channel said so."""

    def __init__(
        self, message: str, *, sent_parts: Sequence[str] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, sent_parts=sent_parts)
        self.retry_after_s = retry_after_s


class Preview(Protocol):
    """What the customer sees while the answer is being made. Never raises: it is a courtesy."""

    async def typing(self) -> None:
        """Show that an answer is being made."""

    async def show(self, text: str) -> None:
        """Show the answer as far as it is written: the whole text so far, not the addition."""


class Channel(Protocol):
    """A way to the customer."""

    name: str

    def preview(self, address: str, turn_id: int) -> Preview:
        """The preview of the answer to one turn."""

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        """Hand the reply over; the channel's ids of all its parts.

        Raises:
            DeliveryError: it was not, or not wholly, taken.
        """
