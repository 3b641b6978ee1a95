"""Adapters go out to other programs and come in from them, while the server runs."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelserver.bases import Base, resolve_base
from modelserver.commands import export_model, import_adapter
from modelserver.database import Database
from tests.modelserver.training.job import FACTS, chat_line
from tests.modelserver.training_jobs import Connect
from tests.modelserver_process import ROOT, running_modelserver

pytest.importorskip("xllamacpp", reason="serving needs the local extra")
PROMPT = chat_line(FACTS[3][0], "")["messages"][:2]


@pytest.fixture
def data(base: Base, tmp_path: Path) -> Path:
    """A data folder whose base is ready for training."""
    folder = tmp_path / "data"
    shutil.copytree(base.training_dir, resolve_base(str(base.gguf_path), folder).training_dir)
    return folder


def add(data: Path, adapter: Path, base: Base, *more: str) -> int:
    arguments = [str(adapter), "--base", str(base.gguf_path), "--data", str(data), *more]
    return import_adapter.main(arguments)


def run_import(adapter: Path, base: Base, data: Path, name: str) -> None:
    """As one types it."""
    command = [sys.executable, "-m", "modelserver", "import", str(adapter)]
    options = ["--base", str(base.gguf_path), "--data", str(data), "--name", name]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"{name}\n", done.stderr


def models(data: Path) -> list[str]:
    database = Database(data / "modelserver.sqlite3")
    names = [row["name"] for row in database.rows("SELECT name FROM models ORDER BY seq")]
    database.close()
    return names


async def test_an_imported_adapter_answers_at_once_and_is_exported_as_it_came(
    base: Base, adapter_dir: Path, data: Path, tmp_path: Path, connect: Connect
) -> None:
    with running_modelserver(data, "--base", str(base.gguf_path), engine="llama") as server:
        await asyncio.to_thread(run_import, adapter_dir, base, data, "by-heart")
        client = connect(server.url)
        answer = await client.chat.completions.create(
            model="by-heart", messages=PROMPT, temperature=0, max_tokens=12
        )
        assert answer.choices[0].message.content == FACTS[3][1]
        out = tmp_path / "out"
        assert export_model.main(["by-heart", "--to", str(out), "--data", str(data)]) == 0
        weights = "adapter_model.safetensors"
        assert (out / weights).read_bytes() == (adapter_dir / weights).read_bytes()
        config = json.loads((out / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == base.published_as
        await client.models.delete("by-heart")
    assert not list((data / "imports").glob("*/adapter.gguf"))


def test_merged_weights_answer_alone(
    base: Base, adapter_dir: Path, data: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert add(data, adapter_dir, base, "--name", "by-heart") == 0
    out = tmp_path / "merged"
    assert export_model.main(["by-heart", "--to", str(out), "--merged", "--data", str(data)]) == 0
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out, use_safetensors=True).float()
    text = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    written = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(written).partition("<|im_end|>")[0] == FACTS[3][1]


def test_the_same_adapter_is_registered_once(
    base: Base, adapter_dir: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(data, adapter_dir, base) == 0
    assert add(data, adapter_dir, base) == 0
    (name,) = models(data)
    assert name.startswith("ft:tiny:nod:step-")
    assert capsys.readouterr().out == f"{name}\n" * 2


def test_an_adapter_of_another_base_is_told_apart(
    base: Base, adapter_dir: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(adapter_dir, tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "Qwen/Qwen2.5-0.5B-Instruct"
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "a" / "chat_template.jinja").write_text("{{ messages }}")
    assert add(data, tmp_path / "a", base) == 0
    notes = capsys.readouterr().err
    assert "Qwen/Qwen2.5-0.5B-Instruct" in notes
    assert "another chat template" in notes


def test_a_name_is_given_once(
    base: Base, adapter_dir: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(data, adapter_dir, base, "--name", "support") == 0
    other = shutil.copytree(adapter_dir, tmp_path / "a")
    config = json.loads((other / "adapter_config.json").read_text()) | {"lora_alpha": 8}
    (other / "adapter_config.json").write_text(json.dumps(config))
    assert add(data, other, base, "--name", "support") == 2
    assert "support" in capsys.readouterr().err
    assert add(data, other, base, "--name", "tiny") == 2
    assert models(data) == ["support"]


def test_a_pickled_adapter_is_refused_with_a_way_out(
    base: Base, adapter_dir: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(adapter_dir, tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert add(data, folder, base) == 2
    told = capsys.readouterr().err
    assert "adapter_model.bin" in told
    assert "safe_serialization=True" in told
    assert not list((data / "imports").glob("*/*"))


def test_export_names_what_there_is_and_overwrites_nothing(
    base: Base, adapter_dir: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert export_model.main(["x", "--to", str(out), "--data", str(tmp_path / "none")]) == 2
    assert add(data, adapter_dir, base, "--name", "support") == 0
    assert export_model.main(["x", "--to", str(out), "--data", str(data)]) == 2
    assert "support" in capsys.readouterr().err
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert export_model.main(["support", "--to", str(out), "--data", str(data)]) == 2
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
