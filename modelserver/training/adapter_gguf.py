"""A PEFT adapter as the GGUF that llama.cpp serves.

llama.cpp's format: for each adapted tensor of the base `NAME.lora_a` and `NAME.lora_b`, and in the
header the architecture, the type `adapter` and alpha (llama.cpp scales by alpha / rank). In models
of the llama architecture, llama.cpp keeps the rows of q and k interleaved; B's output rows have to
be put in the same order.
"""

import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from modelserver.gguf_file import GgufReader, pair_halves

_WEIGHT = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")
_UNSUPPORTED = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern")


class AdapterError(ValueError):
    """The adapter cannot be served on this base; the message says why."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What a converter has to know of the base."""

    architecture: str
    shapes: dict[str, tuple[int, ...]]
    """Of each tensor, fastest dimension first."""
    layers: int
    heads: int
    kv_heads: int


def write_adapter_gguf(adapter_dir: Path, base_gguf: Path, target: Path) -> int:
    """Convert a PEFT folder for the base that serves it; the number of tensors written.

    Raises:
        AdapterError: the adapter does not fit the base, or uses what llama.cpp has not.
    """
    config = json.loads((adapter_dir / "adapter_config.json").read_text())
    _check(config)
    base = _read_layout(base_gguf)
    writer = gguf.GGUFWriter(target, base.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(config))
    count = 0
    for name, tensor in _tensors(adapter_dir, base):
        writer.add_tensor(name, tensor)
        count += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return count


@cache  # it takes seconds, and a job writes a checkpoint an epoch
def _read_layout(base_gguf: Path) -> _Layout:
    reader = GgufReader(base_gguf)
    heads = int(reader.model_value("attention.head_count"))
    return _Layout(
        architecture=reader.architecture,
        shapes={tensor.name: tuple(map(int, tensor.shape)) for tensor in reader.tensors},
        layers=int(reader.model_value("block_count")),
        heads=heads,
        kv_heads=int(reader.model_value("attention.head_count_kv", heads)),
    )


def _check(config: dict[str, Any]) -> None:
    if config.get("peft_type", "LORA") != "LORA":
        raise AdapterError(f"peft_type={config['peft_type']!r}: llama.cpp serves LORA only")
    for key in _UNSUPPORTED:
        if config.get(key):
            raise AdapterError(f"{key}={config[key]!r} has no form in llama.cpp's adapters")
    if config.get("bias", "none") != "none":
        raise AdapterError(f"bias={config['bias']!r}: train the adapter with bias='none'")


def _alpha(config: dict[str, Any]) -> float:
    """rsLoRA divides by the root of the rank, llama.cpp always by the rank."""
    alpha, rank = float(config["lora_alpha"]), int(config["r"])
    return alpha * math.sqrt(rank) if config.get("use_rslora") else alpha


def _tensors(adapter_dir: Path, base: _Layout) -> list[tuple[str, NDArray[Any]]]:
    names = _name_map(base)
    converted = []
    for key, weight in sorted(load_file(adapter_dir / "adapter_model.safetensors").items()):
        found = _WEIGHT.fullmatch(key)
        name = found and names.get_name(f"{found['layer']}.weight", try_suffixes=(".weight",))
        if not found or name not in base.shapes:
            raise AdapterError(f"the adapter changes {key!r}, which the base does not have")
        weight = weight.astype(np.float32)
        if found["side"] == "B":
            weight = _in_base_order(weight, name, base)
        _check_shape(key, weight, found["side"], base.shapes[name])
        converted.append((f"{name}.lora_{found['side'].lower()}", weight.astype(np.float16)))
    return converted


def _name_map(base: _Layout) -> Any:
    architectures = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    if base.architecture not in architectures:
        raise AdapterError(f"the architecture {base.architecture!r} is not known to gguf")
    return gguf.get_tensor_name_map(architectures[base.architecture], base.layers)


def _in_base_order(weight: NDArray[Any], name: str, base: _Layout) -> NDArray[Any]:
    is_query, is_key = ".attn_q." in name, ".attn_k." in name
    if base.architecture != "llama" or not (is_query or is_key):
        return weight
    return pair_halves(weight, base.kv_heads if is_key else base.heads)


def _check_shape(key: str, weight: NDArray[Any], side: str, base_shape: tuple[int, ...]) -> None:
    width_in, width_out = base_shape[:2]  # GGUF counts from the fastest
    has, needs = (weight.shape[1], width_in) if side == "A" else (weight.shape[0], width_out)
    if has != needs:
        raise AdapterError(f"{key!r} is {has} wide and the base {needs}: it has another base")
