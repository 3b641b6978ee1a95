"""WeChat chats as CSV, in the two forms that the common exporters write.

localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,Sender
id,MsgSvrID,type_name,is_sender,talker,room_name,msg,src,CreateTime
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree

from finetune.prepare.chat_message import ChatMessage
from finetune.prepare.complaints import Complaints
from finetune.prepare.readers.table import read_table
from finetune.prepare.rows import Record
from finetune.prepare.source import Source

_TEXT, _SHARED, _QUOTING = "1", "49", "57"
_FORMS = ({"strcontent", "issender", "type"}, {"msg", "is_sender", "type_name"})
_MENTION = re.compile(r"@([^@\s\u2005]{1,40})(?:\u2005|\s|$)")
_MAX_XML = 64 * 1024


def is_wechat(columns: list[str]) -> bool:
    """Whether a table's columns are those of an exporter."""
    names = {column.strip().casefold() for column in columns}
    return any(form <= names for form in _FORMS)


def read_wechat(source: Source, complaints: Complaints, *, delimiter: str) -> Iterator[ChatMessage]:
    """Texts, and the answers that quote a text; pictures, voices and notices are left out."""
    groups = _groups(source, delimiter)
    for line, cells in _cells(source, complaints, delimiter):
        if message := _as_message(line, cells, groups):
            yield message


def _groups(source: Source, delimiter: str) -> set[str]:
    """Chats in which more than one other person speaks: not every exporter says which they are."""
    speakers: dict[str, set[str]] = {}
    for _line, cells in _cells(source, Complaints(), delimiter):
        if not _is_ours(cells):
            speakers.setdefault(_chat_of(cells), set()).add(_sender_of(cells))
    return {chat for chat, names in speakers.items() if len(names) > 1}


def _cells(source: Source, complaints: Complaints, delimiter: str) -> Iterator[tuple[int, Record]]:
    for rows in read_table(source, complaints, delimiter=delimiter):
        for line, record in zip(rows.numbers, rows.records, strict=True):
            yield line, {name.casefold(): value for name, value in record.items()}


def _is_ours(cells: Record) -> bool:
    return _first(cells, "issender", "is_sender") == "1"


def _chat_of(cells: Record) -> str:
    return _first(cells, "room_name", "talkerid", "talker", "remark", "nickname")


def _sender_of(cells: Record) -> str:
    return _first(cells, "sender", "talker", "nickname", "remark")


def _as_message(line: int, cells: Record, groups: set[str]) -> ChatMessage | None:
    text, quoted = _text_of(cells)
    if not text:
        return None
    chat = _chat_of(cells)
    rooms = (_first(cells, name) for name in ("talkerid", "room_name", "talker"))
    is_ours = _is_ours(cells)
    return ChatMessage(
        id=_first(cells, "msgsvrid", "localid", "id") or str(line),
        line=line,
        chat=chat,
        is_group=chat in groups or any("@chatroom" in room for room in rooms),
        sender="me" if is_ours else _sender_of(cells),
        name=_first(cells, "nickname", "remark", "sender", "talker"),
        text=text,
        at=_time_of(cells),
        quoted=quoted,
        mentions=tuple(_MENTION.findall(text)),
        is_ours=is_ours,
    )


def _text_of(cells: Record) -> tuple[str, str | None]:
    """The text, and what it quotes."""
    content = _first(cells, "strcontent", "msg")
    kind, subkind = cells.get("type", "").strip(), cells.get("subtype", "").strip()
    name = cells.get("type_name", "").strip()
    if kind == _TEXT or name in ("文本", "text", "Text"):
        return content, None
    is_quoting = (kind == _SHARED and subkind == _QUOTING) or "引用" in name
    if not is_quoting:
        return "", None
    if content.startswith("<"):
        return _read_quotation(content)
    said, _, quoted = content.partition("\n引用：")
    return said.strip(), quoted.strip() or None


def _read_quotation(xml: str) -> tuple[str, str | None]:
    """The title is the answer, and `refermsg` what it answers."""
    if len(xml) > _MAX_XML or "<!" in xml:  # no honest message declares entities
        return "", None
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return "", None
    quoted = root.findtext(".//refermsg/content")
    return (root.findtext(".//title") or "").strip(), (quoted or "").strip() or None


def _first(cells: Record, *names: str) -> str:
    return next((value for name in names if (value := str(cells.get(name, "")).strip())), "")


def _time_of(cells: Record) -> datetime | None:
    raw = str(cells.get("createtime", "")).strip()
    if raw.isdigit():
        seconds = int(raw) // (1000 if len(raw) >= 13 else 1)
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError):
            return None
    try:
        return datetime.fromisoformat(raw or str(cells.get("strtime", ""))).replace(tzinfo=UTC)
    except ValueError:
        return None
