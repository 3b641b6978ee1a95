"""Which conversations try a candidate, and what is written down about it."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from bot.canary import is_in_canary
from store import ModelVersion, Reply, Stage, conversation_id
from tests.bot.running_bot import Bot, eventually

CONVERSATIONS = [conversation_id("web", str(number)) for number in range(4000)]


def in_canary(version_id: int, share: float) -> set[str]:
    return {each for each in CONVERSATIONS if is_in_canary(each, version_id, share)}


def test_a_canary_gets_its_share_and_others_for_another_version() -> None:
    one, other = in_canary(1, 0.2), in_canary(2, 0.2)
    assert 700 < len(one) < 900
    assert 100 < len(one & other) < 220, "a fifth of a fifth, drawn anew"
    assert not in_canary(1, 0.0)


def test_a_canary_says_nothing_about_the_hold_out() -> None:
    held_out = {each for each in CONVERSATIONS if int(each[:8], 16) / 2**32 < 0.2}
    assert 100 < len(in_canary(1, 0.2) & held_out) < 220


@given(st.text(max_size=40), st.integers(1, 10**6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_share_only_adds_conversations(
    conversation: str, version_id: int, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    if is_in_canary(conversation, version_id, less):
        assert is_in_canary(conversation, version_id, more)


async def test_every_reply_says_which_version_could_have_answered(
    bot: Bot, tuned: ModelVersion
) -> None:
    live = ModelVersion(id=3, model="ft:gone", base_model="m", stage=Stage.live)
    tuned.stage = Stage.canary
    async with bot.database.write() as session:
        session.add_all([live, tuned])
    await bot.switch("mode", "tuned")
    await bot.switch("canary_share", 0.5)
    addresses = [f"customer-{number}" for number in range(6)]
    for address in addresses:
        await bot.hear("What does bed number 3 cost?", address=address)

    async def replies() -> list[Reply]:
        async with bot.database.read() as session:
            return list(await session.scalars(select(Reply)))

    async def are_answered() -> bool:
        return len(await replies()) == len(addresses)

    async with bot.at_work():
        await eventually(are_answered)
    for reply in await replies():
        tries = is_in_canary(reply.conversation_id, tuned.id, 0.5)
        assert reply.offered_version_id == (tuned.id if tries else live.id)
        # The live model is away here, so retrieval answers; the reply still counts for it.
        assert reply.model_version_id == (tuned.id if tries else None)
    assert {reply.offered_version_id for reply in await replies()} == {tuned.id, live.id}
