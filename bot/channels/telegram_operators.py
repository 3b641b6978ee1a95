"""Commands of the people of the shop: `/mode` shows the mode, `/mode hybrid` switches it.

`/id` tells anybody the id of their own account, which an owner links with a user.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from telegram import Bot, Message

from store import Database, Mode, User, UserRole
from store.switches import SwitchError, read_switches, set_switch


async def find_user(session: AsyncSession, telegram_id: int, needed: UserRole) -> User | None:
    """The user with this Telegram account, if the role allows what is needed."""
    user = await session.scalar(
        select(User).where(User.telegram_id == telegram_id, User.disabled_at.is_(None))
    )
    return user if user is not None and user.role.may_act_as(needed) else None


async def answer_operator(database: Database, bot: Bot, message: Message) -> bool:
    """Carry out a command; whether it was one. To others `/mode` is a message like any."""
    command, _, value = (message.text or "").strip().partition(" ")
    if message.from_user is None:
        return False
    match command.partition("@")[0].casefold():
        case "/id":
            await bot.send_message(message.chat_id, _tell_id(message.from_user.id))
            return True
        case "/mode":
            return await _answer_mode(database, bot, message, value.strip())
    return False


def _tell_id(telegram_id: int) -> str:
    how = f"nod users link-telegram NAME {telegram_id}"
    return f"Your id on Telegram is {telegram_id}. To link it: {how}"


async def _answer_mode(database: Database, bot: Bot, message: Message, value: str) -> bool:
    assert message.from_user is not None
    async with database.read() as session:
        user = await find_user(session, message.from_user.id, UserRole.operator)
    if user is None:
        return False
    await bot.send_message(message.chat_id, await _switch(database, value, user.name))
    return True


async def _switch(database: Database, value: str, who: str) -> str:
    """What to tell the operator."""
    modes = ", ".join(Mode)
    if not value:
        async with database.read() as session:
            switches = await read_switches(session)
        return f"The mode is {switches.mode}. To switch: /mode followed by one of {modes}."
    try:
        async with database.write() as session:
            switches = await set_switch(session, "mode", value.casefold(), who=who)
    except SwitchError as error:
        return f"{error}."
    return f"The mode is {switches.mode} from the next message on."
