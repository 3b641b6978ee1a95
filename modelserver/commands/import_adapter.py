"""`python -m modelserver import ADAPTER_DIR --base NAME`: serves an adapter trained elsewhere."""

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from modelserver.bases import Base, BaseError, name_of, resolve_base
from modelserver.catalog import OWNER, insert_model
from modelserver.database import Database, NewerDatabaseError
from modelserver.files_on_disk import make_once
from modelserver.gguf_file import GgufReader
from modelserver.training.adapter_gguf import (
    AdapterError,
    read_adapter_config,
    write_adapter_gguf,
)

_NAME = re.compile(r"[A-Za-z0-9][\w.:/-]{0,199}")
_EXAMPLES = """
examples:
  python -m modelserver import saves/qwen-lora --base Qwen/Qwen2.5-0.5B-Instruct --data ~/models
      prints the name under which it answers, also on a server that runs already
  python -m modelserver import outputs/lora --base ~/qwen.gguf --name support-bot --data ~/models

ADAPTER_DIR is what PEFT saves, and with it LLaMA-Factory, XTuner, LMFlow, Unsloth and TRL:
adapter_config.json and adapter_model.safetensors. It is copied, and made ready for llama.cpp.
--base is what the server was, or will be, started with. Pickled weights (*.bin) are never opened.
"""


class ImportRefusedError(ValueError):
    """It cannot be registered; the message says why."""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir = options.data.resolve()
    try:
        base = resolve_base(options.base, data_dir)
        folder = _take_in(options.adapter_dir, base, data_dir)
        for note in _compare(options.adapter_dir, base):
            print(f"note: {note}", file=sys.stderr)  # noqa: T201
        name = _register(folder, base, options, data_dir)
    except (AdapterError, BaseError, ImportRefusedError, NewerDatabaseError, OSError) as error:
        print(f"modelserver: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(name)  # noqa: T201
    print(f"answers wherever {name_of(options.base)} is served", file=sys.stderr)  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelserver import",
        description="Registers a LoRA adapter that was trained elsewhere, once it fits its base.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("adapter_dir", type=Path, metavar="ADAPTER_DIR")
    add("--base", required=True, metavar="NAME_OR_PATH", help="the base model it was trained on")
    add("--name", help=f"what clients call it (default: ft:BASE:{OWNER}:FOLDER:ID)")
    add("--data", type=Path, required=True, metavar="DIR", help="the server's data folder")
    return parser


def _take_in(source: Path, base: Base, data_dir: Path) -> Path:
    """The adapter's folder in the data folder; the same adapter and base give the same folder."""
    read_adapter_config(source)
    weights = source / "adapter_model.safetensors"

    def make(target: Path) -> None:
        target.mkdir()
        write_adapter_gguf(source, base.gguf_path, target / "adapter.gguf")
        shutil.copyfile(weights, target / weights.name)
        config = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base.published_as
        (target / "adapter_config.json").write_text(json.dumps(config, indent=2))
        (target / "import.json").write_text(json.dumps({"base": base.name}))

    digest = sha256((source / "adapter_config.json").read_bytes())
    if weights.is_file():
        with weights.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    digest.update(str(base.gguf_path).encode())
    folder = data_dir / "imports" / digest.hexdigest()[:24]
    folder.parent.mkdir(exist_ok=True)
    make_once(folder, make)
    return folder


def _compare(source: Path, base: Base) -> list[str]:
    """What fits but may not have been meant."""
    notes = []
    trained_on = str(read_adapter_config(source).get("base_model_name_or_path") or "")
    if trained_on and Path(trained_on).name.lower() != Path(base.published_as).name.lower():
        notes.append(
            f"it was trained on {trained_on}, and is served on {base.published_as}; its shapes fit"
        )
    template = _template_of(source)
    served = GgufReader(base.gguf_path).value("tokenizer.chat_template")
    if template and served and template.strip() != served.strip():
        notes.append(
            "it was trained with another chat template than its base is served with: where its "
            "answers look odd, serve the base from its folder of safetensors with that template"
        )
    return notes


def _template_of(source: Path) -> str | None:
    if (path := source / "chat_template.jinja").is_file():
        return path.read_text(encoding="utf-8")
    if (path := source / "tokenizer_config.json").is_file():
        told: Any = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
        return told if isinstance(told, str) else None
    return None


def _register(folder: Path, base: Base, options: argparse.Namespace, data_dir: Path) -> str:
    served = name_of(base.name)
    readable = re.sub(r"[\W_]+", "-", options.adapter_dir.resolve().name.lower()).strip("-")
    name = options.name or f"ft:{served}:{OWNER}:{readable}:{folder.name[:8]}"
    if not _NAME.fullmatch(name) or name == served:
        raise ImportRefusedError(
            f"--name {name}: use letters, digits and .:/-_, and no base's name"
        )
    database = Database(data_dir / "modelserver.sqlite3")
    try:
        with database.transaction() as db:
            taken = db.execute("SELECT path FROM models WHERE name = ?", (name,)).fetchone()
            path = os.path.relpath(folder, data_dir)
            if taken and taken["path"] != path:
                raise ImportRefusedError(f"--name {name}: another model has this name; choose one")
            known = db.execute("SELECT name FROM models WHERE path = ?", (path,)).fetchone()
            if known and options.name in (None, known["name"]):
                return str(known["name"])
            insert_model(
                db,
                model_id=f"model-{sha256(name.encode()).hexdigest()[:24]}",
                name=name,
                job_id=f"import-{folder.name}",
                base=served,
                path=path,
            )
        return name
    finally:
        database.close()
