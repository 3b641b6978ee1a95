"""A message of an exported chat, whatever program exported it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """One text that somebody wrote."""

    id: str
    line: int
    """Where it stands in the file."""
    chat: str
    """The name of the chat."""
    is_group: bool
    sender: str
    """The id of who wrote it; where the export has none, the name."""
    name: str
    """As others mention it."""
    text: str
    at: datetime | None = None
    reply_to: str | None = None
    """The id of the message that it replies to."""
    quoted: str | None = None
    """The text that it replies to, where the export has no id of it."""
    mentions: tuple[str, ...] = ()
    """Names without the `@`."""
    is_ours: bool | None = None
    """Whether the owner of the export wrote it; None where the export does not say."""
