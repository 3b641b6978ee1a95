"""Telegram Desktop's `result.json`: one exported chat, or all of an account."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from finetune.prepare.chat_message import ChatMessage
from finetune.prepare.complaints import Complaints
from finetune.prepare.readers.json_items import read_items
from finetune.prepare.source import Source

GROUPS = {"private_group", "private_supergroup", "public_supergroup"}
PRIVATE = {"personal_chat", "bot_chat"}
_MENTIONS = {"mention", "mention_name"}
_HEAD = re.compile(r'"(name|type|id)"\s*:\s*("(?:[^"\\]|\\.)*"|\d+|null)\s*,?')


def is_telegram(head: str) -> bool:
    """Whether the beginning of a JSON file is that of an export."""
    kinds = "|".join(GROUPS | PRIVATE | {"saved_messages", "private_channel", "public_channel"})
    has_type = re.search(rf'"type"\s*:\s*"({kinds})"', head)
    return bool(has_type and re.search(r'"messages"\s*:\s*\[', head))


def read_telegram(source: Source, complaints: Complaints) -> Iterator[ChatMessage]:
    """What people wrote in groups and in private chats; joins, calls, stickers are left out."""
    chats = list(_chats(source))
    place, last_id = 0, -1
    for line, record in read_items(source, complaints, key="messages"):
        while place + 1 < len(chats) and line > chats[place + 1][0]:
            place, last_id = place + 1, -1
        chat = chats[place][1] if chats else {}
        number = record.get("id")
        if record.get("type") != "message" or not isinstance(number, int):
            continue
        last_id = max(last_id, number)
        message = _as_message(line, record, chat)
        if message is None:
            continue
        yield message


def _chats(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The line at which each chat's messages begin, and its name, type and id.

    Telegram writes them in this order, each on a line of its own, before the messages.
    """
    from finetune.prepare.complaints import Complaints as Unheard

    head: dict[str, Any] = {}
    for first, lines in source.lines(Unheard()):
        for number, raw in enumerate(lines, start=first):
            line = raw.decode("utf-8", "replace").strip()
            if line.startswith('"messages"') or '"messages":' in line[:200]:
                for name, value in _HEAD.findall(line.partition('"messages"')[0]):
                    head[name] = orjson.loads(value)
                yield number, head
                head = {}
            elif (found := _HEAD.match(line)) and len(raw) < 1000:
                head[found[1]] = orjson.loads(found[2])


def _as_message(line: int, record: dict[str, Any], chat: dict[str, Any]) -> ChatMessage | None:
    text, mentions = _text_of(record.get("text"))
    kind = str(chat.get("type", "private_group"))
    if not text or kind not in GROUPS | PRIVATE or record.get("via_bot"):
        return None
    sender = str(record.get("from_id") or record.get("from") or "")
    is_ours = None if kind in GROUPS else sender != f"user{chat.get('id')}"
    reply_to = record.get("reply_to_message_id")
    return ChatMessage(
        id=str(record["id"]),
        line=line,
        chat=str(chat.get("name") or chat.get("id") or ""),
        is_group=kind in GROUPS,
        sender=sender,
        name=str(record.get("from") or sender),
        text=text,
        at=_time_of(record),
        reply_to=str(reply_to) if reply_to is not None else None,
        mentions=mentions,
        is_ours=is_ours,
    )


def _text_of(text: object) -> tuple[str, tuple[str, ...]]:
    """A text is a string, or a list of strings and of pieces like {"type": "bold", "text": ...}."""
    if isinstance(text, str):
        return text.strip(), tuple(re.findall(r"(?<!\w)@(\w{3,})", text))
    if not isinstance(text, list):
        return "", ()
    parts: list[str] = []
    mentions: list[str] = []
    for piece in text:
        said = piece if isinstance(piece, str) else str((piece or {}).get("text", ""))
        parts.append(said)
        if isinstance(piece, dict) and piece.get("type") in _MENTIONS:
            mentions.append(said.lstrip("@"))
    return "".join(parts).strip(), tuple(mentions)


def _time_of(record: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(record["date_unixtime"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        pass
    try:
        return datetime.fromisoformat(str(record.get("date"))).replace(tzinfo=UTC)
    except ValueError:
        return None
