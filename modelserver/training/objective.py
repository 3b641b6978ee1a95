"""What training minimises: the loss of the trained tokens, or DPO's loss of a pair."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from modelserver.training.model import trained_logprobs
from modelserver.training.pack import Pack


@dataclass(frozen=True)
class Measured:
    """Sums over a pack or a batch; the mean is `loss / count`, and `loss` carries the gradient."""

    loss: torch.Tensor
    hits: int
    count: int
    wholes: int = 0
    """Sequences of which every trained token was the likeliest."""
    sequences: int = 0
    trained: int = 0
    """Tokens that were learnt from."""
    tokens: int = 0
    """All tokens."""

    def __add__(self, other: "Measured") -> "Measured":
        """The sums of both, without the gradients."""
        loss = self.loss.detach().cpu() + other.loss.detach().cpu()
        return Measured(
            loss,
            self.hits + other.hits,
            self.count + other.count,
            self.wholes + other.wholes,
            self.sequences + other.sequences,
            self.trained + other.trained,
            self.tokens + other.tokens,
        )


def sft(model: Any, pack: Pack) -> Measured:
    """Cross-entropy of the trained tokens; `hits` are those that were the likeliest."""
    logprobs, is_likeliest = trained_logprobs(model, pack)
    rows = pack.rows.to(logprobs.device)
    misses = torch.zeros(pack.row_count, device=rows.device)
    misses.index_add_(0, rows, (~is_likeliest).float())
    wholes = int((misses == 0).sum())
    return Measured(-logprobs.sum(), int(is_likeliest.sum()), len(logprobs), wholes, pack.row_count)


def dpo(model: Any, pack: Pack, beta: float) -> Measured:
    """Direct preference optimisation (Rafailov et al. 2023, equation 7).

    Rows come in twos, chosen then rejected. The reference is the same model with its adapter
    switched off, so no second model is kept. `hits` are pairs whose chosen answer gained more.
    """
    policy = sequence_logprobs(model, pack)
    with torch.no_grad(), model.disable_adapter():
        reference = sequence_logprobs(model, pack)
    gain = policy - reference
    margin = gain[0::2] - gain[1::2]
    loss = -functional.logsigmoid(beta * margin)
    return Measured(loss.sum(), int((margin > 0).sum()), len(margin))


def sequence_logprobs(model: Any, pack: Pack) -> torch.Tensor:
    """(rows,) the log-probability of all that is trained of each sequence."""
    logprobs, _ = trained_logprobs(model, pack)
    sums = torch.zeros(pack.row_count, device=logprobs.device)
    return sums.index_add(0, pack.rows.to(logprobs.device), logprobs)
