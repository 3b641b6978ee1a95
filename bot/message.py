"""A message: what a channel hands to the inbox."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Message:
    """An inbound event, already verified by its channel.

    A message without text (a photo, a sticker) has `text=""` and says in `attachment` what it was.
    """

    channel: str
    address: str
    """Where the reply goes: a chat id, an open id, a browser's secret."""
    text: str
    delivery_id: str | None = None
    """The channel's own id of this event: the same id is the same message."""
    customer_name: str | None = None
    attachment: str | None = None
