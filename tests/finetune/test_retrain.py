import asyncio
from pathlib import Path

import pytest
from openai.types.fine_tuning import FineTuningJobEvent
from sqlalchemy import func, select, update

from bot.review import ReviewError
from bot.tags import set_tags
from finetune.failure import CLOSED
from finetune.promote import live_version
from finetune.provider import _as_row, run_key
from finetune.questions import CANDIDATE, LIVE
from finetune.run import cancel_run, request_run
from finetune.verdict import read_origins
from store import (
    Database,
    Dataset,
    EvaluationItem,
    Method,
    ModelVersion,
    Review,
    Run,
    RunEvent,
    RunState,
    Stage,
    Verdict,
    utc_now,
)
from store.switches import set_switch
from tests.finetune.faulty_proxy import Spoil, Spoiled, faulty_proxy
from tests.finetune.shop import BASE_MODEL, Shop, approve, approve_many, open_shop, quick_options


async def request(database: Database, trigger: str = "command") -> Run:
    return await request_run(
        database,
        trigger=trigger,  # type: ignore[arg-type]
        requested_by="ada",
        base_model=BASE_MODEL,
    )


async def provider_files(shop: Shop, dataset: Dataset) -> list[str]:
    files = [file.filename async for file in shop.client.files.list(purpose="fine-tune")]
    return sorted(name for name in files if dataset.sha256[:12] in name)


async def provider_jobs(shop: Shop, run: Run) -> list[str]:
    jobs = shop.client.fine_tuning.jobs.list()
    return [job.id async for job in jobs if (job.metadata or {}).get("nod_run") == run_key(run)]


async def only_dataset(database: Database) -> Dataset:
    async with database.read() as session:
        return (await session.scalars(select(Dataset))).one()


async def test_a_run_goes_from_approved_replies_to_a_live_model(shop: Shop) -> None:
    await request(shop.database)
    run = await shop.run_to_the_end()
    assert run.state is RunState.promoted, run.verdict or run.error
    async with shop.database.read() as session:
        version = await live_version(session)
        events = (await session.scalars(select(RunEvent).order_by(RunEvent.id))).all()
    assert version is not None
    assert version.model == run.tuned_model
    assert version.sure_logprob is not None
    assert set(run.verdict["scoreboard"]) == {
        "base",
        "few-shot",
        "retrieval",
        "tuned",
        "hybrid",
        "auto",
        "live auto",
    }
    [chrf] = [each for each in run.verdict["findings"] if each["name"] == "chrf"]
    assert chrf["gain"]["low"] > 0
    assert {each["name"] for each in run.verdict["findings"]} >= {"facts", "refusal", "language"}
    losses = [event.data["train_loss"] for event in events if "train_loss" in event.data]
    assert len(losses) >= 2
    assert losses == sorted(losses, reverse=True)
    assert len({event.provider_id for event in events if event.provider_id}) == len(
        [event for event in events if event.provider_id]
    )


async def test_a_run_trains_on_edits_against_their_drafts(shop: Shop) -> None:
    for n in range(24):
        await approve(
            shop.database,
            f"Is part {n} sold?",
            f"Yes, part {n} is.",
            verdict=Verdict.edited,
            draft=f"I guess part {n} may be.",
        )
    await shop.knowledge.sync()
    await request_run(
        shop.database,
        trigger="command",
        requested_by="ada",
        base_model=BASE_MODEL,
        method=Method.dpo,
    )
    run = await shop.run_to_the_end()
    assert run.state in (RunState.promoted, RunState.refused), run.error
    assert (await only_dataset(shop.database)).method is Method.dpo
    job = await shop.client.fine_tuning.jobs.retrieve(run.job_id or "")
    assert job.method is not None
    assert job.method.type == "dpo"


async def test_an_answer_is_judged_without_its_own_conversation(shop: Shop) -> None:
    # Only the customer's own approval knows this, so a fair evaluation cannot find it.
    for n in range(8):
        await approve(shop.database, f"What is secret number {n}?", f"xyzzy{n} plugh{n}")
    await shop.knowledge.sync()
    await request(shop.database)
    await shop.run_to_the_end()
    async with shop.database.read() as session:
        rows = await session.scalars(
            select(EvaluationItem).where(EvaluationItem.question.startswith("What is secret"))
        )
        judged = rows.all()
    assert judged
    assert not [row.output for row in judged if row.output == row.reference]


