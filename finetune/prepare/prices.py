"""The price table: what training costs where, and how long an example may be there."""

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from finetune.prepare.errors import PrepareError

SHIPPED = Path(__file__).with_name("prices.toml")


class PriceTableError(PrepareError):
    """The table cannot be read; the message names the file, the model and the key."""


@dataclass(frozen=True, kw_only=True)
class ModelPrice:
    """A line of the table."""

    name: str
    provider: str
    price: float
    """Dollars for a million trained tokens."""
    tokens: int
    """The longest example."""
    tokenizer: str
    as_of: date
    source: str = ""
    tokens_per_second: float | None = None
    """Trained here; None for what is trained elsewhere."""
    measured_in_run: int | None = None
    """The run that had this speed; None where it is the table's."""

    def cost(self, tokens: int, epochs: int = 1) -> float:
        """Dollars for a file of so many tokens."""
        return tokens * epochs * self.price / 1_000_000

    def duration_s(self, tokens: int, epochs: int = 1) -> float | None:
        """Seconds on this machine; None elsewhere."""
        return tokens * epochs / self.tokens_per_second if self.tokens_per_second else None


def read_prices(file: Path = SHIPPED) -> list[ModelPrice]:
    """
    Raises:
        PriceTableError
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PriceTableError(f"{file} cannot be read: {error}") from None
    lines = table.get("model")
    if not isinstance(lines, list) or not lines:
        raise PriceTableError(f"{file} has no [[model]]; {SHIPPED} shows what one looks like")
    return [_read_line(file, line) for line in lines]


def find_price(prices: list[ModelPrice], name: str) -> ModelPrice | None:
    """The line of a model; dated names such as gpt-4o-mini-2024-07-18 find theirs."""
    exact = [each for each in prices if each.name == name]
    dated = [each for each in prices if name.startswith(f"{each.name}-2")]
    return next(iter(exact + dated), None)


def _read_line(file: Path, line: Any) -> ModelPrice:
    name = line.get("name", "without a name") if isinstance(line, dict) else "without a name"
    try:
        price = ModelPrice(
            name=str(line["name"]),
            provider=str(line["provider"]),
            price=float(line["price"]),
            tokens=int(line["tokens"]),
            tokenizer=str(line["tokenizer"]),
            as_of=date.fromisoformat(str(line["as_of"])),
            source=str(line.get("source", "")),
            tokens_per_second=_number(line.get("tokens_per_second")),
        )
    except KeyError as error:
        raise PriceTableError(f"{file}, model {name}: {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise PriceTableError(f"{file}, model {name}: {error}") from None
    if price.price < 0 or price.tokens <= 0:
        raise PriceTableError(f"{file}, model {name}: price and tokens cannot be negative")
    return price


def _number(value: Any) -> float | None:
    return float(value) if value is not None else None
