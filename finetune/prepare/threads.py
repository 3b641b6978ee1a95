"""Threads: exported chats become questions with their answers.

In a group, an answer belongs to the message that it replies to, quotes, or whose author it
mentions. A question that goes on from an answer keeps what came before it as its history. All else
is chatter, and left out. In a private chat the two sides take turns, and a long silence begins
another conversation.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from finetune.prepare.chat_message import ChatMessage
from finetune.prepare.exchange import Exchange, Said, exchange_id
from finetune.prepare.questions import asks, is_chatter

REMEMBERED = 5_000
"""Messages of a chat that an answer may still refer to."""
SILENCE = timedelta(hours=6)
"""After it, a private chat is about something else."""
AFTERTHOUGHT = timedelta(minutes=3)
"""Within it, what the same person writes next belongs to what they wrote before."""
MENTION_REACH = timedelta(hours=2)
"""So far back a mention may answer a question."""
MAX_HISTORY = 8


@dataclass
class _Node:
    """A message and what it belongs to."""

    message: ChatMessage
    text: str
    parent: "_Node | None" = None
    reason: str = ""
    last_at: ChatMessage | None = None
    """The last afterthought."""


@dataclass(kw_only=True)
class ThreadReport:
    """What became of the messages."""

    messages: int = 0
    exchanges: int = 0
    unanswered: int = 0
    """Questions that nobody is seen to answer."""


def find_exchanges(
    messages: Iterable[ChatMessage],
    report: ThreadReport,
    *,
    answerers: frozenset[str] = frozenset(),
) -> Iterator[Exchange]:
    """Questions with their answers, in the order of the answers.

    Args:
        answerers: names of those whose answers count; everybody's where it is empty.
    """
    chat: _Group | _Private | None = None
    name: tuple[str, bool] | None = None
    for message in messages:
        report.messages += 1
        if (message.chat, message.is_group) != name:
            yield from _close(chat, report)
            name = (message.chat, message.is_group)
            chat = _Group(report, answerers) if message.is_group else _Private()
        assert chat is not None
        for exchange in chat.take(message):
            report.exchanges += 1
            yield exchange
    yield from _close(chat, report)


def _close(chat: "_Group | _Private | None", report: ThreadReport) -> Iterator[Exchange]:
    for exchange in chat.end() if chat else ():
        report.exchanges += 1
        yield exchange


class _Group:
    """Many people, several threads at a time."""

    def __init__(self, report: ThreadReport, answerers: frozenset[str]) -> None:
        self._report = report
        self._answerers = answerers
        self._recent: deque[_Node] = deque(maxlen=REMEMBERED)
        self._by_id: dict[str, _Node] = {}
        self._answers: deque[_Node] = deque()
        """Those that may still get an afterthought."""
        self._open: set[str] = set()
        """Questions that nobody has answered yet."""

    def take(self, message: ChatMessage) -> Iterator[Exchange]:
        yield from self._ripen(message)
        node = _Node(message=message, text=_without_mentions(message))
        if self._is_afterthought(node):
            return
        node.parent, node.reason = self._parent_of(message)
        self._remember(node)
        if node.parent is None:
            self._open |= {message.id} if asks(node.text) else set()
        elif self._is_answer(node):
            self._open.discard(node.parent.message.id)
            self._answers.append(node)

    def end(self) -> Iterator[Exchange]:
        while self._answers:
            yield self._exchange(self._answers.popleft())
        self._report.unanswered += len(self._open)

    def _ripen(self, message: ChatMessage) -> Iterator[Exchange]:
        """Answers that no afterthought can reach any more."""
        while self._answers and _gap(self._answers[0], message) > AFTERTHOUGHT:
            yield self._exchange(self._answers.popleft())

    def _is_afterthought(self, node: _Node) -> bool:
        message = node.message
        if message.reply_to or message.quoted or message.mentions or not self._recent:
            return False
        before = self._recent[-1]
        is_same = before.message.sender == message.sender
        if not is_same or _gap(before, message) > AFTERTHOUGHT:
            return False
        if asks(node.text) and not asks(before.text):
            return False  # a new question after a remark
        if not is_chatter(node.text):
            before.text = f"{before.text}\n{node.text}"
        before.last_at = message
        self._by_id[message.id] = before
        return True

    def _parent_of(self, message: ChatMessage) -> tuple[_Node | None, str]:
        if message.reply_to:
            return self._by_id.get(message.reply_to), "a reply"
        if message.quoted:
            wanted = _flat(message.quoted)
            found = (node for node in reversed(self._recent) if wanted in _flat(node.text))
            return next(found, None), "a quotation"
        names = {name.casefold() for name in message.mentions}
        for node in reversed(self._recent) if names else ():
            if _gap(node, message) > MENTION_REACH:
                break
            if node.message.name.casefold() in names and asks(node.text):
                return node, "a mention"
        return None, ""

    def _is_answer(self, node: _Node) -> bool:
        asked = node.parent
        if asked is None or asked.message.sender == node.message.sender or is_chatter(node.text):
            return False
        if self._answerers and node.message.name not in self._answerers:
            return False
        if asks(node.text) and not re.search(r"[.!。！]\s*\S", node.text):
            return False  # asks back
        return asks(asked.text) or (asked.parent is not None and not is_chatter(asked.text))

    def _remember(self, node: _Node) -> None:
        if len(self._recent) == REMEMBERED:
            self._by_id.pop(self._recent[0].message.id, None)
        self._recent.append(node)
        self._by_id[node.message.id] = node

    def _exchange(self, node: _Node) -> Exchange:
        asked = node.parent
        assert asked is not None
        asker = asked.message.sender
        history: list[Said] = []
        above = asked.parent
        while above is not None and len(history) < MAX_HISTORY:
            is_asker = above.message.sender == asker
            history.append(Said(role="customer" if is_asker else "person", text=above.text))
            above = above.parent
        return Exchange(
            question=asked.text,
            answer=node.text,
            history=tuple(reversed(history)),
            place=_place(asked.message, node.message),
            id=exchange_id(node.message.chat, asked.message.id, node.message.id),
            reason=node.reason,
        )


class _Private:
    """A customer and we."""

    def __init__(self) -> None:
        self._turns: list[tuple[bool, list[ChatMessage]]] = []

    def take(self, message: ChatMessage) -> Iterator[Exchange]:
        last = self._turns[-1][1][-1] if self._turns else None
        if last and last.at and message.at and message.at - last.at > SILENCE:
            yield from self.end()
        is_ours = bool(message.is_ours)
        if self._turns and self._turns[-1][0] is is_ours:
            self._turns[-1][1].append(message)
        else:
            self._turns.append((is_ours, [message]))

    def end(self) -> Iterator[Exchange]:
        """All exchanges of the conversation so far."""
        history: list[Said] = []
        for place, (is_ours, messages) in enumerate(self._turns):
            text = "\n".join(each.text for each in messages)
            if is_ours and place and not is_chatter(text):
                asked = self._turns[place - 1][1]
                question = "\n".join(each.text for each in asked)
                if not is_chatter(question):
                    yield Exchange(
                        question=question,
                        answer=text,
                        history=tuple(history[:-1][-MAX_HISTORY:]),
                        place=_place(asked[0], messages[0]),
                        id=exchange_id(messages[0].chat, asked[0].id, messages[0].id),
                        reason="a private chat",
                    )
            history.append(Said(role="person" if is_ours else "customer", text=text))
        self._turns = []


def _place(asked: ChatMessage, answered: ChatMessage) -> str:
    return f"{asked.chat}, lines {asked.line} and {answered.line}"


def _gap(node: _Node, message: ChatMessage) -> timedelta:
    before = (node.last_at or node.message).at
    return message.at - before if message.at and before else timedelta()


def _without_mentions(message: ChatMessage) -> str:
    """Names are nothing to learn."""
    text = message.text
    for name in message.mentions:
        text = re.sub(rf"@?{re.escape(name)}[\u2005,:，：]?\s*", "", text)
    return text.strip()


def _flat(text: str) -> str:
    return re.sub(r"\s+", "", text)[:60]
