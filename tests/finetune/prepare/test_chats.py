"""Exported chats: questions find their answers, threads stay whole, chatter stays out."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from finetune.prepare.complaints import Complaints
from finetune.prepare.detect import Format
from finetune.prepare.exchange import Exchange
from finetune.prepare.options import ReadOptions
from finetune.prepare.questions import asks, is_chatter
from finetune.prepare.readers.telegram import read_telegram
from finetune.prepare.readers.wechat import read_wechat
from finetune.prepare.reading import ChatExportError, look_at, read_files
from finetune.prepare.threads import ThreadReport, find_exchanges

NOON = 1_700_000_000


def _message(number: int, who: str, text: Any, **more: Any) -> dict[str, Any]:
    at = {
        "date": "2026-05-03T12:00:00",
        "date_unixtime": str(NOON + more.pop("minute", number) * 60),
    }
    person = {"from": who, "from_id": f"user{who}"}
    return {"id": number, "type": "message", **at, **person, "text": text, **more}


BOLD = {"type": "bold", "text": "By hand"}
GROUP = [
    {"id": 1, "type": "service", "action": "join_group_by_link", "actor": "Bo", "text": ""},
    _message(2, "Ann", "How do I wash the cover?", minute=0),
    _message(3, "Bo", "haha", minute=1),
    _message(4, "Cy", "At 40 degrees.", reply_to_message_id=2, minute=4),
    _message(5, "Cy", "Not in a dryer.", minute=5),
    _message(6, "Ann", "And the pillow?", reply_to_message_id=4, minute=9),
    _message(7, "Cy", [BOLD, " only."], reply_to_message_id=6, minute=12),
    _message(8, "Bo", "Where is the shop?", minute=20),
    _message(9, "Di", [{"type": "mention", "text": "@Bo"}, " on the web alone"], minute=24),
    _message(10, "Ann", "thanks", reply_to_message_id=7, minute=26),
    _message(11, "Bo", "Nice weather", minute=40),
    _message(12, "Cy", "Yes, lovely out here", reply_to_message_id=11, minute=41),
    _message(13, "Di", "Does anyone know the price?", minute=60),
]  # fmt: skip


def _telegram(path: Path, messages: list[dict[str, Any]], kind: str = "private_supergroup") -> Path:
    export = {"name": "Support", "type": kind, "id": 77, "messages": messages}
    path.write_text(json.dumps(export, indent=1, ensure_ascii=False), "utf-8")
    return path


def _exchanges(path: Path, **options: Any) -> tuple[list[Exchange], ThreadReport]:
    detected, source = look_at(path)
    assert source is not None
    report, complaints = ThreadReport(), Complaints()
    if detected.format is Format.telegram:
        messages = read_telegram(source, complaints)
    else:
        assert detected.format is Format.wechat
        messages = read_wechat(source, complaints, delimiter=detected.delimiter)
    found = list(find_exchanges(messages, report, **options))
    assert complaints.count == 0
    return found, report


def test_replies_and_mentions_find_their_questions_in_a_group(tmp_path: Path) -> None:
    found, report = _exchanges(_telegram(tmp_path / "result.json", GROUP))
    assert [(each.question, each.answer, each.reason) for each in found] == [
        ("How do I wash the cover?", "At 40 degrees.\nNot in a dryer.", "a reply"),
        ("And the pillow?", "By hand only.", "a reply"),
        ("Where is the shop?", "on the web alone", "a mention"),
    ]
    assert report.unanswered == 1  # the price
    assert "Support, lines" in found[0].place


def test_a_thread_keeps_what_came_before(tmp_path: Path) -> None:
    found, _ = _exchanges(_telegram(tmp_path / "result.json", GROUP))
    assert [(each.role, each.text) for each in found[1].history] == [
        ("customer", "How do I wash the cover?"),
        ("person", "At 40 degrees.\nNot in a dryer."),
    ]


def test_only_the_answers_of_those_who_are_named_count(tmp_path: Path) -> None:
    found, _ = _exchanges(_telegram(tmp_path / "r.json", GROUP), answerers=frozenset({"Di"}))
    assert [each.answer for each in found] == ["on the web alone"]


def test_the_same_export_gives_the_same_ids(tmp_path: Path) -> None:
    path = _telegram(tmp_path / "result.json", GROUP)
    ids = [each.id for each in _exchanges(path)[0]]
    assert ids == [each.id for each in _exchanges(path)[0]]
    assert len(set(ids)) == 3


def test_a_private_chat_is_taken_in_turns_and_a_silence_ends_it(tmp_path: Path) -> None:
    said = [
        _message(1, "Ann", "hello", minute=0), _message(2, "77", "Hi!", minute=1),
        _message(3, "Ann", "My cover is torn", minute=2), _message(4, "Ann", "order 7", minute=3),
        _message(5, "77", "We send a new one.", minute=9),
        _message(6, "Ann", "Is it here today?", minute=2000),
        _message(7, "77", "Yes, at noon.", minute=2001),
    ]  # fmt: skip
    for each in said:  # in a private chat, the chat's id is that of the other one
        each["from_id"] = "user77" if each["from"] == "Ann" else "user1"
    found, _ = _exchanges(_telegram(tmp_path / "result.json", said, "personal_chat"))
    assert [(each.question, each.answer) for each in found] == [
        ("My cover is torn\norder 7", "We send a new one."),
        ("Is it here today?", "Yes, at noon."),
    ]
    assert [each.text for each in found[0].history] == ["hello", "Hi!"]
    assert found[1].history == ()


def test_all_chats_of_an_account_are_read_each_by_itself(tmp_path: Path) -> None:
    lists = [
        {"name": name, "type": "private_group", "id": number, "messages": GROUP[1:4]}
        for number, name in enumerate(("One", "Two"))
    ]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"about": "x", "chats": {"list": lists}}, indent=1), "utf-8")
    found, _ = _exchanges(path)
    assert [each.place.split(",")[0] for each in found] == ["One", "Two"]


WECHATMSG = (
    "localId,TalkerId,Type,SubType,IsSender,CreateTime,Status,StrContent,StrTime,Remark,NickName,"
    "Sender"
)
QUOTE = (
    "<msg><appmsg><title>四十度水洗</title><refermsg><content>被套怎么洗？</content></refermsg>"
    "</appmsg></msg>"
)


def _wechat(
    path: Path, rows: list[tuple[str, str, str, str, int]], encoding: str = "utf-8-sig"
) -> Path:
    """Rows of type, subtype, who, text, minute; `me` is the owner."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(WECHATMSG.split(","))
        for number, (kind, sub, who, text, minute) in enumerate(rows, start=1):
            writer.writerow([number, 5, kind, sub, int(who == "me"), NOON + minute * 60, "", text,
                             "", "", who, who])  # fmt: skip
    return path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_quotations_and_mentions_find_their_questions_in_wechat(
    encoding: str, tmp_path: Path
) -> None:
    rows = [
        ("1", "0", "小王", "被套怎么洗？", 0), ("3", "0", "小李", "<img/>", 1),
        ("1", "0", "小李", "哈哈", 1),
        ("49", "57", "me", QUOTE, 2), ("1", "0", "小李", "枕头多少钱", 9),
        ("1", "0", "me", "@小李\u2005九十九元", 12), ("1", "0", "小王", "谢谢", 13),
    ]  # fmt: skip
    found, report = _exchanges(_wechat(tmp_path / "chat.csv", rows, encoding))
    assert [(each.question, each.answer, each.reason) for each in found] == [
        ("被套怎么洗？", "四十度水洗", "a quotation"),
        ("枕头多少钱", "九十九元", "a mention"),
    ]
    assert report.messages == 6  # the picture is no text


