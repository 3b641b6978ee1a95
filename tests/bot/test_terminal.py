"""The terminal channel."""

from bot.channel import Outgoing
from bot.channels.terminal import TerminalChannel


async def test_a_reply_is_printed_once_however_often_it_is_delivered() -> None:
    printed: list[str] = []
    channel = TerminalChannel(
        on_text=lambda _text: None, on_reply=lambda out: printed.append(out.text)
    )
    reply = Outgoing(reply_id=1, conversation_id="c", address="ann", text="Hello")
    assert await channel.deliver(reply) == await channel.deliver(reply)
    assert printed == ["Hello"]


async def test_the_screen_follows_the_answer() -> None:
    seen: list[str] = []
    channel = TerminalChannel(on_text=seen.append, on_reply=lambda _out: None)
    preview = channel.preview("ann", 1)
    await preview.typing()
    await preview.show("Hel")
    await preview.show("Hello")
    assert seen == ["Hel", "Hello"]
