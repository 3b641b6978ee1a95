"""The five modes, and what each falls to; against a real model server with its stub engine."""

import logging
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from bot.answer import Answerer, AnswerOptions, NoAnswerYetError
from bot.phrases import Phrase
from bot.sureness import judge_tuned
from store import Mask, Mode, ModelVersion, Way
from tests.bot.conftest import Teach
from tests.bot.running_bot import BASE_MODEL, Bot, eventually

QUESTION = "How long does delivery of a mattress take?"
ANSWER = "Delivery takes five working days."
BED = "What does bed number 3 cost?"
NEAR_BED = "What does bed number 3 cost me, the one with the mattress?"


async def test_auto_repeats_the_approved_reply_to_the_same_question(
    bot: Bot, teach: Teach, mask: Mask
) -> None:
    await teach(QUESTION, ANSWER)
    draft = await bot.answerer.answer(QUESTION.upper(), mode=Mode.auto, mask=mask)
    assert (draft.text, draft.way, draft.is_sure) == (ANSWER, Way.approved, True)
    assert QUESTION in draft.reason


async def test_auto_goes_by_the_tuned_model_where_it_is_sure_and_agrees(
    bot: Bot, teach: Teach, mask: Mask, tuned: ModelVersion
) -> None:
    await teach(NEAR_BED, "Bed 3 costs 103 euros.")
    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)

    draft = await bot.answerer.answer(
        BED, mode=Mode.auto, mask=mask, model_version=tuned, on_text=show
    )
    assert (draft.text, draft.way) == ("Bed 3 costs 103 euros.", Way.tuned)
    assert (draft.model, draft.model_version_id) == (tuned.model, tuned.id)
    assert draft.is_sure
    assert draft.mean_logprob is not None
    assert draft.agreement == 1.0
    assert draft.prompt_tokens
    assert draft.completion_tokens
    assert draft.first_token_ms
    assert draft.total_ms
    assert shown == []  # it had to be judged first


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sure_logprob": -0.001}, "log-probability"),
        ({"sure_agreement": 1.1}, "agreement"),
        ({"sure_logprob": None, "sure_agreement": None}, "no threshold was fitted"),
        ({"model": "ft:nobody:knows:me"}, "404"),
    ],
)
async def test_auto_falls_to_retrieval_where_the_tuned_model_is_unsure_or_away(
    changes: dict[str, object],
    why: str,
    bot: Bot,
    teach: Teach,
    mask: Mask,
    tuned: ModelVersion,
) -> None:
    await teach(NEAR_BED, "Bed 3 costs 103 euros.")
    for key, value in changes.items():
        setattr(tuned, key, value)
    draft = await bot.answerer.answer(BED, mode=Mode.auto, mask=mask, model_version=tuned)
    assert (draft.way, draft.model, draft.model_version_id) == (Way.retrieval, BASE_MODEL, None)
    assert why in draft.tried[0]
    assert draft.is_substitute is (why == "404")


async def test_the_base_model_after_a_refused_near_match_is_no_substitute_for_an_unsure_one(
    bot: Bot, teach: Teach, mask: Mask, tuned: ModelVersion
) -> None:
    await teach("What can you tell me about the frame number 8?", "It costs 108 dollars.")
    tuned.sure_logprob = -0.001
    question = "What can you tell me about the frame number 44?"
    draft = await bot.answerer.answer(question, mode=Mode.auto, mask=mask, model_version=tuned)
    refused, unsure = draft.tried
    assert refused.startswith("approved: not taken")
    assert unsure.startswith("tuned: unsure")
    assert (draft.way, draft.is_substitute) == (Way.retrieval, False)


async def test_auto_says_honestly_that_it_does_not_know(bot: Bot, mask: Mask) -> None:
    draft = await bot.answerer.answer("床垫多少钱？", mode=Mode.auto, mask=mask)
    assert (draft.text, draft.way) == (Phrase.unknown.like("床"), Way.unknown)


