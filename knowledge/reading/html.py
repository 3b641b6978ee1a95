"""HTML: what a visitor reads of a page, under its headings."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PageElement, PreformattedString

from knowledge.block import Block, BlockKind, HeadingPath, table_block

_UNSEEN = {
    "script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "canvas",
    "nav", "button", "select", "textarea", "input",
}  # fmt: skip
_INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup",
    "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HEADING = re.compile(r"h[1-6]")
_LISTS = ["ul", "ol"]


def blocks_of_html(page: str) -> tuple[str | None, list[Block]]:
    """The page's title, where it has one, and its blocks."""
    soup = BeautifulSoup(page, "lxml")
    title = _words(soup.title) if soup.title else ""
    first = soup.find("h1")
    return title or (_words(first) if first else None) or None, list(_all(soup))


def _all(soup: Tag) -> Iterator[Block]:
    path = HeadingPath()
    yield from _walk(soup, path)
    yield from path.end()


def _walk(tag: Tag, path: HeadingPath) -> Iterator[Block]:
    """The blocks below a tag; what stands bare between them is prose."""
    bare = ""
    for child in tag.children:
        if _is_inline(child):
            bare += _inline_text(child)
            continue
        yield from _prose(bare, path)
        bare = ""
        if isinstance(child, Tag) and child.name not in _UNSEEN:
            yield from _block(child, path)
    yield from _prose(bare, path)


def _block(tag: Tag, path: HeadingPath) -> Iterator[Block]:
    if _HEADING.fullmatch(tag.name):
        yield from path.enter(int(tag.name[1]), _words(tag))
    elif tag.name in _LISTS:
        if text := "\n".join(_items(tag, 0)):
            yield Block(text, path.above(), BlockKind.lines)
    elif tag.name == "pre":
        if text := tag.get_text().strip("\n"):
            yield Block(text, path.above(), BlockKind.lines)
    elif tag.name == "table" and not tag.find(["table", "ul", "ol", _HEADING]):
        rows = [[_words(cell) for cell in row.find_all(["th", "td"])] for row in tag.find_all("tr")]
        if caption := tag.find("caption"):
            yield from _prose(_words(caption), path)
        yield from table_block(rows, path)
    else:
        yield from _walk(tag, path)


def _items(listed: Tag, depth: int) -> Iterator[str]:
    """The lines of a list; a list inside an item is indented below it."""
    for child in listed.children:
        if isinstance(child, Tag) and child.name in _LISTS:
            yield from _items(child, depth + 1)
        elif isinstance(child, Tag) and child.name not in _UNSEEN:
            inner = list(_lists_in(child))
            for tag in inner:
                tag.extract()
            if text := _words(child):
                yield f"{'  ' * depth}- {text}"
            for tag in inner:
                yield from _items(tag, depth + 1)
        elif isinstance(child, NavigableString) and _inline_text(child).strip():
            yield f"{'  ' * depth}- {_inline_text(child).strip()}"


def _lists_in(tag: Tag) -> Iterator[Tag]:
    """The outermost ones: to look through those inside them at each depth takes for ever."""
    for child in tag.children:
        if isinstance(child, Tag):
            yield from [child] if child.name in _LISTS else _lists_in(child)


def _prose(text: str, path: HeadingPath) -> Iterator[Block]:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    if text := "\n".join(filter(None, lines)):
        yield Block(text, path.above())


def _is_inline(element: PageElement) -> bool:
    if isinstance(element, Tag):
        return element.name == "br" or (
            element.name in _INLINE and not element.find(lambda tag: tag.name not in _INLINE)
        )
    return True


def _inline_text(element: PageElement) -> str:
    if isinstance(element, Tag):
        return "\n" if element.name == "br" else " ".join(element.get_text().split("\n"))
    hidden = isinstance(element, PreformattedString)  # comments, declarations
    return "" if hidden else " ".join(str(element).split("\n"))


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())
