"""What a prompt holds, and what its budgets leave out."""

from hypothesis import given
from hypothesis import strategies as st

from bot.masks import new_default
from bot.prompt import SYSTEM_PROMPT, Budget, as_history, build_prompt
from bot.tokens import count_tokens, cut_to_tokens
from knowledge.retrieved import Retrieved
from store import ChunkKind, Role


def chunk(text: str, question: str | None = None, title: str = "Delivery") -> Retrieved:
    kind = ChunkKind.pair if question else ChunkKind.passage
    return Retrieved(
        chunk_id=1,
        document_id=1,
        kind=kind,
        title=title,
        source="a.md",
        text=text,
        question=question,
        score=1.0,
    )


def exchange(number: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"question {number}"},
        {"role": "assistant", "content": f"answer {number}"},
    ]


def test_parts_stand_in_their_order_with_the_best_chunk_next_to_the_question() -> None:
    mask = new_default()
    mask.few_shot = exchange(0)
    context = [chunk("Five days.", "How long?"), chunk("We deliver on weekdays.")]
    prompt = build_prompt(mask, exchange(1), "When will it come?", context)
    assert [(turn["role"], turn["content"]) for turn in prompt] == [
        ("system", SYSTEM_PROMPT),
        ("user", "question 0"),
        ("assistant", "answer 0"),
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "What about Delivery?"),
        ("assistant", "We deliver on weekdays."),
        ("user", "How long?"),
        ("assistant", "Five days."),
        ("user", "When will it come?"),
    ]


def test_a_mask_without_a_system_prompt_still_gives_a_system_message() -> None:
    mask = new_default()
    mask.system_prompt = " "
    assert build_prompt(mask, [], "Hello")[0] == {"role": "system", "content": SYSTEM_PROMPT}


def test_the_oldest_exchanges_are_left_out_first_and_never_by_half() -> None:
    history = [turn for number in range(50) for turn in exchange(number)]
    prompt = build_prompt(new_default(), history, "Now?", budget=Budget(history_tokens=30))
    kept = prompt[1:-1]
    assert kept == history[-len(kept) :]
    assert 0 < len(kept) < len(history)
    assert kept[0]["role"] == "user"


def test_a_single_chunk_beyond_the_budget_is_cut_and_not_left_out() -> None:
    prompt = build_prompt(
        new_default(), [], "Now?", [chunk("word " * 500)], budget=Budget(context_tokens=50)
    )
    told = prompt[2]["content"]
    assert told.endswith("…")
    assert count_tokens(told) <= 50


def test_history_is_what_was_asked_and_answered() -> None:
    said = [
        (Role.bot, "Hello!"),
        (Role.customer, "unanswered"),
        (Role.customer, "how long?"),
        (Role.bot, "Five days."),
        (Role.person, "Or six."),
        (Role.customer, "the newest"),
    ]
    assert as_history(said) == [
        {"role": "user", "content": "how long?"},
        {"role": "assistant", "content": "Five days.\nOr six."},
    ]


@given(st.text(), st.integers(0, 50))
def test_a_cut_text_is_a_beginning_within_its_budget(text: str, tokens: int) -> None:
    cut = cut_to_tokens(text, tokens)
    assert cut == text or (
        cut.endswith("…")
        and text.startswith(cut[:-1])
        and count_tokens(cut) <= max(tokens, count_tokens("…"))
    )


@given(st.lists(st.tuples(st.sampled_from(list(Role)), st.text(min_size=1))))
def test_history_always_alternates_and_ends_with_an_answer(said: list[tuple[Role, str]]) -> None:
    roles = [turn["role"] for turn in as_history(said)]
    assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_mask_longer_than_its_budget_leaves_room_for_the_rest() -> None:
    mask = new_default()
    mask.system_prompt, mask.few_shot = "Be kind. " * 10, [*exchange(0), *exchange(1) * 50]
    prompt = build_prompt(mask, [], "Hello", budget=Budget(mask_tokens=50))
    assert sum(count_tokens(turn["content"]) for turn in prompt[:-1]) <= 50
    assert [turn["role"] for turn in prompt] == ["system", *("user", "assistant") * 2, "user"]
    mask.system_prompt = "Be kind. " * 1000
    assert len(build_prompt(mask, [], "Hello", budget=Budget(mask_tokens=50))) == 2
