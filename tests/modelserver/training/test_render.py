"""What is trained is what serving will ask for, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver.bases import Base
from modelserver.training.model import load_tokenizer
from modelserver.training.render import RenderError, render_example, render_pair, shows_tools
from tests.modelserver.training.job import chat_line, pair_line

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@pytest.fixture(scope="module")
def tokenizer(base: Base):
    return load_tokenizer(base.training_dir)


def trained_text(tokenizer, rendered) -> str:
    ids = [i for i, trained in zip(rendered.ids, rendered.is_trained, strict=True) if trained]
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_only_the_answer_and_its_end_are_trained(tokenizer) -> None:
    (rendered,) = render_example(tokenizer, chat_line("How soft?", "Very soft."))
    assert trained_text(tokenizer, rendered) == "Very soft.<|im_end|>\n"


def test_the_prompt_is_tokenised_as_the_server_will_tokenise_it(tokenizer) -> None:
    line = chat_line("How soft is th", "the softest")
    (rendered,) = render_example(tokenizer, line)
    prompt = tokenizer.apply_chat_template(
        line["messages"][:2], tokenize=False, add_generation_prompt=True
    )
    served = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert rendered.ids[: len(served)] == served
    assert rendered.is_trained.index(True) == len(served)


def test_a_message_of_weight_0_is_context_only(tokenizer) -> None:
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first", "weight": 0},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "second", "weight": 1},
    ]
    (rendered,) = render_example(tokenizer, {"messages": messages})
    assert trained_text(tokenizer, rendered) == "second<|im_end|>\n"
    assert "first" in tokenizer.decode(rendered.ids)


def test_every_answer_of_a_conversation_is_trained(tokenizer) -> None:
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "second"},
    ]
    (rendered,) = render_example(tokenizer, {"messages": messages})
    assert trained_text(tokenizer, rendered) == "first<|im_end|>\nsecond<|im_end|>\n"


def test_a_developer_is_a_system(tokenizer) -> None:
    as_system = render_example(tokenizer, chat_line("q", "a"))
    line = chat_line("q", "a")
    line["messages"][0]["role"] = "developer"
    assert render_example(tokenizer, line) == as_system


def test_parts_of_text_are_lines_of_one_text(tokenizer) -> None:
    line = chat_line("a\nb", "c")
    line["messages"][1]["content"] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert render_example(tokenizer, line) == render_example(tokenizer, chat_line("a\nb", "c"))


def test_a_completion_is_trained_without_its_prompt(tokenizer) -> None:
    (rendered,) = render_example(tokenizer, {"prompt": "Q: 1 ->", "completion": " one\n"})
    assert trained_text(tokenizer, rendered) == " one\n<|im_end|>"


def test_both_sides_of_a_pair_share_their_prompt(tokenizer) -> None:
    chosen, rejected = render_pair(tokenizer, pair_line("q", "good", "bad"))
    assert trained_text(tokenizer, chosen) == "good<|im_end|>\n"
    assert trained_text(tokenizer, rejected) == "bad<|im_end|>\n"
    start = chosen.is_trained.index(True)
    assert chosen.ids[:start] == rejected.ids[:start]


def test_a_template_that_rewrites_answers_is_refused(tokenizer) -> None:
    class Shouting:
        def apply_chat_template(self, messages, add_generation_prompt=False, **_):
            text = "|".join(message["content"] for message in messages)
            return text if add_generation_prompt else text.upper()

    with pytest.raises(RenderError):
        render_example(Shouting(), chat_line("q", "a"))


def test_answers_that_look_otherwise_later_are_trained_as_they_are_written(tokenizer) -> None:
    """As Qwen3's template, which shows the thoughts of the last answer only."""
    template = tokenizer.chat_template
    thought = "{% if loop.last and message['role'] == 'assistant' %}<t>{% endif %}"
    content = "{{ message['content'] }}"
    tokenizer.chat_template = template.replace(content, thought + content)
    try:
        messages = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "first"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "second"},
        ]
        rendered = render_example(tokenizer, {"messages": messages})
        assert [trained_text(tokenizer, one) for one in rendered] == [
            "<t>first<|im_end|>\n",
            "<t>second<|im_end|>\n",
        ]
        assert "<t>first" not in tokenizer.decode(rendered[1].ids)
    finally:
        tokenizer.chat_template = template


