"""Text that no database keeps, from wherever it comes, is cleaned and loses nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from store import AuditEntry, Conversation, Database, Role, Setting, Turn
from store.text import clean_text, clean_values, is_clean

SPOILT = "Ja\0, in \ud83d\ude00 five\ud800 days"
CLEANED = "Ja, in 😀 five\ufffd days"

any_text = st.text(st.characters(codec=None, categories=None) | st.sampled_from("\0\ud83d\ude00"))


@given(any_text)
def test_cleaned_text_has_bytes_and_no_nul(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.encode().decode() == cleaned
    assert "\0" not in cleaned
    assert is_clean(cleaned)
    assert clean_text(cleaned) == cleaned


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_text_that_can_be_kept_stays_as_it_is(text: str) -> None:
    assert clean_text(text) == text


def test_halves_that_meet_are_one_character_and_a_lone_one_leaves_its_sign() -> None:
    assert clean_text(SPOILT) == CLEANED
    assert clean_values({"a\0": [SPOILT, 3, None], "b": (SPOILT,)}) == {
        "a": [CLEANED, 3, None],
        "b": (CLEANED,),
    }


async def test_every_database_keeps_what_it_is_given_cleaned(any_database: Database) -> None:
    async with any_database.write() as session:
        session.add(Conversation(id="ann", channel="web", address="ann", customer_name=SPOILT))
        await session.flush()
        said = {"conversation_id": "ann", "seq": 1, "role": Role.customer}
        session.add(Turn(**said, text=SPOILT, delivery_id="a\0b"))
        session.add(Setting(key="k", value={SPOILT: [SPOILT]}, updated_by="t\0"))
        session.add_all(AuditEntry(who="t\0", action="many", detail={"n": SPOILT}) for _ in "ab")
    async with any_database.read() as session:
        turn = (await session.scalars(select(Turn).where(Turn.text == SPOILT))).one()
        assert (turn.text, turn.delivery_id) == (CLEANED, "ab")
        setting = await session.get_one(Setting, "k")
        assert (setting.value, setting.updated_by) == ({CLEANED: [CLEANED]}, "t")
        entries = (await session.scalars(select(AuditEntry))).all()
        assert [entry.detail["n"] for entry in entries] == [CLEANED, CLEANED]


@pytest.mark.parametrize("text", ["a \\u0000 b", 'quote " and \\ud83d', "\\\\u0000"])
async def test_what_only_looks_like_an_escape_survives_in_json(
    any_database: Database, text: str
) -> None:
    async with any_database.write() as session:
        session.add(Setting(key="k", value=[text], updated_by="t"))
    async with any_database.read() as session:
        assert (await session.get_one(Setting, "k")).value == [text]
