"""A tokenizer.json as the vocabulary of a GGUF.

llama.cpp has two kinds of BPE: over bytes in GPT-2's letters (`gpt2`: Llama 3, Qwen, SmolLM), for
which it must know how text is cut into words first, and SentencePiece's (`llama`: Llama 2 and
Mistral).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
from gguf import TokenType

_LOOKS_SPECIAL = re.compile(r"<\|.*\|>|<｜.*｜>|<[a-z_]+>$", re.IGNORECASE)
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")

# How text is cut into words, as tokenizer.json has it -> llama.cpp's name for it.
_GPT2_RULE = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORD_RULES = {
    _GPT2_RULE: "gpt-2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "tekken",
}


class VocabularyError(ValueError):
    """The tokenizer has no form in a GGUF; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What `write` puts into a GGUF."""

    folder: Path
    kind: str
    """gpt2 or llama"""
    word_rule: str
    tokens: list[str]
    types: list[TokenType]
    adds_prefix_space: bool

    def write(self, writer: Any) -> None:
        writer.add_tokenizer_model(self.kind)
        writer.add_tokenizer_pre(self.word_rule)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.kind == "llama":
            # SentencePiece merges by score; pieces are numbered by it, the likeliest first.
            writer.add_token_scores([-float(number) for number in range(len(self.tokens))])
            writer.add_add_space_prefix(self.adds_prefix_space)
        special = gguf.SpecialVocab(
            self.folder, load_merges=self.kind == "gpt2", n_vocab=len(self.tokens)
        )
        # Left out, llama.cpp goes by the kind of vocabulary, whatever the tokenizer does.
        special.add_special_token.setdefault("bos", False)
        special.add_to_gguf(writer, quiet=True)


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """`size` is the number of rows that the embeddings have; what is missing is filled up.

    Raises:
        VocabularyError: there is no tokenizer.json, or llama.cpp knows no such tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise VocabularyError(
            f"{folder} has no tokenizer.json: make it by "
            "`AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`"
        )
    told = json.loads(path.read_text(encoding="utf-8"))
    model = told.get("model") or {}
    if model.get("type") != "BPE":
        raise VocabularyError(f"{path}: a tokenizer of type {model.get('type')!r}, not BPE")
    is_sentencepiece = bool(model.get("byte_fallback"))
    tokens, types = _list_tokens(told, size, is_sentencepiece=is_sentencepiece)
    return Vocabulary(
        folder=folder,
        kind="llama" if is_sentencepiece else "gpt2",
        word_rule="default" if is_sentencepiece else _find_word_rule(told, path),
        tokens=tokens,
        types=types,
        adds_prefix_space=_adds_prefix_space(told),
    )


def _list_tokens(
    told: dict[str, Any], size: int, *, is_sentencepiece: bool
) -> tuple[list[str], list[TokenType]]:
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [TokenType.UNUSED] * size
    for token, number in told["model"]["vocab"].items():
        _check_place(token, number, size)
        tokens[number] = token
        is_byte = is_sentencepiece and _BYTE.fullmatch(token)
        types[number] = TokenType.BYTE if is_byte else TokenType.NORMAL
    for added in told.get("added_tokens") or []:
        token, number = added["content"], added["id"]
        _check_place(token, number, size)
        is_special = added.get("special") or _LOOKS_SPECIAL.fullmatch(token)
        tokens[number] = token
        types[number] = TokenType.CONTROL if is_special else TokenType.USER_DEFINED
        if is_sentencepiece and token == told["model"].get("unk_token"):
            types[number] = TokenType.UNKNOWN
    return tokens, types


def _check_place(token: str, number: int, size: int) -> None:
    if not 0 <= number < size:
        raise VocabularyError(
            f"the token {token!r} has number {number}, but the embeddings have {size} rows: the "
            "tokenizer belongs to another model"
        )


def _find_word_rule(told: dict[str, Any], path: Path) -> str:
    """Raises VocabularyError where llama.cpp would cut words in a way of its own."""
    steps = list(_steps(told.get("pre_tokenizer")))
    kinds = [step["type"] for step in steps]
    rules = [rule for step in steps if (rule := _rule_of(step))]
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if len(rules) == 1 and rules[0] in _WORD_RULES and set(kinds) <= {"Split", "ByteLevel"}:
        return _WORD_RULES[rules[0]]
    raise VocabularyError(
        f"{path} cuts text into words by {'+'.join(kinds) or 'no rule'} {rules}, which is none of "
        f"{', '.join(sorted({*_WORD_RULES.values(), 'smollm'}))}"
    )


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if not pre_tokenizer:
        return []
    steps: list[dict[str, Any]] = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    return steps


def _rule_of(step: dict[str, Any]) -> str | None:
    if step["type"] == "ByteLevel" and step.get("use_regex", True):
        return _GPT2_RULE
    if step["type"] == "Split":
        rule: str | None = (step.get("pattern") or {}).get("Regex")
        return rule
    return None


def _adds_prefix_space(told: dict[str, Any]) -> bool:
    """SentencePiece's dummy prefix, by a normalizer (older files) or a pre-tokenizer."""
    normalizer = told.get("normalizer") or {}
    steps = normalizer.get("normalizers") or [normalizer]
    if any(step.get("type") == "Prepend" for step in steps):
        return True
    return any(
        step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never"
        for step in _steps(told.get("pre_tokenizer"))
    )
