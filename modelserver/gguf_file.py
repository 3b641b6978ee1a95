"""GGUF files: reading them quickly, and rewriting slow quantisations as Q8_0."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization
from numpy.typing import NDArray

# llama.cpp has no repacked fast path for these: on CPU a prompt is read about 40 % slower
# than with Q8_0, while Q8_0 of the dequantised weights loses nothing that matters.
SLOW_QUANTIZATIONS = {Quantization.Q4_1, Quantization.Q5_0, Quantization.Q5_1}

FILE_TYPE_Q8_0 = 7  # llama.cpp's LLAMA_FTYPE_MOSTLY_Q8_0


class GgufReader(gguf.GGUFReader):
    """gguf's reader on a plain array: slicing a memmap object costs three times as much."""

    def _get(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.data, np.memmap):
            self.data: Any = self.data.view(np.ndarray)
        return super()._get(*args, **kwargs)

    def value(self, key: str, default: Any = None) -> Any:
        """One metadata value as Python's own type."""
        field = self.fields.get(key)
        return default if field is None else field.contents()

    @property
    def architecture(self) -> str:
        return str(self.value("general.architecture", "unknown"))

    def model_value(self, key: str, default: Any = None) -> Any:
        """A value under the architecture's own prefix, e.g. ``llama.context_length``."""
        return self.value(f"{self.architecture}.{key}", default)

    @property
    def is_slow(self) -> bool:
        """Whether most of the weights are in a quantisation that llama.cpp reads slowly."""
        slow = sum(t.n_elements for t in self.tensors if t.tensor_type in SLOW_QUANTIZATIONS)
        return bool(slow * 2 > sum(t.n_elements for t in self.tensors))


def requantize(source: GgufReader, target: Path) -> None:
    """Writes `source` to `target` with its slow tensors as Q8_0; the rest is copied as it is.

    One tensor is in memory at a time.
    """
    writer = gguf.GGUFWriter(target, source.architecture)
    for key, field in source.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        writer.add_key_value(key, field.contents(), field.types[0], sub_type=_item_type(field))
    writer.add_file_type(FILE_TYPE_Q8_0)
    for tensor in source.tensors:
        _announce(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in source.tensors:
        writer.write_tensor_data(_fast_data(tensor))
    writer.close()


def pair_halves(weight: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of q or k as llama.cpp has them: (head, half, i) -> (head, i, half)."""
    rows, *rest = weight.shape
    by_half = weight.reshape(heads, 2, rows // heads // 2, *rest)
    return by_half.swapaxes(1, 2).reshape(rows, *rest)


def _item_type(field: Any) -> Any:
    return field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None


def _announce(writer: Any, tensor: Any) -> None:
    shape = tuple(int(size) for size in reversed(tensor.shape))  # GGUF counts from the fastest
    if tensor.tensor_type not in SLOW_QUANTIZATIONS:
        kind, count = tensor.tensor_type, tensor.n_bytes
    else:
        kind = Quantization.Q8_0
        count = int(np.prod(gguf.quant_shape_to_byte_shape(shape, kind)))
    writer.add_tensor_info(tensor.name, shape, np.dtype(np.float32), count, raw_dtype=kind)


def _fast_data(tensor: Any) -> Any:
    if tensor.tensor_type not in SLOW_QUANTIZATIONS:
        return tensor.data
    weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return gguf.quants.quantize(weights, Quantization.Q8_0)
