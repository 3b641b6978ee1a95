"""Checkpoints: what is needed to serve an adapter, and to go on training it.

    checkpoints/step-60/
        adapter_config.json, adapter_model.safetensors   PEFT's own
        adapter.gguf                                     what llama.cpp serves
        optimizer.safetensors, state.json                the newest one only: to go on

A checkpoint appears under its name only when complete and on disk.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from modelserver.bases import Base
from modelserver.files_on_disk import sync
from modelserver.training.adapter_gguf import write_adapter_gguf
from modelserver.training.model import adapter_state


@dataclass(frozen=True, kw_only=True)
class State:
    """Where training stands: `step` optimizer steps are done, `batch` of them in `epoch`."""

    step: int
    epoch: int
    batch: int
    trained_tokens: int
    seen_tokens: int = 0
    seen_examples: int = 0
    """Both with repeats."""
    best_loss: float | None = None
    best_step: int = 0
    """The epoch's end with the lowest validation loss so far."""
    epochs_since_best: int = 0


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step}"


def save_checkpoint(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer, state: State, base: Base
) -> Path:
    """Write checkpoints/step-N, complete or not at all; older ones lose their optimizer."""
    target = checkpoint_path(folder, state.step)
    half = target.with_name(f".{target.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    save_file(adapter_state(model), half / "adapter_model.safetensors")
    model.peft_config["default"].save_pretrained(half)
    write_adapter_gguf(half, base.gguf_path, half / "adapter.gguf")
    save_file(_optimizer_tensors(model, optimizer), half / "optimizer.safetensors")
    (half / "state.json").write_text(json.dumps(asdict(state)))
    sync(half)
    shutil.rmtree(target, ignore_errors=True)
    half.rename(target)
    for older in target.parent.glob("step-*"):
        if older != target:
            (older / "optimizer.safetensors").unlink(missing_ok=True)
    return target


def load_newest(
    folder: Path, model: Any, optimizer: torch.optim.Optimizer
) -> tuple[State, Path] | None:
    """Bring model and optimizer to the newest checkpoint that one can go on from."""
    from peft import set_peft_model_state_dict

    found = sorted((folder / "checkpoints").glob("step-*/optimizer.safetensors"), key=_step_of)
    if not found:
        return None
    path = found[-1].parent
    set_peft_model_state_dict(model, load_file(path / "adapter_model.safetensors"))
    _load_optimizer(model, optimizer, load_file(path / "optimizer.safetensors"))
    return State(**json.loads((path / "state.json").read_text())), path


def load_adapter(folder: Path, model: Any, step: int) -> Path:
    """Bring the adapter to what it was at a checkpoint, and return its folder."""
    from peft import set_peft_model_state_dict

    path = checkpoint_path(folder, step)
    set_peft_model_state_dict(model, load_file(path / "adapter_model.safetensors"))
    return path


def _step_of(path: Path) -> int:
    return int(path.parent.name.removeprefix("step-"))


def _trained(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _optimizer_tensors(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's moments by parameter: safetensors, so that nothing is ever unpickled."""
    return {
        f"{name}:{key}": torch.as_tensor(value).detach().cpu().contiguous().clone()
        for name, parameter in _trained(model).items()
        for key, value in optimizer.state[parameter].items()
    }


def _load_optimizer(
    model: Any, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    parameters = _trained(model)
    for key, tensor in tensors.items():
        name, _, moment = key.rpartition(":")
        parameter = parameters[name]
        optimizer.state[parameter][moment] = tensor.to(parameter.device)
