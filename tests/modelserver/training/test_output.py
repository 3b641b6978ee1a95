"""The output layer in slices gives what the whole would give, gradient included."""

import pytest
import torch
from torch.nn import functional

from modelserver.training.output import token_logprobs

TOKENS, WIDTH, VOCABULARY = 150, 8, 31  # several slices, the last one not full


def made(*, bias: bool) -> tuple[torch.Tensor, torch.nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(WIDTH, VOCABULARY, bias=bias).requires_grad_(False)
    hidden = torch.randn(TOKENS, WIDTH, requires_grad=True)
    return hidden, layer, torch.randint(VOCABULARY, (TOKENS,))


@pytest.mark.parametrize("bias", [True, False])
def test_slices_give_the_log_probabilities_of_the_whole(bias: bool) -> None:
    hidden, layer, targets = made(bias=bias)

    logprobs, is_likeliest = token_logprobs(hidden, layer, targets)

    scores = layer(hidden)
    expected = -functional.cross_entropy(scores, targets, reduction="none")
    torch.testing.assert_close(logprobs, expected)
    assert is_likeliest.tolist() == (scores.argmax(-1) == targets).tolist()


@pytest.mark.parametrize("bias", [True, False])
def test_each_token_sends_its_own_gradient_back(bias: bool) -> None:
    hidden, layer, targets = made(bias=bias)
    weights = torch.randn(TOKENS)  # as in DPO, where tokens do not count alike

    logprobs, _ = token_logprobs(hidden, layer, targets)
    (sliced,) = torch.autograd.grad((weights * logprobs).sum(), hidden)

    whole = -functional.cross_entropy(layer(hidden), targets, reduction="none")
    (expected,) = torch.autograd.grad((weights * whole).sum(), hidden)
    torch.testing.assert_close(sliced, expected)
