"""A folder with safetensors is served as what it is: the same tokens, the same answers."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the local extra: make install")

from modelserver.bases import BaseError, resolve_base
from modelserver.gguf_file import GgufReader
from tests.modelserver.tiny_folder import TEXT, write_tiny_folder

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"tie_word_embeddings": True, "rope_parameters": LLAMA3},
    "Qwen2ForCausalLM": {"tie_word_embeddings": False},
    "Qwen3ForCausalLM": {"tie_word_embeddings": False, "head_dim": 16},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    return {name: write_tiny_folder(root / name, name, **config) for name, config in MODELS.items()}


class Served:
    """llama.cpp's own HTTP, which tells of tokens."""

    def __init__(self, path: Path) -> None:
        xllamacpp = pytest.importorskip("xllamacpp", reason="serving needs the local extra")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 512
        parameters.n_parallel = 1
        parameters.warmup = False
        self._server = xllamacpp.Server(parameters)

    def tokenize(self, text: str) -> list[int]:
        asked = {"content": text, "add_special": True, "parse_special": True}
        return list(self._post("/tokenize", asked)["tokens"])

    def complete(self, text: str, count: int) -> list[int]:
        asked = {"prompt": text, "n_predict": count, "temperature": 0.0}
        return list(
            self._post("/completion", asked | {"ignore_eos": True, "return_tokens": True})["tokens"]
        )

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
            return told


def regrets(folder: Path, ids: list[int], answer: list[int]) -> list[float]:
    """By how much transformers, at float32, would rather have written another token each time."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([ids + answer])).logits[0, len(ids) - 1 : -1]
    logits[:, [0, 2]] = -torch.inf  # as `ignore_eos` does
    chosen = logits[torch.arange(len(answer)), torch.tensor(answer)]
    return (logits.max(dim=-1).values - chosen).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_tokens_and_greedy_answers_are_those_of_transformers(
    folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    served = Served(resolve_base(str(folders[name]), tmp_path).gguf_path)
    for text in TEXT:
        ids = tokenizer(text)["input_ids"]
        assert served.tokenize(text) == ids
        assert max(regrets(folders[name], ids, served.complete(text, 16))) < 0.05  # a tie, at most


def test_sentencepiece_s_tokens_are_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tokenizer = sentencepiece_tokenizer()
    shutil.copytree(folders["LlamaForCausalLM"], folder)
    tokenizer.save_pretrained(folder)
    served = Served(resolve_base(str(folder), tmp_path / "data").gguf_path)
    for text in (*TEXT, "two  spaces", "12 345 €"):
        assert served.tokenize(text) == tokenizer(text)["input_ids"]


def sentencepiece_tokenizer() -> Any:
    """As Llama 2's tokenizer.json has it: spaces as letters, unknown letters as bytes."""
    from tokenizers import Tokenizer, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, limit_alphabet=20, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    told = json.loads(tokenizer.to_str())
    told["added_tokens"] = told["added_tokens"][:3]  # bytes are ordinary tokens
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(told)), bos_token="<s>", eos_token="</s>"
    )


def test_a_base_is_trained_from_the_folder_itself(folders: dict[str, Path], tmp_path: Path) -> None:
    base = resolve_base(str(folders["Qwen2ForCausalLM"]), tmp_path)
    assert base.prepare_training_dir() == folders["Qwen2ForCausalLM"]
    assert (base.architecture, base.context_length) == ("qwen2", 512)
    assert GgufReader(base.gguf_path).value("tokenizer.chat_template")


def changed(source: Path, target: Path, file: str = "config.json", **values: Any) -> Path:
    shutil.copytree(source, target)
    path = target / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return target


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "GemmaForCausalLM"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1.0}}, "longrope"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
    ],
)
def test_what_is_not_converted_is_named_with_a_way_out(
    folders: dict[str, Path], tmp_path: Path, values: dict[str, Any], named: str
) -> None:
    folder = changed(folders["LlamaForCausalLM"], tmp_path / "model", **values)
    with pytest.raises(BaseError, match=named) as raised:
        resolve_base(str(folder), tmp_path / "data")
    assert "GGUF" in str(raised.value)


def test_a_tokenizer_that_llama_cpp_cuts_otherwise_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    words = {"type": "Split", "pattern": {"Regex": "[a-z]+"}, "behavior": "Isolated"}
    folder = changed(
        folders["LlamaForCausalLM"], tmp_path / "m", "tokenizer.json", pre_tokenizer=words
    )
    with pytest.raises(BaseError, match=r"\[a-z\]\+"):
        resolve_base(str(folder), tmp_path / "data")


def test_pickled_weights_are_never_opened(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["LlamaForCausalLM"], folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BaseError, match=r"pytorch_model\.bin.*safe_serialization"):
        resolve_base(str(folder), tmp_path / "data")


@pytest.mark.parametrize("size", [4, 40, 20_000])
def test_a_truncated_file_is_named(folders: dict[str, Path], tmp_path: Path, size: int) -> None:
    folder = tmp_path / "model"
    shutil.copytree(folders["LlamaForCausalLM"], folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(size)
    with pytest.raises(BaseError, match=r"model\.safetensors"):
        resolve_base(str(folder), tmp_path / "data")


def test_weights_in_several_files_are_put_together(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "model"
    shutil.copytree(folders["Qwen2ForCausalLM"], folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="30KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("*.safetensors"))) > 1
    one = resolve_base(str(folders["Qwen2ForCausalLM"]), tmp_path / "data")
    several = resolve_base(str(folder), tmp_path / "data")
    for a, b in zip(
        *(
            sorted(GgufReader(base.gguf_path).tensors, key=lambda tensor: tensor.name)
            for base in (one, several)
        ),
        strict=True,
    ):
        assert (a.name, bytes(a.data)) == (b.name, bytes(b.data))
