"""`python -m modelserver export MODEL --to DIR`: a tuned model's files, for other programs."""

import argparse
import json
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.bases import Base, BaseError, resolve_base
from modelserver.database import Database, NewerDatabaseError
from modelserver.files_on_disk import make_whole

_EXAMPLES = """
examples:
  python -m modelserver export ft:smollm2-135m-instruct:nod::3hT0aXq9 --to out --data ~/models
      the adapter as PEFT and vLLM load it, and as GGUF for llama.cpp
  python -m modelserver export support-bot --to out --merged --data ~/models
      whole weights as safetensors, with the tokenizer: a model like any other

GET /v1/models of the server lists the names.
"""
_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter.gguf")
_README = """\
# {name}

A LoRA adapter for {base}.

    from peft import AutoPeftModelForCausalLM
    model = AutoPeftModelForCausalLM.from_pretrained("this/folder")

    vllm serve {base} --enable-lora --lora-modules tuned=this/folder

    llama-server -m base.gguf --lora this/folder/adapter.gguf
"""


class ExportRefusedError(ValueError):
    """It cannot be exported; the message says why."""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    data_dir = options.data.resolve()
    try:
        row = _find(options.model, data_dir)
        target = _check_target(options.to)
        adapter = data_dir / row["path"]
        base = resolve_base(_base_source(row, data_dir), data_dir)
        make = _merge if options.merged else _copy
        make_whole(target, lambda path: make(row["name"], adapter, base, path))
    except (ExportRefusedError, BaseError, NewerDatabaseError, OSError) as error:
        print(f"modelserver: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(target)  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelserver export",
        description="Copies a tuned model out of the data folder, also while the server runs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="its name, or a checkpoint's")
    add("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    add("--merged", action="store_true", help="whole weights instead of the adapter")
    add("--data", type=Path, required=True, metavar="DIR", help="the server's data folder")
    return parser


def _find(name: str, data_dir: Path) -> sqlite3.Row:
    path = data_dir / "modelserver.sqlite3"
    if not path.is_file():
        raise ExportRefusedError(f"--data {data_dir}: no server has worked there")
    database = Database(path)
    try:
        row = database.row("SELECT * FROM models WHERE name = ?", name)
        known = [one["name"] for one in database.rows("SELECT name FROM models ORDER BY seq")]
    finally:
        database.close()
    if row is None:
        there = ", ".join(known[-10:]) or "none yet"
        raise ExportRefusedError(f"there is no tuned model {name!r}; there are: {there}")
    return row


def _check_target(target: Path) -> Path:
    target = target.expanduser().absolute()
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if target.exists():
        raise ExportRefusedError(f"--to {target}: it is there already; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _base_source(row: sqlite3.Row, data_dir: Path) -> str:
    """What its base was called when it was trained or imported."""
    orders = (
        data_dir / row["path"] / "import.json",
        data_dir / "jobs" / row["job_id"] / "job.json",
    )
    for path in orders:
        if path.is_file():
            return str(json.loads(path.read_text())["base"])
    raise ExportRefusedError(f"{orders[1]} is missing: which base model it has is not known")


def _copy(name: str, adapter: Path, base: Base, target: Path) -> None:
    target.mkdir()
    for file in _FILES:
        shutil.copyfile(adapter / file, target / file)
    (target / "README.md").write_text(_README.format(name=name, base=base.published_as))


def _merge(name: str, adapter: Path, base: Base, target: Path) -> None:  # noqa: ARG001 (as _copy)
    try:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ExportRefusedError(
            f"{error}: merging needs torch, run `pip install 'nod[local]'` (or `make install`)"
        ) from error
    folder = base.prepare_training_dir()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.config.name_or_path = base.published_as
    merged.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
