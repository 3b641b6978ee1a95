"""Attention sequence by sequence is the attention of the whole pack under its mask."""

from itertools import accumulate

import pytest
import torch
from torch.nn import functional

from modelserver.bases import Base
from modelserver.training import attention
from modelserver.training.attention import Layout, laid_out
from modelserver.training.model import load_model
from modelserver.training.pack import _visibility

HEADS, KV_HEADS, WIDTH = 6, 2, 8


def layout_of(shared: int, lengths: list[int]) -> Layout:
    ends = list(accumulate([shared, *lengths]))
    spans = zip([0, *ends], ends, strict=False)
    return Layout(shared, tuple((start, end) for start, end in spans if end > start))


def masked(shared: int, lengths: list[int]) -> torch.Tensor:
    counts = torch.tensor([shared, *lengths])
    return _visibility(torch.repeat_interleave(torch.arange(-1, len(lengths)), counts))


def states(places: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [
        torch.randn(1, heads, places, WIDTH, requires_grad=True)
        for heads in (HEADS, KV_HEADS, KV_HEADS)
    ]


@pytest.mark.parametrize(
    ("shared", "lengths"),
    [(5, [3, 7, 1]), (0, [4, 6]), (1, [9]), (0, [8])],
    ids=["prefix", "no prefix", "one behind a prefix", "one alone"],
)
def test_answers_and_gradients_are_those_of_the_mask(shared: int, lengths: list[int]) -> None:
    query, key, value = states(shared + sum(lengths))
    scaling = 0.3

    with laid_out(layout_of(shared, lengths)):
        packed, _ = attention._attend(None, query, key, value, None, scaling=scaling)

    whole = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=masked(shared, lengths), scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(packed, whole)
    upstream = torch.randn_like(whole)
    for mine, expected in zip(
        torch.autograd.grad(packed, (query, key, value), upstream),
        torch.autograd.grad(whole, (query, key, value), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, expected)


def test_narrow_numbers_keep_apart_what_a_large_bias_drowns() -> None:
    query, key, value = states(40)
    key = key + 10
    mask = masked(10, [20, 10])
    exact = functional.scaled_dot_product_attention(
        query, key.bfloat16().float(), value, attn_mask=mask, enable_gqa=True
    ).transpose(1, 2)

    with laid_out(layout_of(10, [20, 10])):
        narrow, _ = attention._attend(
            None, query.bfloat16(), key.bfloat16(), value.bfloat16(), None
        )

    torch.testing.assert_close(narrow.float(), exact, atol=0.1, rtol=0.02)


def test_what_would_take_too_much_memory_is_left_to_the_usual_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query, key, value = states(15)
    layout = layout_of(5, [3, 7])
    assert layout.weights == 5 * 5 + 3 * 8 + 7 * 12
    monkeypatch.setattr(attention, "_MOST_WEIGHTS", 100)
    module = torch.nn.Module()
    module.num_key_value_groups = HEADS // KV_HEADS
    module.is_causal = True

    with laid_out(layout):
        usual, _ = attention._attend(module, query, key, value, masked(5, [3, 7]), scaling=0.3)

    assert "PackedAttention" not in str(usual.grad_fn.next_functions)
    whole = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=masked(5, [3, 7]), scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(usual, whole)


def test_a_usual_model_attends_so_on_a_cpu(base: Base) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU keeps its own attention")
    model = load_model(base, base.training_dir, seed=0)
    assert model.config._attn_implementation == attention.NAME