TOOL_TEMPLATE = (
    "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}{% for m in messages %}{{ m.role }}: "
    "{{ m.content }}{% for c in m.tool_calls or [] %}call {{ c.function.name }} "
    "{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def test_tools_calls_and_their_results_are_rendered(tokenizer) -> None:
    template = tokenizer.chat_template
    tokenizer.chat_template = TOOL_TEMPLATE
    call = {"name": "price", "arguments": '{"item": 3}'}
    tool = {"name": "price", "parameters": {"type": "object"}}
    newer = {
        "tools": [{"type": "function", "function": tool}],
        "messages": [
            {"role": "user", "content": "What does 3 cost?"},
            {"role": "assistant", "tool_calls": [{"type": "function", "function": call}]},
            {"role": "tool", "content": "21"},
            {"role": "assistant", "content": "21 euros"},
        ],
    }
    older = {
        "functions": [tool],
        "messages": [
            newer["messages"][0],
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "content": "21"},
            newer["messages"][3],
        ],
    }
    try:
        (rendered,) = render_example(tokenizer, newer)
        assert '"name": "price"' in tokenizer.decode(rendered.ids)
        assert trained_text(tokenizer, rendered) == (
            'call price {"item": 3}<|im_end|>21 euros<|im_end|>'
        )
        assert render_example(tokenizer, older) == (rendered,)
        assert shows_tools(tokenizer, newer)
    finally:
        tokenizer.chat_template = template
    assert not shows_tools(tokenizer, newer)


def test_a_text_begins_with_the_token_that_the_tokenizer_begins_with(tokenizer) -> None:
    class Beginning:
        bos_token, eos_token, bos_token_id = "<s>", "</s>", 7

        def __call__(self, text, add_special_tokens=True):
            ids = [ord(letter) for letter in text.replace("<s>", "\7")]
            return {"input_ids": [7, *ids] if add_special_tokens else ids}

        def apply_chat_template(self, messages, add_generation_prompt=False, **_):
            return "<s>" + "".join(m["content"] for m in messages)

    (plain,) = render_example(Beginning(), {"prompt": "a", "completion": "b"})
    assert plain.ids[:3] == [7, ord("a"), ord("b")]
    (chat,) = render_example(Beginning(), chat_line("q", "a"))
    assert chat.ids.count(7) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_all_of_the_text_is_kept_and_in_order(tokenizer, exchanges: list[tuple[str, str]]) -> None:
    messages = [
        {"role": role, "content": text}
        for exchange in exchanges
        for role, text in zip(("user", "assistant"), exchange, strict=True)
    ]
    (rendered,) = render_example(tokenizer, {"messages": messages})
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(rendered.ids, clean_up_tokenization_spaces=False) == whole
    assert trained_text(tokenizer, rendered) == "".join(
        f"{answer}<|im_end|>\n" for _, answer in exchanges
    )


def test_of_a_prompt_and_its_completion_only_the_completion_is_trained(tokenizer) -> None:
    line = {"prompt": "Is it soft? ->", "completion": " Very soft.\n"}
    (rendered,) = render_example(tokenizer, line)
    assert trained_text(tokenizer, rendered) == " Very soft.\n" + tokenizer.eos_token
    served = tokenizer(line["prompt"])["input_ids"]
    assert rendered.ids[: len(served)] == served
    assert rendered.is_trained.index(True) == len(served)


def test_an_empty_prompt_leaves_something_to_write_from(tokenizer) -> None:
    (rendered,) = render_example(tokenizer, {"prompt": "", "completion": "Very soft."})
    assert rendered.is_trained.index(True) == 1
    assert trained_text(tokenizer, rendered) == "Very soft." + tokenizer.eos_token
