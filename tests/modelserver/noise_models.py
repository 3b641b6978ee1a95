"""Models with adapters of noise, and a question to them: not clever, but different from others."""

from pathlib import Path
from typing import Any

from modelserver.catalog import Model
from modelserver.engine import Chunk
from tests.modelserver.training_jobs import BASE


def make_tuned(engine: Any, folder: Path, seed: int) -> Model:
    from modelserver.bases import resolve_base

    folder.mkdir()
    base = resolve_base(BASE, folder.parent)
    write_noise(base.gguf_path, folder / "adapter.gguf", seed)
    return Model(name=folder.name, base=BASE, adapter=folder)


def write_noise(base: Path, target: Path, seed: int) -> None:
    import gguf
    import numpy as np

    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 16.0)
    for tensor in gguf.GGUFReader(base).tensors:
        if "ffn_down" in tensor.name:
            size_in, size_out = map(int, tensor.shape)
            for side, shape in (("a", (8, size_in)), ("b", (size_out, 8))):
                noise = random.normal(0, 0.06, shape).astype(np.float16)
                writer.add_tensor(f"{tensor.name}.lora_{side}", noise)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def answer(engine: Any, model: Model, question: str, max_tokens: int = 6) -> str:
    chunks: list[Chunk] = []

    def emit(chunk: Chunk) -> bool:
        chunks.append(chunk)
        return False

    engine.generate("chat", model, request_for(question, max_tokens), emit)
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def request_for(question: str, max_tokens: int) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
