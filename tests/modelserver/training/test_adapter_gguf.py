"""An adapter converted for llama.cpp answers as it did in training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch_file
from safetensors.torch import save_file as save_torch_file

from modelserver.bases import Base
from modelserver.gguf_file import GgufReader
from modelserver.training.adapter_gguf import AdapterError, write_adapter_gguf
from tests.modelserver.training.job import FACTS, chat_line

xllamacpp = pytest.importorskip("xllamacpp", reason="serving needs the local extra")


def answer_in_torch(base: Base, adapter_dir: Path, question: str) -> str:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.training_dir)
    model = AutoModelForCausalLM.from_pretrained(base.training_dir)
    model = PeftModel.from_pretrained(model, adapter_dir).eval()
    prompt = tokenizer.apply_chat_template(
        chat_line(question, "")["messages"][:2], add_generation_prompt=True, tokenize=False
    )
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=12, do_sample=False)
    text = tokenizer.decode(out[0, ids["input_ids"].shape[1] :])
    return str(text.partition("<|im_end|>")[0])


def test_the_same_questions_get_the_same_answers_from_trainer_and_server(
    base: Base, adapter_dir: Path
) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(base.gguf_path)
    parameters.n_ctx = 512
    parameters.n_parallel = 1
    parameters.warmup = False
    adapter = xllamacpp.CommonAdapterLoraInfo(str(adapter_dir / "adapter.gguf"), 1.0)
    parameters.lora_adapters = [adapter]
    server = xllamacpp.Server(parameters)
    learnt = 0
    for question, reference in FACTS:
        request = {
            "messages": chat_line(question, "")["messages"][:2],
            "max_tokens": 12,
            "temperature": 0.0,
            "lora": [{"id": 0, "scale": 1.0}],
        }
        served = server.handle_chat_completions(request)
        text = served["choices"][0]["message"]["content"]
        assert text == answer_in_torch(base, adapter_dir, question)
        learnt += text == reference
    assert learnt > len(FACTS) / 2, "nothing was learnt, so nothing was compared"


def test_each_adapted_weight_is_in_the_file(base: Base, adapter_dir: Path) -> None:
    names = {tensor.name for tensor in GgufReader(adapter_dir / "adapter.gguf").tensors}
    assert len(names) == len(load_file(adapter_dir / "adapter_model.safetensors"))
    assert "blk.1.attn_q.weight.lora_a" in names


def changed(adapter_dir: Path, target: Path, **config: object) -> Path:
    shutil.copytree(adapter_dir, target)
    path = target / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


@pytest.mark.parametrize("key", ["use_dora", "modules_to_save", "lora_bias"])
def test_what_llama_cpp_has_not_is_refused_by_name(
    base: Base, adapter_dir: Path, tmp_path: Path, key: str
) -> None:
    folder = changed(adapter_dir, tmp_path / "a", **{key: {"x": 1}})
    with pytest.raises(AdapterError, match=key):
        write_adapter_gguf(folder, base.gguf_path, tmp_path / "out.gguf")


def test_an_adapter_of_another_base_is_refused(
    base: Base, adapter_dir: Path, tmp_path: Path
) -> None:
    folder = changed(adapter_dir, tmp_path / "a")
    weights = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in weights if name.endswith("lora_A.weight"))
    weights[name] = np.zeros((16, 99), dtype=np.float32)
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="99"):
        write_adapter_gguf(folder, base.gguf_path, tmp_path / "out.gguf")


def test_weights_that_were_moved_into_the_adapter_are_refused(
    base: Base, adapter_dir: Path, tmp_path: Path
) -> None:
    folder = changed(adapter_dir, tmp_path / "a", init_lora_weights="pissa_niter_4")
    with pytest.raises(AdapterError, match="pissa"):
        write_adapter_gguf(folder, base.gguf_path, tmp_path / "out.gguf")


def product(path: Path, layer: str) -> np.ndarray:
    """What an adapter adds to a layer's weight, as llama.cpp computes it."""
    reader = GgufReader(path)
    a, b = (
        next(t.data for t in reader.tensors if t.name == f"{layer}.lora_{side}").astype(np.float32)
        for side in "ab"
    )
    return b @ a * reader.value("adapter.lora.alpha") / a.shape[0]


@pytest.mark.parametrize(
    ("config", "factor"),
    [
        ({}, 1.0),
        ({"use_rslora": True}, 4.0),  # the root of rank 16
        ({"alpha_pattern": {"self_attn.v_proj": 8}}, 0.25),
        ({"alpha_pattern": {r"model.layers.\d+.self_attn.v_proj": 8}}, 0.25),
        ({"alpha_pattern": {"v_proj": 16}, "use_rslora": True}, 2.0),
        ({"target_modules": ".*(q|v)_proj", "rank_pattern": {}, "modules_to_save": None}, 1.0),
    ],
)
def test_scales_are_those_that_peft_applies(
    base: Base, adapter_dir: Path, tmp_path: Path, config: dict[str, object], factor: float
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = changed(adapter_dir, tmp_path / "a", **config)
    write_adapter_gguf(folder, base.gguf_path, tmp_path / "out.gguf")
    layer = "blk.1.attn_v.weight"
    got = product(tmp_path / "out.gguf", layer)
    np.testing.assert_allclose(
        got, factor * product(adapter_dir / "adapter.gguf", layer), rtol=1e-2
    )
    model = AutoModelForCausalLM.from_pretrained(base.training_dir, dtype=torch.float32)
    if isinstance(config.get("target_modules"), str):
        return  # this one's adapter has more layers than PEFT would make
    module = PeftModel.from_pretrained(model, folder).base_model.model.model.layers[1]
    expected = module.self_attn.v_proj.get_delta_weight("default").detach().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: key.removeprefix("base_model.model."),
        lambda key: key.replace(".weight", ".default.weight"),
    ],
)
def test_keys_of_other_trainers_are_read(
    base: Base, adapter_dir: Path, tmp_path: Path, rename
) -> None:
    folder = changed(adapter_dir, tmp_path / "a")
    weights = load_torch_file(folder / "adapter_model.safetensors")
    halved = {rename(key): weight.to(torch.bfloat16) for key, weight in weights.items()}
    save_torch_file(halved, folder / "adapter_model.safetensors")
    write_adapter_gguf(folder, base.gguf_path, tmp_path / "out.gguf")
    layer = "blk.0.attn_q.weight"
    np.testing.assert_allclose(
        product(tmp_path / "out.gguf", layer),
        product(adapter_dir / "adapter.gguf", layer),
        rtol=0.1,
        atol=1e-3,
    )


def test_half_an_adapter_is_refused(base: Base, adapter_dir: Path, tmp_path: Path) -> None:
    folder = changed(adapter_dir, tmp_path / "a")
    weights = load_file(folder / "adapter_model.safetensors")
    del weights[next(name for name in weights if name.endswith("lora_B.weight"))]
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="halves"):
        write_adapter_gguf(folder, base.gguf_path, tmp_path / "out.gguf")
