"""Markdown: each section is an example, its title and headings the prompt."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from finetune.prepare.complaints import Complaints
from finetune.prepare.rows import Rows
from finetune.prepare.source import Source

MAX_BYTES = 16 << 20
Code = Literal["keep", "drop"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_BLANK_LINES = re.compile(r"\n{3,}")
_parser = MarkdownIt("commonmark").enable("table")


@dataclass
class _Section:
    path: list[str]
    line: int
    parts: list[str] = field(default_factory=list)


def read_markdown(source: Source, complaints: Complaints, *, code: Code) -> Iterator[Rows]:
    """A record a section: `prompt` is `Title > Heading > Heading`, `completion` what stands below.

    Args:
        code: whether blocks of code are kept or dropped.
    """
    with source.open() as stream:
        data = stream.read(MAX_BYTES + 1)
        while len(data) <= MAX_BYTES and (more := stream.read(MAX_BYTES)):
            data += more
    if len(data) > MAX_BYTES:
        complaints.add(source.name, "", f"is longer than {MAX_BYTES >> 20} MB; split it up")
        return
    try:
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        complaints.add(source.name, f"line {line}", "has bytes that are not text")
        return
    sections = [each for each in _sections(text, source, complaints, code) if each.parts]
    yield Rows(
        numbers=[section.line for section in sections],
        records=[
            {
                "prompt": " > ".join(section.path),
                "completion": _BLANK_LINES.sub("\n\n", "\n\n".join(section.parts)).strip(),
            }
            for section in sections
        ],
    )


def _sections(text: str, source: Source, complaints: Complaints, code: Code) -> Iterator[_Section]:
    title, skipped = _front_matter(text, source, complaints)
    body = text.split("\n")[skipped:]
    above: dict[int, str] = {}
    section = _Section(path=[title] if title else [source.path.stem], line=skipped + 1)
    tokens = _parser.parse("\n".join(body))
    for place, token in enumerate(tokens):
        if token.level or not token.map:
            continue
        start, end = token.map
        if token.type == "heading_open":
            yield section
            level = int(token.tag[1])
            above = {each: name for each, name in above.items() if each < level}
            above[level] = _plain(tokens[place + 1])
            path = list(dict.fromkeys(filter(None, [title, *above.values()])))
            section = _Section(path=path, line=skipped + start + 1)
        elif token.type != "hr" and not (code == "drop" and _is_code(token)):
            lines = body[start:end]
            inner = _without_code(tokens, place, start, lines) if code == "drop" else lines
            if part := "\n".join(inner).strip("\n"):
                section.parts.append(part)
    yield section


def _front_matter(text: str, source: Source, complaints: Complaints) -> tuple[str, int]:
    """The title that it names, and how many lines it takes."""
    found = _FRONT_MATTER.match(text)
    if not found:
        return "", 0
    lines = found[0].count("\n") + (not found[0].endswith("\n"))
    try:
        named = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 2}" if mark else ""
        complaints.add(source.name, where, "its front matter is not YAML; the text is read")
        return "", lines
    title = named.get("title") if isinstance(named, dict) else None
    return str(title).strip() if isinstance(title, str | int | float) else "", lines


def _without_code(tokens: list[Token], place: int, start: int, lines: list[str]) -> list[str]:
    """The lines of a list or a quotation without the blocks of code in it."""
    hidden: set[int] = set()
    for token in tokens[place + 1 :]:
        if not token.level and token.nesting <= 0:
            break
        if _is_code(token) and token.map:
            hidden.update(range(token.map[0] - start, token.map[1] - start))
    return [line for number, line in enumerate(lines) if number not in hidden]


def _is_code(token: Token) -> bool:
    return token.type in ("fence", "code_block")


def _plain(inline: Token) -> str:
    """A heading without its marks."""
    shown = ("text", "code_inline")
    return "".join(each.content for each in inline.children or () if each.type in shown).strip()
