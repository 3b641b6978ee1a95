"""Masks: named presets of system prompt, few-shot turns and parameters; one is the default."""

from collections.abc import Sequence
from reprlib import repr as shorten
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bot.prompt import DEFAULT_BUDGET, SYSTEM_PROMPT
from bot.tokens import count_tokens
from store import AuditEntry, Database, Mask
from store.text import clean_values

DEFAULT_NAME = "default"
_EDITABLE = ("system_prompt", "few_shot", "temperature", "max_tokens")


class MaskError(ValueError):
    """There is no such mask, or it cannot be what was asked for; the message says why."""


async def ensure_default(database: Database) -> Mask:
    """The default mask, made at the first start; several processes may try it at the same time."""
    try:
        async with database.write() as session:
            mask = await session.scalar(select(Mask).where(Mask.is_default))
            if mask is None:
                mask = new_default()
                session.add(mask)
        return mask
    except IntegrityError:
        async with database.read() as session:
            return await read_default(session)


async def read_default(session: AsyncSession) -> Mask:
    """The mask of every conversation that has no other; works on an empty database too."""
    return await session.scalar(select(Mask).where(Mask.is_default)) or new_default()


async def list_masks(session: AsyncSession) -> list[Mask]:
    """All masks, the default first."""
    masks = await session.scalars(select(Mask).order_by(Mask.is_default.desc(), Mask.name))
    return list(masks)


async def set_default(session: AsyncSession, name: str, *, who: str) -> Mask:
    """Make a mask the default for the next message.

    Raises:
        MaskError: there is no mask of this name.
    """
    mask = await find_mask(session, name)
    await session.execute(update(Mask).where(Mask.is_default).values(is_default=False))
    mask.is_default = True
    session.add(AuditEntry(who=who, action="set_default_mask", detail={"mask": name}))
    await session.flush()
    return mask


async def edit_mask(
    session: AsyncSession,
    name: str,
    *,
    who: str,
    within_tokens: int = DEFAULT_BUDGET.mask_tokens,
    **changes: Any,
) -> Mask:
    """Change a mask, or make a new one of this name.

    Args:
        within_tokens: what system prompt and few-shot turns may take of a prompt together.

    Raises:
        MaskError: a key or a value is not one that a mask may have, or they are too long.
    """
    changes = clean_values(changes)
    _check(changes)
    mask = await session.scalar(select(Mask).where(Mask.name == name))
    if mask is None:
        mask = new_default(name=_checked_name(name), is_default=False)
    told = {key: changes.get(key, getattr(mask, key)) for key in ("system_prompt", "few_shot")}
    _check_length(name, within_tokens, **told)
    for key, value in changes.items():
        setattr(mask, key, value)
    session.add(mask)
    session.add(AuditEntry(who=who, action="edit_mask", detail={"mask": name, **changes}))
    await session.flush()
    return mask


async def remove_mask(session: AsyncSession, name: str, *, who: str) -> None:
    """Forget a mask; replies that were made with it stay.

    Raises:
        MaskError: there is no mask of this name, or it is the default.
    """
    mask = await find_mask(session, name)
    if mask.is_default:
        raise MaskError(f"{name!r} is the default mask; make another one the default first")
    await session.delete(mask)
    session.add(AuditEntry(who=who, action="remove_mask", detail={"mask": name}))
    await session.flush()


async def find_mask(session: AsyncSession, name: str) -> Mask:
    """The mask of this name.

    Raises:
        MaskError: there is none.
    """
    mask = await session.scalar(select(Mask).where(Mask.name == name))
    if mask is None:
        known = ", ".join(each.name for each in await list_masks(session))
        raise MaskError(f"there is no mask {name!r}; there are: {known}")
    return mask


def count_mask_tokens(system_prompt: str, few_shot: Sequence[dict[str, Any]]) -> int:
    """About how many tokens of each prompt they take (see bot.tokens)."""
    return count_tokens(system_prompt) + sum(count_tokens(turn["content"]) for turn in few_shot)


def new_default(*, name: str = DEFAULT_NAME, is_default: bool = True) -> Mask:
    """A mask for a small model: short and plain."""
    return Mask(
        name=name,
        system_prompt=SYSTEM_PROMPT,
        few_shot=[],
        temperature=0.0,
        max_tokens=256,
        is_default=is_default,
    )


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
        raise MaskError(f"the name {shorten(name)} needs 1 to 64 printable characters")
    return name


def _check_length(
    name: str, within_tokens: int, *, system_prompt: str, few_shot: Sequence[dict[str, Any]]
) -> None:
    took = count_mask_tokens(system_prompt, few_shot)
    if took > within_tokens:
        raise MaskError(
            f"the mask {name!r} would take {took} tokens of each prompt: system_prompt "
            f"{count_tokens(system_prompt)}, few_shot {count_mask_tokens('', few_shot)}. At most "
            f"{within_tokens} leave room for the question: shorten them, or raise NOD_MASK_TOKENS "
            f"if your model reads longer prompts."
        )


def _check(changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        match key:
            case "system_prompt" if isinstance(value, str) and value.strip():
                continue
            case "temperature" if isinstance(value, int | float) and 0 <= value <= 2:
                continue
            case "max_tokens" if isinstance(value, int) and 1 <= value <= 4096:
                continue
            case "few_shot" if isinstance(value, list) and _are_exchanges(value):
                continue
        raise MaskError(
            f"{key}={shorten(value)} does not fit a mask, which has: {', '.join(_EDITABLE)}. "
            "system_prompt is text, temperature 0 to 2, max_tokens 1 to 4096, few_shot turns of "
            "user and assistant that alternate."
        )


def _are_exchanges(turns: list[Any]) -> bool:
    """User, assistant, user, assistant: each with text."""
    return len(turns) % 2 == 0 and all(
        isinstance(turn, dict)
        and turn.get("role") == ("assistant" if place % 2 else "user")
        and isinstance(turn.get("content"), str)
        and turn["content"].strip()
        for place, turn in enumerate(turns)
    )
