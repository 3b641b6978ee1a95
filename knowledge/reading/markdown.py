"""Markdown: its blocks as they stand in the source, under their headings."""

import re
from collections.abc import Iterator
from itertools import pairwise, zip_longest

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from markdown_it.token import Token

from knowledge.block import Block, BlockKind, HeadingPath

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)\n", re.DOTALL)
_TITLE = re.compile(r"^title:(.+)$", re.MULTILINE)
_KINDS = {
    "bullet_list_open": BlockKind.lines,
    "ordered_list_open": BlockKind.lines,
    "fence": BlockKind.lines,
    "code_block": BlockKind.lines,
    "table_open": BlockKind.table,
}
_parser = MarkdownIt("commonmark").enable("table")


def blocks_of_markdown(text: str) -> tuple[str | None, list[Block]]:
    """The document's title, where it names one, and its blocks."""
    title = None
    if front := _FRONT_MATTER.match(text):
        named = _TITLE.search(front[1])
        title = named[1].strip().strip("\"'") if named else None
        text = text[front.end() :]
    tokens = _parser.parse(text)
    return title or _first_heading(tokens), list(_blocks(tokens, text.split("\n")))


def _first_heading(tokens: list[Token]) -> str | None:
    for token, inside in pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h1":
            return inside.content or None
    return None


def _blocks(tokens: list[Token], lines: list[str]) -> Iterator[Block]:
    path = HeadingPath()
    at = 0
    for token, inside in zip_longest(tokens, tokens[1:]):
        if token.level or not token.map:
            continue
        start, end = token.map
        # Definitions of links make no token, but they are text that somebody may look for.
        yield from _block(lines[at:start], path, BlockKind.prose)
        at = end
        if token.type == "heading_open":
            yield from path.enter(int(token.tag[1]), inside.content if inside else "")
        elif token.type == "html_block":
            shown = BeautifulSoup(token.content, "lxml").get_text("\n", strip=True)
            yield from _block(shown.split("\n"), path, BlockKind.prose)
        elif token.type != "hr":
            kind = _KINDS.get(token.type, BlockKind.prose)
            yield from _block(lines[start:end], path, kind)
    yield from _block(lines[at:], path, BlockKind.prose)
    yield from path.end()


def _block(lines: list[str], path: HeadingPath, kind: BlockKind) -> Iterator[Block]:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        yield Block(text, path.above(), kind)
