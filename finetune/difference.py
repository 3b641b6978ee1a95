"""The difference between two datasets: lines that only one of them has, and how they were made."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import Dataset, Example, Split


class NoSuchDatasetError(ValueError):
    """There is no dataset of this version; the message says how to find one."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """From one dataset to another."""

    same: int
    added: list[Example]
    removed: list[Example]
    recipe: dict[str, tuple[Any, Any]]
    """What differs between the recipes: before and after, by key."""


async def get_dataset(session: AsyncSession, version: int) -> Dataset:
    """The dataset of a version.

    Raises:
        NoSuchDatasetError: there is none.
    """
    found = await session.scalar(select(Dataset).where(Dataset.version == version))
    if found is None:
        raise NoSuchDatasetError(f"there is no dataset v{version}; `nod dataset list` shows them")
    return found


async def compare(session: AsyncSession, before: Dataset, after: Dataset) -> Difference:
    """By the text of the lines and their side."""
    old, new = await _lines(session, before), await _lines(session, after)
    keys = before.recipe.keys() | after.recipe.keys()
    return Difference(
        same=len(old.keys() & new.keys()),
        added=[line for key, line in new.items() if key not in old],
        removed=[line for key, line in old.items() if key not in new],
        recipe={
            key: (before.recipe.get(key), after.recipe.get(key))
            for key in sorted(keys)
            if before.recipe.get(key) != after.recipe.get(key)
        },
    )


async def _lines(session: AsyncSession, dataset: Dataset) -> dict[tuple[Split, str], Example]:
    rows = await session.scalars(
        select(Example).where(Example.dataset_id == dataset.id).order_by(Example.split, Example.seq)
    )
    return {(row.split, row.line): row for row in rows}
