"""The answer worker: claims waiting turns, has them answered, and stores the replies.

One conversation is answered in order, many at the same time. A turn is claimed with a lease that
is renewed while it is being answered, so that a killed worker's turns come back; the reply and
the end of the claim are one transaction, so that nothing is answered twice.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from openai import OpenAIError
from sqlalchemy import Integer, Select, and_, bindparam, exists, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from bot.answer import Answerer, NoAnswerYetError
from bot.answering import Scene, keep_draft, postpone, read_scene
from bot.channel import Channel, Preview
from bot.claim import CLAIM_COLUMNS, LEASE_S, NOW, claim_values, lease_from
from bot.claimer import Claimer
from bot.draft import Draft
from bot.outbox import Delivery
from bot.policy import shows_while_written
from store import Database, Executor, Turn, TurnState, utc_now
from store.whole import see_through

log = structlog.get_logger(__name__)

TYPING_EVERY_S = 4.0
"""Telegram shows a typing sign for five seconds."""
RENEW_EVERY_S = LEASE_S / 3


class AnswerWorker(Claimer[Turn]):
    """Answers for every channel; the previews are for those of this process."""

    def __init__(
        self,
        database: Database,
        answerer: Answerer,
        channels: Mapping[str, Channel],
        *,
        owner: str | None = None,
        concurrency: int = 32,
        outbox: Claimer[Delivery] | None = None,
    ) -> None:
        super().__init__(owner=owner, concurrency=concurrency)
        self._database = database
        self._answerer = answerer
        self._channels = channels
        self._outbox = outbox

    def claim_new(self, executor: Executor, turn: Turn) -> None:
        if turn.state is not TurnState.waiting or not self._may_claim():
            return
        before = {"id": turn.conversation_id, "seq": turn.seq}
        if not executor.scalar(_IS_BEHIND, before):
            turn.state = TurnState.answering
            self._sign(turn)

    async def _claim(self, room: int) -> Sequence[Turn]:
        async with self._database.write() as session:
            claimed = await session.scalars(_CLAIM, {"room": room, **claim_values(self._owner)})
            return claimed.all()

    def _row(self, turn: Turn) -> Turn:
        return turn

    async def _do(self, turn: Turn) -> None:
        try:
            scene = await self._database.run_read(read_scene, turn)
            preview = self._preview(scene, turn)
            async with self._kept_alive(turn, preview):
                await self._reply(turn, scene, preview)
        except Exception as error:  # a fault of ours must not end the worker
            log.exception("turn_not_answered", turn_id=turn.id)
            await self._put_off(turn, f"{type(error).__name__}")

    async def _reply(self, turn: Turn, scene: Scene, preview: Preview | None) -> None:
        try:
            draft = await self._draft(turn, scene, preview)
        except NoAnswerYetError as error:
            log.warning("answer_put_off", turn_id=turn.id, attempts=turn.attempts, why=_kind(error))
            await self._put_off(turn, str(error))
            return
        await self._hand_on(
            self._database.run_write(
                keep_draft, turn, draft, scene.switches, scene.model_version, outbox=self._outbox
            )
        )

    async def _draft(self, turn: Turn, scene: Scene, preview: Preview | None) -> Draft:
        watches = preview is not None and shows_while_written(scene.switches.policy)
        return await self._answerer.answer(
            turn.text,
            scene.history,
            mode=scene.switches.mode,
            mask=scene.mask,
            model_version=scene.model_version,
            on_text=preview.show if preview and watches else None,
        )

    async def _put_off(self, turn: Turn, reason: str) -> None:
        await self._hand_on(self._database.run_write(postpone, turn, reason, outbox=self._outbox))

    async def _hand_on(self, keeping: Coroutine[Any, Any, Delivery | None]) -> None:
        """Store a reply and have it delivered: never the one without the other."""

        async def keep_and_hand_on() -> None:
            delivery = await keeping
            if delivery is not None and self._outbox is not None:
                self._outbox.take_over(delivery)

        await see_through(keep_and_hand_on())

    def _preview(self, scene: Scene, turn: Turn) -> Preview | None:
        """None where the customer is on another process's channel."""
        channel = self._channels.get(scene.conversation.channel)
        return channel.preview(scene.conversation.address, turn.id) if channel else None

    @asynccontextmanager
    async def _kept_alive(self, turn: Turn, preview: Preview | None) -> AsyncIterator[None]:
        """Show a typing sign and renew the claim while the answer is being made."""
        tasks = [asyncio.create_task(self._renew(turn))]
        if preview is not None:
            tasks.append(asyncio.create_task(_type(preview)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def _renew(self, turn: Turn) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            async with self._database.write() as session:
                await session.execute(
                    update(Turn)
                    .where(Turn.id == turn.id, Turn.claimed_by == self._owner)
                    .values(claimed_until=lease_from(utc_now()))
                )

    async def _release(self) -> None:
        async with self._database.write() as session:
            await release_claims(session, self._owner)


async def release_claims(session: AsyncSession, owner: str) -> None:
    """Let go of every turn that an owner holds: it was killed, or it ends now."""
    await session.execute(
        update(Turn)
        .where(_UNANSWERED, Turn.state == TurnState.answering, Turn.claimed_by == owner)
        .values(state=TurnState.waiting, claimed_by=None, claimed_until=None)
    )


def _kind(error: NoAnswerYetError) -> str:
    """What kept the model from answering, in a word: what an endpoint says may hold the question.

    A wrong key is `AuthenticationError`, one that nobody listens to `APIConnectionError`.
    """
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
        if isinstance(root, OpenAIError):
            break
    return type(root).__name__


async def _type(preview: Preview) -> None:
    while True:
        await preview.typing()
        await asyncio.sleep(TYPING_EVERY_S)


# As the partial index has it: SQLite does not use one for bound parameters.
_UNANSWERED = text("turn.state IN ('waiting', 'answering')")

# Statements of every message are made once: to make one costs more than to carry it out.
_IS_BEHIND = select(
    exists().where(
        Turn.conversation_id == bindparam("id"), Turn.seq < bindparam("seq"), _UNANSWERED
    )
)


def _next_turns() -> Select[int]:
    """The oldest turns to answer, no two of one conversation."""
    earlier = aliased(Turn)
    is_first = ~exists().where(
        earlier.conversation_id == Turn.conversation_id,
        earlier.seq < Turn.seq,
        earlier.state.in_((TurnState.waiting, TurnState.answering)),
    )
    is_due = or_(
        and_(Turn.state == TurnState.waiting, Turn.due_at <= NOW),
        and_(Turn.state == TurnState.answering, Turn.claimed_until < NOW),
    )
    return (
        select(Turn.id)
        .where(_UNANSWERED, is_due, is_first)
        .order_by(Turn.due_at, Turn.id)
        .limit(bindparam("room", type_=Integer))
        .with_for_update(skip_locked=True)
    )


_CLAIM = (
    update(Turn)
    .where(Turn.id.in_(_next_turns()))
    .values(state=TurnState.answering, attempts=Turn.attempts + 1, **CLAIM_COLUMNS)
    .returning(Turn)
    .execution_options(synchronize_session=False)
)
