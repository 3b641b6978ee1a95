"""The terminal: one customer, in this process."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.channel import Outgoing


@dataclass
class TerminalPreview:
    """The answer as it is written."""

    on_text: Callable[[str], None]

    async def typing(self) -> None:
        """The screen shows by itself that it waits."""

    async def show(self, text: str) -> None:
        self.on_text(text)


class TerminalChannel:
    """Hands previews and replies to a screen.

    Args:
        on_text: is given the answer so far, each time that it grows.
        on_reply: is given each reply, once: what was printed is not printed again.
    """

    name = "terminal"

    def __init__(
        self, *, on_text: Callable[[str], None], on_reply: Callable[[Outgoing], None]
    ) -> None:
        self._on_text = on_text
        self._on_reply = on_reply
        self._printed: set[int] = set()

    def preview(self, address: str, turn_id: int) -> TerminalPreview:  # noqa: ARG002 - one screen
        return TerminalPreview(self._on_text)

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        if outgoing.reply_id not in self._printed:
            self._printed.add(outgoing.reply_id)
            self._on_reply(outgoing)
        return [f"printed-{outgoing.reply_id}"]