async def test_a_second_run_on_the_same_model_is_refused_for_no_gain(shop: Shop) -> None:
    await request(shop.database)
    first = await shop.run_to_the_end()
    await request(shop.database)
    second = await shop.run_to_the_end()
    assert second.state is RunState.refused
    assert second.dataset_id == first.dataset_id
    assert "not shown to be better" in second.verdict["reasons"][0]
    async with shop.database.read() as session:
        live = await live_version(session)
        stages = (await session.scalars(select(ModelVersion.stage))).all()
    assert live is not None
    assert live.run_id == first.id
    assert sorted(stages) == [Stage.candidate, Stage.live]


async def test_two_runs_on_the_same_dataset_train_with_the_same_seed(shop: Shop) -> None:
    seeds = set()
    for _ in range(2):
        await request(shop.database)
        run = await shop.run_to_the_end()
        for job_id in await provider_jobs(shop, run):
            seeds.add((await shop.client.fine_tuning.jobs.retrieve(job_id)).seed)
    assert seeds == {int((await only_dataset(shop.database)).sha256[:7], 16)}


async def test_the_files_of_an_ended_run_are_deleted_at_the_provider(shop: Shop) -> None:
    await request(shop.database)
    run = await shop.run_to_the_end()
    names = await provider_files(shop, await only_dataset(shop.database))
    assert [name.rsplit("-", 1)[1] for name in names] == ["holdout.jsonl", "train.jsonl"]
    assert all(run_key(run) in name for name in names)
    await shop.clean_up()
    assert await provider_files(shop, await only_dataset(shop.database)) == []


async def test_the_schedule_does_not_train_twice_on_the_same_examples(shop: Shop) -> None:
    async with shop.database.write() as session:
        await set_switch(session, "retrain_clock_min_examples", 0, who="ada")
    await request(shop.database)
    await shop.run_to_the_end()
    await request(shop.database, trigger="schedule")
    run = await shop.run_to_the_end()
    assert run.state is RunState.skipped
    assert "nothing new" in (run.error or "")
    assert run.job_id is None


async def test_the_clock_waits_for_enough_new_examples_and_a_person_does_not(shop: Shop) -> None:
    await request(shop.database, trigger="schedule")
    assert (await shop.run_to_the_end()).state is RunState.promoted, "all examples are new"
    for number in range(4):
        await approve(shop.database, f"Is there a blue lamp {number}?", f"Yes, number {number}.")
    await request(shop.database, trigger="schedule")
    run = await shop.run_to_the_end()
    assert (run.state, run.dataset_id, run.job_id) == (RunState.skipped, None, None)
    assert run.error is not None
    assert run.error.startswith("4 new example(s) were approved since the last verdict, and the")
    assert "waits for 5 (`nod schedule --clock-needs`)" in run.error
    await request(shop.database, trigger="command")
    assert (await shop.run_to_the_end()).job_id is not None


async def test_the_clock_heals_a_tainted_model_however_little_is_new(shop: Shop) -> None:
    await request(shop.database)
    await shop.run_to_the_end()
    async with shop.database.write() as session:
        live = await live_version(session)
        assert live is not None
        live.tainted_at = utc_now()
        await session.execute(update(Dataset).values(struck_at=utc_now()))
    await request(shop.database, trigger="schedule")
    assert (await shop.run_to_the_end()).state is RunState.promoted


