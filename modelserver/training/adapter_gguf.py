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

from modelserver.gguf_file import GgufReader, pair_halves
from modelserver.safetensors_folder import SafetensorsFolder, WeightsError

# PEFT's own key, with the name of the adapter where it was saved by other means.
_WEIGHT = re.compile(
    r"(?:base_model\.model\.)?(?P<layer>.+)\.lora_(?P<side>[AB])(?:\.\w+)?\.weight"
)
_UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "lora_bias",
    "fan_in_fan_out",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
)
# These move part of the base's weights into the adapter: it is meaningless on the original base.
_MOVES_WEIGHTS = ("pissa", "olora", "corda", "loftq", "lora_ga")


class AdapterError(ValueError):
    """The adapter cannot be served on this base; the message says why."""


class DivergedError(AdapterError):
    """Its training ran away."""


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
    config = read_adapter_config(adapter_dir)
    _check(config)
    base = _read_layout(base_gguf)
    try:
        tensors = _tensors(adapter_dir, config, base)
    except WeightsError as error:
        raise AdapterError(str(error)) from error
    writer = gguf.GGUFWriter(target, base.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(config))
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return len(tensors)


def read_adapter_config(adapter_dir: Path) -> dict[str, Any]:
    """Raises AdapterError where it is no PEFT folder."""
    path = adapter_dir / "adapter_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return config | {"r": int(config["r"]), "lora_alpha": float(config["lora_alpha"])}
    except FileNotFoundError as error:
        raise AdapterError(f"{path} is missing: give the folder that PEFT saved") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{path} is no LoRA adapter's: {error}") from error


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
            raise AdapterError(
                f"{key}={config[key]!r} has no form in llama.cpp's adapters: merge the adapter "
                "into its base where it was trained, and serve that as a base model"
            )
    if config.get("bias", "none") != "none":
        raise AdapterError(f"bias={config['bias']!r}: train the adapter with bias='none'")
    start = str(config.get("init_lora_weights", True)).lower()
    if start.startswith(_MOVES_WEIGHTS):
        raise AdapterError(
            f"init_lora_weights={start!r} changed the base's weights as well: save the adapter by "
            "`save_pretrained(..., path_initial_model_for_weight_conversion=...)`, or merge it"
        )


def _alpha(config: dict[str, Any]) -> float:
    """rsLoRA divides by the root of the rank, llama.cpp always by the rank."""
    alpha, rank = float(config["lora_alpha"]), int(config["r"])
    return alpha * math.sqrt(rank) if config.get("use_rslora") else alpha


def _own_scale(config: dict[str, Any], layer: str, rank: int) -> float:
    """What B is multiplied by, so that the one alpha of the file does for a layer of its own.

    `rank_pattern` and `alpha_pattern` name layers by the end of their name, as PEFT reads them.
    """
    patterns = config.get("alpha_pattern") or {}
    own = [alpha for name, alpha in patterns.items() if re.match(rf"(.*\.)?({name})$", layer)]
    alpha = float(own[0] if own else config["lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return scale * rank / _alpha(config)


def _tensors(adapter_dir: Path, config: dict[str, Any], base: _Layout) -> dict[str, NDArray[Any]]:
    names = _name_map(base)
    weights = SafetensorsFolder(adapter_dir, "adapter_model")
    converted = {}
    for key in sorted(weights):
        found = _WEIGHT.fullmatch(key)
        if found is None:
            raise AdapterError(f"{key!r} is no LoRA weight: llama.cpp serves nothing else")
        layer, side = found["layer"], found["side"]
        name = names.get_name(f"{layer}.weight", try_suffixes=(".weight",))
        if name not in base.shapes:
            raise AdapterError(f"the adapter changes {key!r}, which the base does not have")
        weight: NDArray[Any] = weights.read(key)
        if side == "B":
            weight = _in_base_order(weight, name, base) * _own_scale(config, layer, weight.shape[1])
        _check_shape(key, weight, side, base.shapes[name])
        converted[f"{name}.lora_{side.lower()}"] = _as_float16(key, weight)
    _check_pairs(converted)
    return converted


def _as_float16(key: str, weight: NDArray[Any]) -> NDArray[np.float16]:
    """What llama.cpp serves; with a weight that is no number it would answer nonsense."""
    with np.errstate(over="ignore"):
        converted = weight.astype(np.float16)
    if not np.isfinite(converted).all():
        raise DivergedError(f"{key!r} has weights that are no numbers, or beyond float16")
    return converted


def _check_pairs(tensors: dict[str, NDArray[Any]]) -> None:
    layers = {name.rpartition(".")[0] for name in tensors}
    if not layers:
        raise AdapterError("the adapter has no weights at all")
    for layer in sorted(layers):
        a, b = (tensors.get(f"{layer}.lora_{side}") for side in "ab")
        if a is None or b is None or a.shape[0] != b.shape[1]:
            raise AdapterError(f"the two halves of {layer!r} don't fit: the file is not whole")


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
