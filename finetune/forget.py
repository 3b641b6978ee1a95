"""Forget: a conversation goes from everywhere, one idempotent step after another.

    asked -> erased -> done                 for the shop, and by age
    asked -> erased -> told -> asked -> erased -> done      for a customer, who has to hear of it

`asked -> erased` is one transaction: turns, replies, reviews, pairs, lines of frozen datasets, what
was said of them in evaluations, and prompts of other customers that quoted them go together, and
the model versions that were trained on them are marked as tainted. What lies outside the database
(embeddings, files) is noted in the row and removed next; files at the provider are removed as
leftovers of their runs.
"""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from bot.claim import after, back_off_s
from bot.forgetting import CUSTOMER, RETENTION, ask_to_forget
from finetune.erase import InUseError, erase
from finetune.files import folder_of
from knowledge import Knowledge
from store import Conversation, Database, Forgetting, ForgettingState, Role, Turn, utc_now

log = structlog.get_logger(__name__)

TOLD_FOR = timedelta(hours=1)
"""So long the customer finds the answer to /forget; then that is forgotten too."""
IN_USE_S = 2.0
LOOK_EVERY_S = 1.0
AT_ONCE = 500
_TOLD = "customer, told"


class Forgetter:
    """Carries out what `ask_to_forget` asked for; any number of processes may hold one."""

    def __init__(self, database: Database, knowledge: Knowledge, home: Path) -> None:
        self._database = database
        self._knowledge = knowledge
        self._home = home
        self._failures = 0

    async def run(self) -> None:
        """Forget what is due until cancelled."""
        while True:
            if not await self.step():
                await asyncio.sleep(LOOK_EVERY_S)

    async def step(self) -> bool:
        """Take one forgetting a step further; False when none is due."""
        async with self._database.read() as session:
            due = await session.scalar(
                select(Forgetting)
                .where(Forgetting.state != ForgettingState.done, Forgetting.due_at <= utc_now())
                .order_by(Forgetting.due_at, Forgetting.id)
                .limit(1)
            )
        if due is None:
            return False
        try:
            await self._advance(due)
            self._failures = 0
        except (OSError, SQLAlchemyError) as error:
            self._failures += 1
            log.warning("not_forgotten_yet", forgetting=due.id, error=type(error).__name__)
            wait_s = back_off_s(self._failures, first_s=1, most_s=60)
            await self._set(due, due_at=after(wait_s))
        return True

    async def _advance(self, due: Forgetting) -> None:
        match due.state:
            case ForgettingState.asked:
                await self._erase(due)
            case ForgettingState.erased:
                await self._remove(due)
            case ForgettingState.told:
                await self._ask_again(due)

    async def _erase(self, due: Forgetting) -> None:
        try:
            async with self._database.write() as session:
                row = await session.get_one(Forgetting, due.id, with_for_update=True)
                if row.state is ForgettingState.asked:
                    await erase(session, row)
                    row.state = ForgettingState.erased
        except InUseError:
            await self._set(due, due_at=after(IN_USE_S))

    async def _remove(self, due: Forgetting) -> None:
        """Everything here can be done again, and what is gone already stays gone."""
        await self._knowledge.drop(due.to_remove.get("chunk_ids", ()))
        for version in due.to_remove.get("versions", ()):
            folder = folder_of(self._home, version)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if not await self._database.empty_log():
            log.warning("words_left_in_the_log", forgetting=due.id, why="somebody reads from it")
        if due.asked_by == CUSTOMER:
            state, due_at = ForgettingState.told, utc_now() + TOLD_FOR
            await self._set(due, state=state, due_at=due_at, to_remove={})
        else:
            await self._set(
                due,
                state=ForgettingState.done,
                conversation_id=None,
                to_remove={},
                done_at=utc_now(),
            )
            log.info("forgotten", forgetting=due.id, **due.report)

    async def _ask_again(self, due: Forgetting) -> None:
        """Now for the customer's /forget and our answer: up to what was written since, if any."""
        async with self._database.write() as session:
            row = await session.get_one(Forgetting, due.id, with_for_update=True)
            if row.state is ForgettingState.told:
                row.before_seq = await session.scalar(
                    select(func.min(Turn.seq)).where(
                        Turn.conversation_id == row.conversation_id,
                        Turn.role == Role.customer,
                        Turn.seq > (row.before_seq or 0),
                    )
                )
                row.state, row.asked_by, row.due_at = ForgettingState.asked, _TOLD, utc_now()

    async def _set(self, due: Forgetting, **changes: object) -> None:
        async with self._database.write() as session:
            row = await session.get_one(Forgetting, due.id, with_for_update=True)
            if row.state is due.state:
                for key, value in changes.items():
                    setattr(row, key, value)


async def find_conversations(database: Database, address: str) -> list[tuple[Conversation, int]]:
    """The conversations at an address, in any channel, or of an id; with their numbers of turns."""
    async with database.read() as session:
        rows = await session.execute(
            select(Conversation, func.count(Turn.id))
            .outerjoin(Turn, Turn.conversation_id == Conversation.id)
            .where(or_(Conversation.address == address, Conversation.id == address))
            .group_by(Conversation.id)
        )
        return [(conversation, count) for conversation, count in rows.all()]


async def forget_by_age(database: Database, days: int) -> int:
    """Ask to forget all turns that are older; of how many conversations."""
    cutoff = utc_now() - timedelta(days=days)
    newer = func.min(Turn.seq).filter(Turn.created_at >= cutoff)
    old = (
        select(Turn.conversation_id, newer)
        .group_by(Turn.conversation_id)
        .having(func.min(Turn.created_at) < cutoff)
        .limit(AT_ONCE)
    )
    async with database.read() as session:
        found = (await session.execute(old)).all()
    for conversation_id, before_seq in found:
        async with database.write() as session:
            await session.run_sync(ask_to_forget, conversation_id, RETENTION, before_seq)
    return len(found)
