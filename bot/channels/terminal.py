"""The terminal: one customer, who reads what this process prints."""

from collections.abc import Callable

from bot.channel import Outgoing


class TerminalPreview:
    """The answer as it is written."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text

    async def typing(self) -> None:
        """Who waits at a prompt sees that."""

    async def show(self, text: str) -> None:
        self._on_text(text)


class TerminalChannel:
    """What is printed cannot be refused, so a delivery never fails."""

    name = "terminal"

    def __init__(
        self, *, on_text: Callable[[str], None], on_reply: Callable[[Outgoing], None]
    ) -> None:
        self._preview = TerminalPreview(on_text)
        self._on_reply = on_reply

    def preview(self, address: str, turn_id: int) -> TerminalPreview:  # noqa: ARG002 - one customer
        return self._preview

    async def deliver(self, outgoing: Outgoing) -> list[str]:
        self._on_reply(outgoing)
        return [f"terminal-{outgoing.reply_id}"]