async def test_too_few_conversations_to_judge_ask_a_person(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    await approve_many(database)
    options = quick_options(items=3)
    async with open_shop(database, tmp_path, modelserver_url, options) as shop:
        await shop.knowledge.sync()
        await request(database)
        run = await shop.run_to_the_end()
    assert run.state is RunState.refused
    assert "ask a person" in run.verdict["reasons"][0]
    async with database.read() as session:
        assert (await session.scalars(select(ModelVersion.stage))).one() is Stage.candidate


async def test_too_few_examples_skip_the_run_and_say_how_many_are_missing(
    database: Database, tmp_path: Path, modelserver_url: str
) -> None:
    await approve_many(database, 2)
    async with open_shop(database, tmp_path, modelserver_url) as shop:
        await request(database)
        run = await shop.run_to_the_end()
    assert run.state is RunState.skipped
    assert "at least 10 are needed" in (run.error or "")


async def test_a_cancelled_run_cancels_its_job(
    database: Database, tmp_path: Path, slow_modelserver_url: str
) -> None:
    await approve_many(database)
    async with open_shop(database, tmp_path, slow_modelserver_url) as shop:
        run = await request(database)
        while run.job_id is None:
            await shop.retrainer.step()
            async with database.read() as session:
                run = await session.get_one(Run, run.id)
        await cancel_run(database, run.id, "ada")
        run = await shop.run_to_the_end()
        assert run.state is RunState.cancelled
        assert run.error == "cancelled by ada"
        await shop.clean_up()
        job = await shop.client.fine_tuning.jobs.retrieve(run.job_id or "")
        assert job.status == "cancelled" or job.fine_tuned_model is None


async def test_two_processes_share_a_run_without_doing_anything_twice(
    shop: Shop, tmp_path: Path
) -> None:
    other = Shop(**vars(shop))
    run = await request(shop.database)
    ended = await asyncio.gather(shop.run_to_the_end(), other.run_to_the_end())
    assert [one.id for one in ended] == [run.id, run.id]
    assert len(await provider_jobs(shop, ended[0])) == 1


class TestWhenTheProviderFails:
    """The same run behind a proxy that spoils requests."""

    async def test_a_lost_response_trains_and_uploads_nothing_twice(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        def lose_first(method: str, path: str, before: int) -> Spoiled | None:
            creates = method == "POST" and path in ("/files", "/fine_tuning/jobs")
            return Spoiled(is_lost=True) if creates and before == 0 else None

        await approve_many(database)
        with faulty_proxy(modelserver_url, lose_first) as url:
            async with open_shop(database, tmp_path, url) as shop:
                await shop.knowledge.sync()
                await request(database)
                run = await shop.run_to_the_end()
                assert run.state is RunState.promoted, run.error
                assert len(await provider_files(shop, await only_dataset(database))) == 2
                assert len(await provider_jobs(shop, run)) == 1

    async def test_a_provider_that_trains_no_more_ends_the_run_and_keeps_the_data(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        message = "Fine-tuning is no longer available to new customers."

        def refuse(method: str, path: str, before: int) -> Spoiled | None:
            is_create = (method, path) == ("POST", "/fine_tuning/jobs")
            return Spoiled(403, message, code="permission_denied") if is_create else None

        run = await self.run_behind(refuse, database, tmp_path, modelserver_url)
        assert run.state is RunState.failed
        assert message in (run.error or "")
        assert CLOSED in (run.error or "")
        assert (await only_dataset(database)).train_count > 10

    async def test_a_busy_provider_is_asked_again_when_it_says(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        asked: list[int] = []

        def be_busy(method: str, path: str, before: int) -> Spoiled | None:
            if (method, path) != ("POST", "/fine_tuning/jobs"):
                return None
            asked.append(before)
            busy = Spoiled(429, "Rate limit reached.", headers={"retry-after": "0"})
            return busy if before < 2 else None

        run = await self.run_behind(be_busy, database, tmp_path, modelserver_url)
        assert run.state is RunState.promoted, run.error
        assert len(asked) == 3

    async def test_an_exhausted_quota_is_not_asked_again(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        def be_out_of_quota(method: str, path: str, before: int) -> Spoiled | None:
            is_create = (method, path) == ("POST", "/fine_tuning/jobs")
            quota = Spoiled(429, "You exceeded your current quota.", code="insufficient_quota")
            return quota if is_create else None

        run = await self.run_behind(be_out_of_quota, database, tmp_path, modelserver_url)
        assert run.state is RunState.failed
        assert "quota" in (run.error or "")
        assert run.attempts == 0

    async def test_a_provider_that_stays_broken_ends_the_run_after_bounded_tries(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        def break_down(method: str, path: str, before: int) -> Spoiled | None:
            is_create = (method, path) == ("POST", "/fine_tuning/jobs")
            return Spoiled(500, headers={"retry-after": "0"}) if is_create else None

        run = await self.run_behind(break_down, database, tmp_path, modelserver_url, max_attempts=3)
        assert run.state is RunState.failed
        assert "given up after 3 tries while training" in (run.error or "")

    async def test_a_job_that_is_paid_for_outlasts_a_provider_that_is_long_away(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        def lose_sight_of_it(method: str, path: str, before: int) -> Spoiled | None:
            is_look = method == "GET" and path.startswith("/fine_tuning/jobs/ftjob-")
            return Spoiled(503, headers={"retry-after": "0"}) if is_look and before < 20 else None

        run = await self.run_behind(
            lose_sight_of_it, database, tmp_path, modelserver_url, max_attempts=2
        )
        assert run.state is RunState.promoted, run.error

    @pytest.mark.parametrize("status", [404, 500])
    async def test_a_provider_without_events_keeps_nobody_from_the_model(
        self, database: Database, tmp_path: Path, modelserver_url: str, status: int
    ) -> None:
        def know_no_events(method: str, path: str, before: int) -> Spoiled | None:
            no_events = Spoiled(status, headers={"retry-after": "0"})
            return no_events if path.endswith("/events") else None

        run = await self.run_behind(know_no_events, database, tmp_path, modelserver_url)
        assert run.state is RunState.promoted, run.error

    @pytest.mark.parametrize(
        "loading",
        [
            Spoiled(404, "The model does not exist (yet).", code="model_not_found"),
            Spoiled(503, "Loading model", headers={"retry-after": "0"}),
            Spoiled(503, "too late", delay_s=2.0),
        ],
        ids=["404", "503", "time-out"],
    )
    async def test_a_candidate_that_still_loads_is_waited_for_and_not_judged_by_the_base_model(
        self, database: Database, tmp_path: Path, modelserver_url: str, loading: Spoiled
    ) -> None:
        seen: list[str] = []

        def load_slowly(method: str, path: str, before: int) -> Spoiled | None:
            # The evaluation begins with the candidate's answers.
            if path != "/chat/completions" or before >= 6:
                return None
            seen.append(path)
            return loading

        run = await self.run_behind(
            load_slowly, database, tmp_path, modelserver_url, timeout_s=1 if loading.delay_s else 60
        )
        assert run.state is RunState.promoted, run.error
        assert len(seen) == 6
        async with database.read() as session:
            ways = await session.execute(
                select(EvaluationItem.way, func.count())
                .where(EvaluationItem.arm == CANDIDATE, EvaluationItem.mode == "hybrid")
                .group_by(EvaluationItem.way)
            )
        assert [way for way, _ in ways] == ["tuned"]

    async def test_a_live_model_that_is_away_puts_the_evaluation_off_and_is_not_judged_by_another(
        self, database: Database, tmp_path: Path, modelserver_url: str
    ) -> None:
        await approve_many(database)
        options = quick_options(max_away_attempts=2)
        async with open_shop(database, tmp_path, modelserver_url, options) as shop:
            await shop.knowledge.sync()
            async with database.write() as session:
                gone = ModelVersion(model="ft:gone", base_model=BASE_MODEL, stage=Stage.live)
                # Sure of everything, so that auto mode always wants it.
                gone.sure_logprob, gone.sure_agreement = -9.0, 0.0
                session.add(gone)
            await request(database)
            run = await shop.run_to_the_end()
        assert run.state is RunState.failed
        assert "ft:gone does not answer in auto mode" in (run.error or "")
        assert "given up after 2 tries while evaluating" in (run.error or "")
        async with database.read() as session:
            ways = await session.scalars(
                select(EvaluationItem.way).where(
                    EvaluationItem.arm == LIVE, EvaluationItem.mode == "auto"
                )
            )
            assert set(ways) <= {"approved"}, "what no model answered"

    async def run_behind(
        self,
        spoil: Spoil,
        database: Database,
        home: Path,
        url: str,
        *,
        timeout_s: float = 60.0,
        **options: object,
    ) -> Run:
        await approve_many(database)
        chosen = quick_options(**options)
        with faulty_proxy(url, spoil) as proxy:
            async with open_shop(database, home, proxy, chosen, timeout_s=timeout_s) as shop:
                await shop.knowledge.sync()
                await request(database)
                return await shop.run_to_the_end()


async def test_tags_of_reviews_become_slices_that_the_gate_weighs(shop: Shop) -> None:
    async with shop.database.write() as session:
        for review in await session.scalars(select(Review)):
            await set_tags(session, review.reply_id, ["Price", "price "], who="ada")
        with pytest.raises(ReviewError, match="is no tag"):
            await set_tags(session, review.reply_id, ["two words"], who="ada")
        with pytest.raises(ReviewError, match="no reviewed reply 9999"):
            await set_tags(session, 9999, ["price"], who="ada")
    await request(shop.database)
    run = await shop.run_to_the_end()
    async with shop.database.read() as session:
        origins = await read_origins(session, run)
    assert origins
    assert all({"tag:price", "channel:web"} <= each.slices for each in origins.values())
    assert "slice tag:price" in [each["name"] for each in run.verdict["findings"]]


async def test_a_loss_that_is_no_number_is_left_out_of_the_runs_story() -> None:
    event = FineTuningJobEvent(
        id="e", object="fine_tuning.job.event", created_at=0, level="info", message="Step 3",
        data={"step": 3, "train_loss": 0.5, "valid_loss": float("nan")},
    )  # fmt: skip
    assert _as_row(1, event).data == {"step": 3, "train_loss": 0.5}
