"""One process, or several that share the batches: `accelerate launch -m modelserver.training DIR`.

Every process has the whole model and takes its share of each batch's examples. Gradients are sums
over tokens, so adding them up gives the gradient that one process would have had. The first process
alone tells of progress and writes checkpoints.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

Index = Any  # a NumPy array of examples, or a sequence of anything


@dataclass(frozen=True)
class Team:
    """`rank` counts from 0; the first has 0."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, examples: Index) -> Index:
        """What of a batch is this process's to do; may be nothing."""
        return examples[self.rank :: self.size]

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Puts the sum over all processes into each tensor; one message for all of them."""
        if self.size == 1:
            return
        parts = list(tensors)
        flat = torch.cat([part.detach().reshape(-1).to(parts[0].dtype) for part in parts])
        distributed.all_reduce(flat)
        sizes = [part.numel() for part in parts]
        for part, total in zip(parts, torch.split(flat, sizes), strict=True):
            part.copy_(total.view_as(part))

    def any(self, is_so: bool) -> bool:
        """Whether it is so in one process at least; all get the same answer."""
        flag = torch.tensor([float(is_so)], device=_device())
        self.add_up([flag])
        return bool(flag.item())

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            distributed.barrier()


def join_team() -> Team:
    """Joins the processes that `accelerate launch` started, or works alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team()
    from accelerate import PartialState  # chooses gloo or nccl, and this process's GPU

    state = PartialState(cpu=not torch.cuda.is_available())
    return Team(state.process_index, state.num_processes)


def leave_team(team: Team) -> None:
    if team.size > 1:
        distributed.destroy_process_group()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