@pytest.mark.parametrize(
    ("said", "phrase"),
    [
        ("Hello!", Phrase.welcome),
        ("hi there", Phrase.welcome),
        ("你好！在吗？", Phrase.welcome),
        ("Thank you very much :)", Phrase.thanked),
        ("谢谢", Phrase.thanked),
        ("Bye", Phrase.farewell),
    ],
)
async def test_auto_answers_a_courtesy_with_a_courtesy(
    said: str, phrase: Phrase, bot: Bot, mask: Mask
) -> None:
    draft = await bot.answerer.answer(said, mode=Mode.auto, mask=mask)
    assert (draft.text, draft.way) == (phrase.like(said), Way.notice)


async def test_a_courtesy_asks_for_no_person_and_no_review(bot: Bot) -> None:
    await bot.hear("Thanks!", address="ann")
    async with bot.at_work():

        async def is_sent() -> bool:
            return bot.channel.texts == [Phrase.thanked.like("")]

        await eventually(is_sent)
    assert not (await bot.replies("ann"))[0].needs_review
    assert (await bot.conversation("ann")).wants_person_at is None


async def test_a_question_after_a_greeting_is_a_question(bot: Bot, mask: Mask) -> None:
    draft = await bot.answerer.answer("Hello, do you sell boats?", mode=Mode.auto, mask=mask)
    assert draft.way is Way.unknown


async def test_the_shops_own_greeting_wins(bot: Bot, teach: Teach, mask: Mask) -> None:
    await teach("Hello", "Welcome to the shop!")
    draft = await bot.answerer.answer("hello", mode=Mode.auto, mask=mask)
    assert (draft.text, draft.way) == ("Welcome to the shop!", Way.approved)


@pytest.mark.parametrize(
    ("mode", "way", "model", "with_context"),
    [
        (Mode.base, Way.base, "base", False),
        (Mode.retrieval, Way.retrieval, "base", True),
        (Mode.tuned, Way.tuned, "tuned", False),
        (Mode.hybrid, Way.tuned, "tuned", True),
    ],
)
async def test_each_mode_uses_what_its_name_says(
    mode: Mode,
    way: Way,
    model: str,
    with_context: bool,
    bot: Bot,
    teach: Teach,
    mask: Mask,
    tuned: ModelVersion,
) -> None:
    await teach(NEAR_BED, "Bed 3 costs 103 euros.")
    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)

    draft = await bot.answerer.answer(BED, mode=mode, mask=mask, model_version=tuned, on_text=show)
    assert draft.way is way
    assert draft.model == (tuned.model if model == "tuned" else BASE_MODEL)
    assert bool(draft.retrieved) is with_context
    assert any(turn["content"] == "Bed 3 costs 103 euros." for turn in draft.prompt) is with_context
    assert shown[-1] == draft.text


@pytest.mark.parametrize("mode", [Mode.tuned, Mode.hybrid])
async def test_without_a_live_version_the_base_model_answers_with_context(
    mode: Mode, bot: Bot, teach: Teach, mask: Mask
) -> None:
    await teach(QUESTION, ANSWER)
    draft = await bot.answerer.answer(QUESTION, mode=mode, mask=mask)
    assert draft.way is Way.retrieval
    assert draft.tried == ("tuned: no model version is live",)


async def test_a_follow_up_is_looked_up_with_the_question_before_it(bot: Bot, teach: Teach) -> None:
    await teach(QUESTION, ANSWER)
    history = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    found = await bot.answerer.look_up("???", history)
    assert [chunk.text for chunk in found] == [ANSWER]


async def test_another_topic_is_not_looked_up_with_the_question_before_it(
    bot: Bot, teach: Teach
) -> None:
    await teach(QUESTION, ANSWER)
    history = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    assert (
        await bot.answerer.look_up("Who painted the ceiling of the Sistine Chapel?", history) == []
    )


async def test_the_conversation_under_evaluation_is_left_out(
    bot: Bot, teach: Teach, mask: Mask
) -> None:
    await teach(QUESTION, ANSWER)
    cid = (await bot.conversation("teacher")).id
    draft = await bot.answerer.answer(QUESTION, mode=Mode.auto, mask=mask, exclude_conversation=cid)
    assert draft.way is Way.unknown


