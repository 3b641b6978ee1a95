"""Plain text: each line is an answer without a prompt, for open-ended generation."""

from collections.abc import Iterator

from finetune.prepare.complaints import Complaints
from finetune.prepare.rows import Rows
from finetune.prepare.source import Source


def read_text(source: Source, complaints: Complaints) -> Iterator[Rows]:
    """A record a line, blank ones too: they are counted as empty and left out later."""
    for first, lines in source.lines(complaints):
        numbers: list[int] = []
        records: list[dict[str, str]] = []
        for number, line in enumerate(lines, start=first):
            try:
                text = line.decode().rstrip("\r")
            except UnicodeDecodeError as error:
                reason = f"has bytes that are not text, at column {error.start + 1}"
                complaints.add(source.name, f"line {number}", reason)
                continue
            numbers.append(number)
            records.append({"prompt": "", "completion": text})
        yield Rows(numbers=numbers, records=records)
