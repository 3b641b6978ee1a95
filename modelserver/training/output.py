"""The output layer over the trained tokens, in slices: the log-probability of each, no more.

A vocabulary is large beside a small model: the scores of a few hundred tokens in float32, their
softmax and both gradients are ten times the rest of a pack in memory. So a slice of tokens goes all
the way, to the gradient of its hidden states, before the next one begins. The layer is frozen, and
the gradient is linear in what comes back for each token: it can be made while the scores are there.
"""

from typing import Any

import torch

_SLICE = 64
"""Tokens at once: 13 MB of scores for 50,000 words, 39 MB for 150,000."""


def token_logprobs(
    hidden: torch.Tensor, layer: Any, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probability of each target, and whether it was the likeliest: both (N,).

    `hidden`: (N, width). `layer`: a linear layer without gradients of its own.
    """
    logprobs, is_likeliest = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, layer.weight, layer.bias, targets
    )
    return logprobs, is_likeliest


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        needs_gradient = context.needs_input_grad[0]
        logprobs = torch.empty(len(hidden), device=hidden.device)
        is_likeliest = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
        gradient = torch.empty_like(hidden) if needs_gradient else None
        for start in range(0, len(hidden), _SLICE):
            part = slice(start, start + _SLICE)
            scores = torch.nn.functional.linear(hidden[part], weight, bias).float()
            of_all = torch.log_softmax(scores, dim=-1)
            target = targets[part, None]
            logprobs[part] = of_all.gather(1, target)[:, 0]
            is_likeliest[part] = of_all.argmax(dim=-1) == target[:, 0]
            if gradient is not None:
                # d logprob / d score: 1 at the target, less each probability.
                slope = of_all.exp_().neg_()
                slope.scatter_add_(1, target, torch.ones_like(target, dtype=slope.dtype))
                gradient[part] = slope.to(weight.dtype) @ weight
        context.save_for_backward(gradient)
        context.mark_non_differentiable(is_likeliest)
        return logprobs, is_likeliest

    @staticmethod
    def backward(context: Any, *gradients: Any) -> tuple[torch.Tensor | None, None, None, None]:
        (by_hidden,) = context.saved_tensors
        return gradients[0][:, None].to(by_hidden.dtype) * by_hidden, None, None, None
