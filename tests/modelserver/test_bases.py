"""A base model is found by its name, made ready once, and a wrong name says what would be right."""

import multiprocessing
from pathlib import Path

import gguf
import numpy as np
import pytest

pytest.importorskip("gguf", reason="serving needs the local extra: make install")

from modelserver.bases import BaseError, resolve_base
from modelserver.gguf_file import GgufReader, requantize
from tests.modelserver.tiny_gguf import write_tiny_gguf


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    return path


def write_quantized(path: Path, source: Path, kind: gguf.GGMLQuantizationType) -> Path:
    """`source` with its wide tensors in another quantisation."""
    reader = GgufReader(source)
    writer = gguf.GGUFWriter(path, reader.architecture)
    writer.add_context_length(64)
    writer.add_array("a.list", ["x", "y"])
    for tensor in reader.tensors:
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if weights.ndim == 2 and weights.shape[1] % 32 == 0:
            writer.add_tensor(tensor.name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_served_as_it_is(tiny: Path, tmp_path: Path) -> None:
    base = resolve_base(str(tiny), tmp_path / "data")
    assert base.gguf_path == tiny
    assert base.architecture == "llama"
    assert base.context_length == GgufReader(tiny).model_value("context_length")


def test_a_slow_quantisation_is_served_as_q8_0_with_the_same_weights(
    tiny: Path, tmp_path: Path
) -> None:
    slow = write_quantized(tmp_path / "slow.gguf", tiny, gguf.GGMLQuantizationType.Q4_1)
    base = resolve_base(str(slow), tmp_path / "data")
    assert base.gguf_path != slow
    before, after = GgufReader(slow), GgufReader(base.gguf_path)
    assert not after.is_slow
    assert after.value("a.list") == ["x", "y"]
    assert [t.name for t in after.tensors] == [t.name for t in before.tensors]
    for old, new in zip(before.tensors, after.tensors, strict=True):
        expected = gguf.quants.dequantize(old.data, old.tensor_type)
        got = gguf.quants.dequantize(new.data, new.tensor_type)
        np.testing.assert_allclose(got, expected, atol=np.abs(expected).max() / 200)


def test_what_is_fast_already_is_copied_bit_by_bit(tiny: Path, tmp_path: Path) -> None:
    fast = write_quantized(tmp_path / "fast.gguf", tiny, gguf.GGMLQuantizationType.Q8_0)
    requantize(GgufReader(fast), tmp_path / "copy.gguf")
    for old, new in zip(
        GgufReader(fast).tensors, GgufReader(tmp_path / "copy.gguf").tensors, strict=True
    ):
        assert bytes(old.data) == bytes(new.data)


def test_a_changed_file_is_another_base(tiny: Path, tmp_path: Path) -> None:
    before = resolve_base(str(tiny), tmp_path / "data")
    with tiny.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    after = resolve_base(str(tiny), tmp_path / "data")
    assert after.training_dir != before.training_dir


def test_what_a_killed_process_left_is_cleared_away(tiny: Path, tmp_path: Path) -> None:
    slow = write_quantized(tmp_path / "slow.gguf", tiny, gguf.GGMLQuantizationType.Q4_1)
    served = resolve_base(str(slow), tmp_path / "data").gguf_path
    served.unlink()
    half = served.parent / f".{served.name}.half-x"
    half.mkdir()
    (half / served.name).write_bytes(b"half a file")
    again = resolve_base(str(slow), tmp_path / "data").gguf_path
    assert again == served
    assert GgufReader(again).tensors
    assert not half.exists()


def test_several_processes_may_ask_at_once(tiny: Path, tmp_path: Path) -> None:
    slow = write_quantized(tmp_path / "slow.gguf", tiny, gguf.GGMLQuantizationType.Q4_1)
    spawn = multiprocessing.get_context("spawn")
    asked = [(str(slow), tmp_path / "data")] * 3
    with spawn.Pool(3) as pool:
        found = pool.starmap(resolve_base, asked)
    assert len({base.gguf_path for base in found}) == 1
    assert GgufReader(found[0].gguf_path).tensors


@pytest.mark.parametrize("name", ["smollm3", "gpt-4o", "", "/nowhere/model.gguf"])
def test_an_unknown_name_is_told_what_would_be_right(name: str, tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="smollm2-135m-instruct") as raised:
        resolve_base(name, tmp_path)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 100])
def test_a_file_that_is_no_gguf_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(BaseError, match=r"bad\.gguf"):
        resolve_base(str(path), tmp_path / "data")


def test_a_truncated_gguf_is_named(tiny: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:-5000])
    with pytest.raises(BaseError, match=r"cut\.gguf"):
        resolve_base(str(cut), tmp_path / "data")
