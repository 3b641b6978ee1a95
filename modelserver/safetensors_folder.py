"""The weights of a folder with safetensors, one tensor at a time, as NumPy arrays.

NumPy has no bfloat16, in which most models are published, and the safetensors package reads those
by torch alone: so their bytes are widened here, and a server never imports torch to convert a base.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_HEADER_BYTES = 100 << 20  # the format's own limit


class WeightsError(ValueError):
    """Weights cannot be read; the message names the file and says what to do."""


class SafetensorsFolder:
    """All tensors of a folder, whether in one file or in several with an index."""

    def __init__(self, folder: Path, name: str = "*") -> None:
        """Raises `WeightsError` when there are none, or only pickled ones."""
        files = sorted(folder.glob(f"{name}.safetensors"))
        if not files:
            raise WeightsError(_explain_absence(folder, name))
        self._places: dict[str, tuple[Path, int, dict[str, Any]]] = {}
        for file in files:
            for name, place in _read_header(file):
                self._places[name] = (file, *place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._places[name][2]["shape"])

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor in float32. Its file is mapped, so that nothing else is read."""
        file, start, told = self._places[name]
        first, last = told["data_offsets"]
        dtype = np.dtype(_DTYPES[told["dtype"]])
        raw = np.memmap(file, np.uint8, "r", start + first, (last - first,)).view(dtype)
        if told["dtype"] == "BF16":  # the upper half of a float32
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.reshape(told["shape"]).astype(np.float32)


def _read_header(file: Path) -> Iterator[tuple[str, tuple[int, dict[str, Any]]]]:
    """Name, and where it is: 8 bytes of length, JSON, then the data that its offsets count in."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        text = opened.read(length) if length <= _HEADER_BYTES else b""
    size = file.stat().st_size
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        for name, told in header.items():
            if told["dtype"] not in _DTYPES:
                raise WeightsError(
                    f"{file}: {name} is {told['dtype']}: quantised weights cannot be trained or "
                    "converted; give the folder of the model in bfloat16 or float16, or a GGUF file"
                )
            bytes_of = int(np.prod(told["shape"])) * np.dtype(_DTYPES[told["dtype"]]).itemsize
            first, last = told["data_offsets"]
            if not 0 <= first <= last <= size - 8 - length or last - first != bytes_of:
                raise ValueError(f"{name} lies outside the file")
            yield name, (8 + length, told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{file} is no whole safetensors file ({error}): fetch it again"
        ) from error


def _explain_absence(folder: Path, name: str) -> str:
    endings = ("bin", "pt", "pth")
    pickled = next((path for one in endings for path in folder.glob(f"{name}.{one}")), None)
    if pickled is None:
        return f"{folder} has no {name}.safetensors: give the folder that holds the weights"
    return (
        f"{folder} has its weights in {pickled.name}, which is pickled: loading it could run "
        "foreign code, so it is never opened. Where you trust it, load it with transformers or "
        "peft and save it by `model.save_pretrained(folder, safe_serialization=True)`"
    )
