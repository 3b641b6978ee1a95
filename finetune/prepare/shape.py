"""Shape: records of whatever source become examples of one kind.

The first sound row decides the kind. Rows of another kind are turned into it where nothing is lost
by that, and reported where something would be.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from finetune.prepare.batch import Batch, Kind, Line
from finetune.prepare.columns import COMPLETION, PROMPT, Columns, find_columns
from finetune.prepare.complaints import Complaints
from finetune.prepare.conversation import (
    RowError,
    is_conversation,
    is_preference,
    read_chat,
    read_preference,
    text_before,
    text_of,
)
from finetune.prepare.rows import Record, Rows

_SPEAKERS = {"user": "Customer: ", "assistant": "Agent: "}


@dataclass(kw_only=True)
class Shaper:
    """Remembers what it met, for the report."""

    complaints: Complaints
    prompt_column: str | None = None
    completion_column: str | None = None
    kind: Kind | None = None
    is_forced: bool = False
    """The kind was asked for: conversations become prompts that hold all earlier turns."""
    extra: dict[str, None] = field(default_factory=dict)
    """Columns that were left out, in the order in which they were met."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Columns that are read as `prompt` or `completion`, by their own names."""
    mended: Counter[str] = field(default_factory=Counter)
    """What was left out of conversations: empty turns, turns after the last answer."""
    one_sided: int = 0
    _has_begun: bool = False
    _columns: dict[tuple[str, ...], Columns | None] = field(default_factory=dict)

    def shape(self, rows: Rows, file: str, place: Callable[[int], str]) -> Batch:
        """The examples of some rows; what is none is reported.

        Args:
            place: says where a row stands, from its number.
        """
        if not rows.records:
            return Batch(numbers=[], prompts=[], completions=[])
        if self.kind is None:
            self.kind = self._kind_of(rows.records)
        elif self.kind is Kind.chat and not self._has_begun and is_preference(rows.records[0]):
            self.kind = Kind.preference  # which is for chat models as well
        self._has_begun = True
        if self.kind is Kind.pair and (batch := self._shape_pairs_fast(rows)):
            return batch
        return self._shape_one_by_one(rows, file, place)

    def _kind_of(self, records: list[Record]) -> Kind | None:
        for record in records:
            if is_preference(record):
                return Kind.preference
            if is_conversation(record):
                return Kind.chat
            if self._columns_of(record):
                return Kind.pair
        return None

    def _columns_of(self, record: Record) -> Columns | None:
        names = tuple(record)
        if names not in self._columns:
            columns = find_columns(
                names, prompt=self.prompt_column, completion=self.completion_column
            )
            if len(self._columns) < 10_000:  # rows may have any keys
                self._columns[names] = columns
            return self._note(columns)
        return self._columns[names]

    def _note(self, columns: Columns | None) -> Columns | None:
        if columns:
            self.extra.update(dict.fromkeys(columns.extra[:100]))
            for name, usual in ((columns.prompt, PROMPT), (columns.completion, COMPLETION)):
                if name and name != usual:
                    self.renamed[name] = usual
        return columns

    def _shape_pairs_fast(self, rows: Rows) -> Batch | None:
        """All at once, where all rows have the same columns and only texts in them."""
        columns = self._columns_of(rows.records[0])
        width = len(rows.records[0])
        if columns is None or columns.prompt is None or is_conversation(rows.records[0]):
            return None
        asked, answered = columns.prompt, columns.completion
        try:
            prompts = [record[asked] for record in rows.records]
            completions = [record[answered] for record in rows.records]
        except KeyError:
            return None
        if set(map(type, prompts)) | set(map(type, completions)) != {str}:
            return None
        if set(map(len, rows.records)) != {width}:
            return None
        return Batch(numbers=rows.numbers, prompts=prompts, completions=completions)

    def _shape_one_by_one(self, rows: Rows, file: str, place: Callable[[int], str]) -> Batch:
        numbers: list[int] = []
        prompts: list[str] = []
        completions: list[str] = []
        lines: list[Line] = []
        for number, record in zip(rows.numbers, rows.records, strict=True):
            try:
                prompt, completion, line = self._example(record)
            except RowError as error:
                self.one_sided += "one-sided" in str(error)
                self.complaints.add(file, place(number), str(error))
                continue
            numbers.append(number)
            prompts.append(prompt)
            completions.append(completion)
            if line is not None:
                lines.append(line)
        is_pair = self.kind is Kind.pair
        return Batch(
            numbers=numbers,
            prompts=prompts,
            completions=completions,
            lines=None if is_pair else lines,
        )

    def _example(self, record: Record) -> tuple[str, str, Line | None]:
        if self.kind is Kind.preference:
            return self._preference(record)
        if self.kind is Kind.chat:
            return self._chat(record)
        if is_preference(record):
            raise RowError("is a preference among pairs; put it into a file of its own")
        if is_conversation(record):
            return (*self._pair_of(read_chat(record, self.mended)), None)
        return (*self._pair(record), None)

    def _preference(self, record: Record) -> tuple[str, str, Line]:
        if not is_preference(record):
            raise RowError("is no preference: it has no chosen and rejected answer")
        line = read_preference(record, self.mended)
        chosen, rejected = (
            text_of(line[name][-1]) for name in ("preferred_output", "non_preferred_output")
        )
        # The same question may be judged several times, each time against another answer.
        return text_before(line["input"]["messages"]), f"{chosen}\nnot: {rejected}", line

    def _chat(self, record: Record) -> tuple[str, str, Line]:
        if is_preference(record):
            raise RowError("is a preference among conversations; put it into a file of its own")
        if not is_conversation(record):
            prompt, completion = self._pair(record)
            if not prompt.strip():
                raise RowError("is one-sided: it has no prompt")
            asked = {"role": "user", "content": prompt}
            record = {"messages": [asked, {"role": "assistant", "content": completion}]}
        line = read_chat(record, self.mended)
        messages = line["messages"]
        return text_before(messages[:-1]), text_of(messages[-1]), line

    def _pair(self, record: Record) -> tuple[str, str]:
        columns = self._columns_of(record)
        if columns is None:
            shown = ", ".join(map(str, list(record)[:8])) or "nothing"
            raise RowError(
                f"has no prompt and completion; it has {shown}. --prompt-column and "
                f"--completion-column say which they are"
            )
        prompt = _as_text(record[columns.prompt], columns.prompt) if columns.prompt else ""
        return prompt, _as_text(record[columns.completion], columns.completion)

    def _pair_of(self, line: dict[str, Any]) -> tuple[str, str]:
        """The pair that a conversation of one exchange is; of a longer one where asked for."""
        messages = line["messages"]
        if [message["role"] for message in messages] == ["user", "assistant"]:
            return text_of(messages[0]), text_of(messages[1])
        if not self.is_forced:
            raise RowError("is a conversation of several turns among pairs; use --form chat")
        said = [f"{_SPEAKERS.get(each['role'], '')}{text_of(each)}" for each in messages[:-1]]
        return "\n".join([*said, _SPEAKERS["assistant"].rstrip()]), text_of(messages[-1])


def _as_text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise RowError(f"`{name}` is {'a list' if isinstance(value, list) else 'an object'}, not text")
