"""Recipes: the shapes that the tutorials train on."""

from pathlib import Path

from finetune.prepare.options import ReadOptions
from tests.finetune.prepare.preparing import Prepared, prepare


def _prepare(recipe: str, text: str, folder: Path, **options: object) -> Prepared:
    path = folder / "a.csv"
    path.write_text(text, "utf-8")
    read = ReadOptions(recipe=recipe, **options)  # type: ignore[arg-type]
    return prepare(path, options=read, answers=dict.fromkeys(("separator", "ending"), "no"))


def test_support_chat_gives_each_answer_with_all_that_was_known(tmp_path: Path) -> None:
    text = (
        "conversation,summary,specific information,speaker,text\n"
        "1,asks for a parcel,order 7 is sent,customer,Where is it?\n"
        "1,,,agent,With the carrier.\n"
        "1,wants it on Monday,,customer,Monday please\n"
        "1,,,agent,Arranged.\n"
        "2,,,customer,Hello\n"
        "2,,,robot,Hi\n"
        "2,,,agent,Hi.\n"
    )
    prepared = _prepare("support-chat", text, tmp_path)
    assert prepared.pairs[1] == (
        "Summary: wants it on Monday\n\nSpecific information: order 7 is sent\n\n###\n\n"
        "Customer: Where is it?\nAgent: With the carrier.\nCustomer: Monday please\nAgent:",
        " Arranged.\n",
    )
    assert len(prepared.pairs) == 3
    assert "has the speaker 'robot'" in prepared.said
    chat = _prepare("support-chat", text, tmp_path, form="chat")
    assert [each["role"] for each in chat.rows[1]["messages"]] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip


def test_negative_training_judges_or_prefers(tmp_path: Path) -> None:
    text = 'question,right,wrong\nHow long?,10 days,"5 days\n7 days"\nHow soft?,firm,soft\n'
    judged = _prepare("negative", text, tmp_path)
    assert [completion for _, completion in judged.pairs] == [" yes", " no", " no", " yes", " no"]
    preferred = _prepare("negative", text, tmp_path, form="chat")
    assert len(preferred.rows) == 3
    assert preferred.rows[1]["non_preferred_output"][0]["content"] == "7 days"


def test_sentiments_are_spelt_in_one_way_and_others_are_named(tmp_path: Path) -> None:
    text = "text,label\nGood one,POS\nBad one,差评\nSo so,neutral\nHm,maybe\n"
    prepared = _prepare("sentiment", text, tmp_path)
    assert [each.strip() for _, each in prepared.pairs] == ["positive", "negative", "neutral"]
    assert "row 5: has the sentiment 'maybe'" in prepared.said


def test_extraction_lists_what_is_in_the_text(tmp_path: Path) -> None:
    text = "text,product,order\nMy pillow of order 7,pillow,7\nThanks,,\n"
    prepared = _prepare("extraction", text, tmp_path)
    assert [each.strip() for _, each in prepared.pairs] == ["product: pillow\norder: 7", "none"]