async def test_with_the_model_down_there_is_no_answer_yet_and_the_reasons_are_told(
    bot: Bot, mask: Mask
) -> None:
    client = AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="none")
    answerer = Answerer(bot.knowledge, client, base_model=BASE_MODEL)
    with pytest.raises(NoAnswerYetError) as caught:
        await answerer.answer(QUESTION, mode=Mode.hybrid, mask=mask)
    assert caught.value.tried[0] == "tuned: no model version is live"
    assert caught.value.tried[1].startswith(f"retrieval: {BASE_MODEL}: Connection error")


async def test_a_server_that_never_answers_is_waited_for_so_long_and_then_left_alone(
    bot: Bot, mask: Mask, tmp_path: Path
) -> None:
    from tests.modelserver_process import running_modelserver

    with running_modelserver(tmp_path, "--stub-delay-s", "5") as server:
        client = AsyncOpenAI(base_url=server.url, api_key="none")
        answerer = Answerer(
            bot.knowledge, client, base_model=BASE_MODEL, options=AnswerOptions(timeout_s=0.5)
        )
        with pytest.raises(NoAnswerYetError, match=r"took longer than 0\.5 s|timed out"):
            await answerer.answer(QUESTION, mode=Mode.base, mask=mask)
        with pytest.raises(NoAnswerYetError, match="was away a moment ago"):
            await answerer.answer(QUESTION, mode=Mode.base, mask=mask)
        server.kill()


@pytest.mark.parametrize(
    ("logprob", "agreement", "is_sure"),
    [
        (-0.1, 0.9, True),
        (-0.9, 0.9, False),
        (-0.1, 0.1, False),
        (None, 0.9, True),  # a provider without log-probabilities
        (None, 0.1, False),
        (-0.1, None, False),  # nothing was retrieved to agree with
    ],
)
def test_sure_is_what_reaches_both_thresholds(
    logprob: float | None, agreement: float | None, is_sure: bool
) -> None:
    version = ModelVersion(model="ft", base_model="b", sure_logprob=-0.5, sure_agreement=0.5)
    assert judge_tuned(logprob, agreement, version)[0] is is_sure


async def test_no_text_of_a_customer_is_logged(
    bot: Bot, mask: Mask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await bot.answerer.answer("my secret question", mode=Mode.base, mask=mask)
    assert "secret question" not in caplog.text


async def test_auto_tells_why_a_near_question_is_not_the_approved_one(
    bot: Bot, teach: Teach, mask: Mask
) -> None:
    await teach(BED, "Bed 3 costs 103 euros.")
    options = AnswerOptions(approved_similarity=0.5)
    answerer = Answerer(bot.knowledge, bot.client, base_model=BASE_MODEL, options=options)
    same = await answerer.answer("what does the bed number 3 cost", mode=Mode.auto, mask=mask)
    assert same.way is Way.approved
    other = await answerer.answer("What does bed number 4 cost?", mode=Mode.auto, mask=mask)
    assert other.way is Way.retrieval
    assert "not taken" in other.tried[0]
    assert f"{BED!r}, but only the customer says '4'" in other.tried[0]
    assert [chunk.text for chunk in other.retrieved] == ["Bed 3 costs 103 euros."]


async def test_a_model_that_repeats_the_approved_reply_not_taken_is_unsure(
    bot: Bot, teach: Teach, mask: Mask
) -> None:
    await teach(BED, "Bed 3 costs 103 euros.")
    options = AnswerOptions(approved_similarity=0.5)
    answerer = Answerer(bot.knowledge, bot.client, base_model=BASE_MODEL, options=options)
    draft = await answerer.answer("What does bed number 4 cost?", mode=Mode.auto, mask=mask)
    assert (draft.text, draft.agreement) == ("Bed 3 costs 103 euros.", 1.0)
    assert not draft.is_sure
    assert draft.reason.endswith("says again the approved reply not taken")
    options = AnswerOptions(approved_similarity=1.0)
    answerer = Answerer(bot.knowledge, bot.client, base_model=BASE_MODEL, options=options)
    draft = await answerer.answer("What does bed number 4 cost?", mode=Mode.auto, mask=mask)
    assert draft.is_sure  # nothing near was refused
