"""From a reply back to those who taught it, and from a turn forward to all that it taught."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from finetune.advice import NoEvaluationError, advise
from finetune.lineage import parse_id, trace_back, trace_forward
from finetune.node import LineageError, Node
from finetune.promote import live_version
from store import (
    Conversation,
    Database,
    Example,
    ModelVersion,
    Reply,
    ReplyStatus,
    Role,
    Split,
    Turn,
    Way,
)
from tests.finetune.shop import Shop
from tests.finetune.test_retrain import request


def kinds(node: Node) -> list[str]:
    """Depth first."""
    return [node.kind, *(kind for child in node.children for kind in kinds(child))]


def find(node: Node, kind: str) -> list[Node]:
    found = [node] if node.kind == kind else []
    return found + [each for child in node.children for each in find(child, kind)]


async def add_tuned_reply(database: Database, question: str) -> int:
    async with database.write() as session:
        version = await live_version(session)
        assert version is not None
        conversation = Conversation(id="f" * 32, channel="web", address="new")
        session.add(conversation)
        await session.flush()
        turn = Turn(conversation_id=conversation.id, seq=1, role=Role.customer, text=question)
        session.add(turn)
        await session.flush()
        source = await session.scalar(select(Reply.id).order_by(Reply.id.desc()).limit(1))
        reply = Reply(
            conversation_id=conversation.id,
            turn_id=turn.id,
            text="It costs 142 euros.",
            status=ReplyStatus.sent,
            way=Way.tuned,
            model=version.model,
            model_version_id=version.id,
            sources=[
                {"chunk_id": 0, "title": "An approved one", "reply_id": source},
                {"chunk_id": 0, "title": "prices.md", "source": "/docs/prices.md"},
            ],
        )
        session.add(reply)
        await session.flush()
        return reply.id


async def test_a_run_is_traced_both_ways_and_advises(shop: Shop) -> None:
    """One run, for these are slow."""
    with pytest.raises(NoEvaluationError, match="nod retrain"):
        await advise(shop.database, 0.95)
    await request(shop.database)
    run = await shop.run_to_the_end()
    reply_id = await add_tuned_reply(shop.database, "What does the pillow cost?")

    async with shop.database.read() as session:
        back = await trace_back(session, str(reply_id))
        chain = kinds(back)
        assert chain[:6] == ["reply", "model", "run", "dataset", "example", "review"]
        assert {"turn", "approved reply", "document"} <= set(chain)
        [dataset] = find(back, "dataset")
        assert "pillow" in dataset.children[0].title, "the nearest example comes first"
        assert len(dataset.children) == 5
        assert find(dataset, "turn")[0].detail.startswith("customer")

        example = await session.scalar(
            select(Example).where(Example.split == Split.train).order_by(Example.seq).limit(1)
        )
        assert example is not None
        turn_id = await session.scalar(select(Reply.turn_id).where(Reply.id == example.reply_id))
        forward = await trace_forward(session, f"turn:{turn_id}")
        assert kinds(forward)[:3] == ["turn", "reply", "review"]
        assert [node.key for node in find(forward, "example")] == [str(example.id)]
        [model] = find(forward, "model")
        assert model.title == run.tuned_model
        assert model.detail == "live; wrote 1 replies"
        assert find(forward, "pair")

        for what in ("run:1", "model:1", "dataset:1", f"example:{example.id}"):
            assert find(await trace_back(session, what), "review"), what
        unseen = await trace_forward(session, f"reply:{reply_id}")
        assert "taught nothing" in unseen.detail
        assert not unseen.children

    advice = await advise(shop.database, 0.95)
    assert advice.is_tuning_worth_it
    assert [step.way for step in advice.steps] == ["few-shot", "retrieval", "tuned", "hybrid"]
    assert advice.best == "tuned", "the stub learns by heart, so looking up adds nothing to it"
    assert "held-out" in (advice.caveat or ""), "a handful of conversations is little"


async def test_a_tainted_model_says_so(database: Database) -> None:
    from store import utc_now

    async with database.write() as session:
        session.add(ModelVersion(model="ft:x", base_model="m", tainted_at=utc_now()))
    async with database.read() as session:
        assert "tainted" in (await trace_back(session, "model:1")).detail


@pytest.mark.parametrize("what", ["", "nothing", "reply:", "turn:-1", "model:1.5", "9" * 12])
def test_what_names_nothing_is_refused_with_the_forms_there_are(what: str) -> None:
    with pytest.raises(LineageError, match="turn:5"):
        parse_id(what)


@pytest.mark.parametrize("what", ["7", "turn:7", "example:7", "dataset:7", "run:7", "model:7"])
async def test_what_does_not_exist_is_named(database: Database, what: str) -> None:
    async with database.read() as session:
        with pytest.raises(LineageError, match=r"there is no .*7"):
            await trace_back(session, what)


async def test_only_turns_and_replies_teach(database: Database) -> None:
    async with database.read() as session:
        with pytest.raises(LineageError, match="only a turn or a reply"):
            await trace_forward(session, "run:1")


@given(st.text(max_size=30))
def test_any_text_is_an_id_or_a_clear_refusal(text: str) -> None:
    try:
        kind, number = parse_id(text)
    except LineageError:
        return
    assert kind in ("reply", "turn", "example", "dataset", "run", "model")
    assert 0 <= number < 10**9