def test_a_private_wechat_chat_is_taken_in_turns(tmp_path: Path) -> None:
    rows = [("1", "0", "小王", "被套怎么洗", 0), ("1", "0", "me", "四十度水洗", 2)]
    found, _ = _exchanges(_wechat(tmp_path / "chat.csv", rows))
    assert [(each.question, each.answer) for each in found] == [("被套怎么洗", "四十度水洗")]


def test_the_other_exporters_columns_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "chat.csv"
    path.write_text(
        "id,MsgSvrID,type_name,is_sender,talker,room_name,msg,src,CreateTime\n"
        "1,91,文本,0,wang,wang,多少钱,,2026-05-03 12:00:00\n"
        "2,92,图片,0,wang,wang,x,a.jpg,2026-05-03 12:01:00\n"
        "3,93,文本,1,me,wang,九十九元,,2026-05-03 12:02:00\n",
        "utf-8",
    )
    assert [(each.question, each.answer) for each in _exchanges(path)[0]] == [
        ("多少钱", "九十九元")
    ]


def test_xml_that_declares_entities_is_not_parsed(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><msg><title>&a;</title></msg>'
    rows = [("1", "0", "小王", "被套怎么洗", 0), ("49", "57", "me", bomb, 2)]
    found, report = _exchanges(_wechat(tmp_path / "chat.csv", rows))
    assert found == []
    assert report.messages == 1


def test_a_chat_is_never_trained_on_directly(tmp_path: Path) -> None:
    path = _telegram(tmp_path / "result.json", GROUP)
    with pytest.raises(ChatExportError, match="nod prepare --to-review"):
        read_files([path], ReadOptions(), folder=tmp_path)


def test_questions_and_chatter_are_told_apart() -> None:
    assert all(map(asks, ("How much is it", "is it soft", "多少钱", "请问怎么退", "Price?")))
    assert not any(
        map(asks, ("It is 5", "ok", "thanks!", "好的", "see https://x.y/?a=1", "在吗？"))
    )
    assert all(map(is_chatter, ("OK!", "haha", "👍", "谢谢你", "+1", "")))
    assert not any(map(is_chatter, ("Yes, at noon.", "好的，明天发货", "42")))
