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

    def __post_init__(self) -> None:
        """Refuse what the store cannot hold.

        Raises:
            ValueError: the address or the delivery id is too long.
        """
        for key, limit in (("address", 255), ("delivery_id", 128)):
            value = getattr(self, key) or ""
            if len(value) > limit:
                raise ValueError(f"{key}={value[:40]!r}… has more than {limit} characters")
