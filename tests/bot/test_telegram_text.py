"""Replies cut into Telegram messages."""

from hypothesis import given
from hypothesis import strategies as st
from telegramify_markdown.entity import MessageEntity as Span

from bot.channels.telegram_text import as_parts, split_text


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def spanned(text: str, span: Span) -> str:
    return text.encode("utf-16-le")[2 * span.offset : 2 * (span.offset + span.length)].decode(
        "utf-16-le"
    )


@st.composite
def formatted(draw: st.DrawFn) -> tuple[str, list[Span], int]:
    """A text with entities of a few whole words, and a limit that none of them exceeds."""
    words = draw(
        st.lists(
            st.text(st.sampled_from("ab床🛏é"), min_size=1, max_size=5), min_size=1, max_size=40
        )
    )
    joints = draw(st.lists(st.sampled_from([" ", "\n"]), min_size=len(words), max_size=len(words)))
    text, spans = "", []
    for word, joint in zip(words, joints, strict=True):
        if draw(st.booleans()):
            spans.append(Span("bold", units(text), units(word)))
        text += word + joint
    return text, spans, draw(st.integers(12, 60))


@given(formatted())
def test_pieces_fit_keep_every_word_and_cut_no_entity(case: tuple[str, list[Span], int]) -> None:
    text, spans, limit = case
    pieces = list(split_text(text, spans, limit))
    assert all(0 < units(piece) <= limit for piece, _ in pieces)
    assert " ".join(piece for piece, _ in pieces).split() == text.split()
    before = [spanned(text, span) for span in spans]
    after = [spanned(piece, span) for piece, inside in pieces for span in inside]
    assert after == before


@given(st.text(st.sampled_from("a床🛏 \n"), max_size=200), st.integers(2, 20))
def test_an_entity_longer_than_a_message_goes_on_in_the_next(text: str, limit: int) -> None:
    spans = [Span("pre", 0, units(text))] if text else []
    pieces = list(split_text(text, spans, limit))
    assert all(units(piece) <= limit for piece, _ in pieces)
    assert "".join("".join(piece.split()) for piece, _ in pieces) == "".join(text.split())
    assert all(spanned(piece, span) == piece for piece, inside in pieces for span in inside)


def test_a_reply_is_cut_at_the_end_of_a_line() -> None:
    lines = [f"line {number} " + "x" * 80 for number in range(100)]
    parts = as_parts("\n\n".join(lines))
    assert len(parts) == 3
    assert all(part.splitlines()[0].startswith("line") for part, _ in parts)


def test_entities_are_counted_in_utf_16_units() -> None:
    ((text, entities),) = as_parts("🛏🛏 **bold**")
    assert text == "🛏🛏 bold"
    assert [(entity.type, entity.offset, entity.length) for entity in entities] == [("bold", 5, 4)]
