"""A shop in the middle of its day: the rows that the console's tests look at."""

from datetime import timedelta
from typing import Any

from app.users import hash_password
from bot.masks import ensure_default
from store import (
    Chunk,
    ChunkKind,
    Conversation,
    Database,
    Dataset,
    Document,
    DocumentKind,
    ModelVersion,
    Reply,
    ReplyStatus,
    Role,
    Run,
    RunEvent,
    RunState,
    Stage,
    Turn,
    TurnState,
    User,
    UserRole,
    Way,
    conversation_id,
    utc_now,
)

PASSWORD = "a quiet night's sleep"
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
LIVE = "ft:smollm2-135m-instruct:nod-v2:8f3c2d"
SOURCES = [
    {"chunk_id": 1, "document_id": 1, "title": "Comfort · Which one", "similarity": 0.91},
    {"chunk_id": 2, "document_id": 1, "title": "Comfort · Firmness", "similarity": 0.84},
]
SAID: list[tuple[str, str, str, Way, ReplyStatus, str, float | None, float | None]] = [
    (
        "Mei Chen",
        "My shoulder goes numb when I lie on it. Which model is soft enough?",
        "The Atlas is very firm, so it should be fine for your shoulder.",
        Way.tuned,
        ReplyStatus.held,
        "tuned: unsure (-0.61 < -0.35)",
        -0.61,
        0.58,
    ),
    (
        "Jonas",
        "Do you take my old mattress with you?",
        "Yes: when we deliver the new one we take the old one along for 25 euros, if it is dry.",
        Way.retrieval,
        ReplyStatus.sent,
        "retrieval: the tuned model was unsure",
        -0.22,
        0.83,
    ),
    (
        "Priya N.",
        "Is there a trial period, and what happens after 100 nights?",
        "You can sleep on it for 100 nights. If it does not suit you, we collect it free of charge "
        "and pay back the full price within ten days.",
        Way.tuned,
        ReplyStatus.sent,
        "tuned: sure (-0.12 >= -0.35)",
        -0.12,
        0.94,
    ),
    (
        "Sam",
        "Can I buy one for my boat?",
        "I am sorry, I do not know. I have asked a colleague, who will answer you here.",
        Way.unknown,
        ReplyStatus.sent,
        "unknown: nothing relevant was found",
        None,
        None,
    ),
    (
        "Ola",
        ATTACK,
        "How can I help you with your mattress?",
        Way.base,
        ReplyStatus.sent,
        "base: mode",
        -1.2,
        None,
    ),
]


async def fill(database: Database) -> None:
    """The users; five replies to review; documents, runs and models."""
    await add_users(database)
    await ensure_default(database)
    for minutes, (name, *said) in zip((41, 33, 25, 12, 4), SAID, strict=True):
        await ask(database, name, *said, minutes_ago=minutes)
    await _add_documents(database)
    await _add_runs(database)


async def add_users(database: Database) -> None:
    """Rita reviews, Omar operates, Olga owns; all have the same PASSWORD."""
    roles = {"rita": UserRole.reviewer, "omar": UserRole.operator, "olga": UserRole.owner}
    hashed = await hash_password(PASSWORD)
    async with database.write() as session:
        for name, role in roles.items():
            session.add(User(name=name, password_hash=hashed, role=role))


async def ask(
    database: Database,
    name: str,
    question: str,
    answer: str,
    way: Way = Way.retrieval,
    status: ReplyStatus = ReplyStatus.sent,
    reason: str = "",
    mean_logprob: float | None = None,
    agreement: float | None = None,
    *,
    minutes_ago: int = 0,
) -> int:
    """A customer's question with its reply, which waits for review; the reply's id."""
    at, id_ = utc_now() - timedelta(minutes=minutes_ago), conversation_id("web", name)
    is_sent = status is ReplyStatus.sent
    async with database.write() as session:
        conversation = await session.get(Conversation, id_)
        if conversation is None:
            conversation = Conversation(
                id=id_, channel="web", address=name, customer_name=name, last_seq=0
            )
            session.add(conversation)
            await session.flush()
        conversation.wants_person_at = at if way is Way.unknown else None
        conversation.updated_at = at
        turn = Turn(
            conversation_id=id_,
            seq=conversation.last_seq + 1,
            role=Role.customer,
            text=question,
            state=TurnState.answered,
            created_at=at,
        )
        session.add(turn)
        await session.flush()
        reply = Reply(
            conversation_id=id_,
            turn_id=turn.id,
            draft=answer,
            text=answer,
            status=status,
            needs_review=True,
            way=way,
            reason=reason,
            mode="auto",
            mean_logprob=mean_logprob,
            agreement=agreement,
            sources=SOURCES if agreement else [],
            total_ms=1840.0,
            created_at=at,
            sent_at=at if is_sent else None,
        )
        session.add(reply)
        await session.flush()
        conversation.last_seq += 2 if is_sent else 1
        if is_sent:
            session.add(
                Turn(
                    conversation_id=id_,
                    seq=conversation.last_seq,
                    role=Role.bot,
                    text=answer,
                    reply_id=reply.id,
                    created_at=at,
                )
            )
        return reply.id


async def _add_documents(database: Database) -> None:
    now = utc_now()
    async with database.write() as session:
        for title, count, error in (
            ("Comfort", 9, None),
            ("Delivery", 7, None),
            ("Warranty", 6, None),
            ("Prices 2027", 0, "Prices 2027.pdf is protected by a password; save it without one"),
        ):
            document = Document(
                source=f"/shop/{title.lower()}.md",
                kind=DocumentKind.file,
                title=title,
                size_bytes=2_900 + 310 * count,
                error=error,
            )
            session.add(document)
            await session.flush()
            for seq in range(count):
                session.add(
                    Chunk(
                        document_id=document.id,
                        seq=seq,
                        kind=ChunkKind.passage,
                        heading=f"Part {seq}",
                        text=f"{title}: part {seq}",
                        indexed_at=now,
                    )
                )


async def _add_runs(database: Database) -> None:
    started = utc_now() - timedelta(hours=5)
    async with database.write() as session:
        dataset = Dataset(version=2, sha256="9c" * 32, train_count=148, holdout_count=32)
        session.add(dataset)
        await session.flush()
        done = Run(
            state=RunState.promoted,
            is_active=False,
            trigger="schedule",
            requested_by="nod",
            base_model="smollm2-135m-instruct",
            dataset_id=dataset.id,
            job_id="ftjob-8f3c2d",
            job_status="succeeded",
            tuned_model=LIVE,
            trained_tokens=61_440,
            verdict=_verdict(),
            created_at=started,
            ended_at=started + timedelta(minutes=4, seconds=12),
        )
        running = Run(
            state=RunState.training,
            is_active=True,
            trigger="console",
            requested_by="omar",
            base_model="smollm2-135m-instruct",
            dataset_id=dataset.id,
            job_id="ftjob-aa17e0",
            job_status="running",
            due_at=utc_now() + timedelta(minutes=55),  # nobody works on it during the tests
        )
        session.add_all((done, running))
        await session.flush()
        for run, steps in ((done, 90), (running, 38)):
            session.add(RunEvent(run_id=run.id, message="Froze dataset v2: 148 examples"))
            session.add_all(_losses(run.id, steps))
        versions = (("nod-v1:41b7aa", Stage.retired, 30), ("nod-v2:8f3c2d", Stage.live, 5))
        for suffix, stage, hours in versions:
            at = utc_now() - timedelta(hours=hours)
            session.add(
                ModelVersion(
                    model=f"ft:smollm2-135m-instruct:{suffix}",
                    base_model="smollm2-135m-instruct",
                    stage=stage,
                    run_id=done.id if stage is Stage.live else None,
                    sure_logprob=-0.35,
                    sure_agreement=0.6,
                    scores=_verdict()["scoreboard"],
                    created_at=at,
                    promoted_at=at,
                    retired_at=at + timedelta(hours=25) if stage is Stage.retired else None,
                )
            )


def _losses(run_id: int, steps: int) -> list[RunEvent]:
    events = []
    for step in range(1, steps + 1):
        loss = 0.12 + 3.6 * 0.95**step + (0.22 * 0.97**step) * ((step * 7) % 5 - 2)
        data = {"step": step, "train_loss": round(loss, 4)}
        if step % 18 == 0:
            data["valid_loss"] = round(0.45 + 3.2 * 0.95**step, 4)
        events.append(RunEvent(run_id=run_id, message=f"Step {step}", data=data))
    return events


def _verdict() -> dict[str, Any]:
    def row(chrf: float, similarity: float, median_ms: int, **ways: int) -> dict[str, Any]:
        return {
            "items": 32,
            "chrf": chrf,
            "similarity": similarity,
            "median_ms": median_ms,
            "prompt_tokens": 9_120,
            "completion_tokens": 1_344,
            "ways": ways,
        }

    return {
        "promote": True,
        "reasons": [
            "chrF is better: +9.4 on 24 conversations (95 % interval +4.1 to +14.6)",
            "similarity is no worse: +0.03",
        ],
        "threshold": {"reason": "mean logprob >= -0.35 and agreement >= 60 %"},
        "scoreboard": {
            "base": row(21.3, 0.842, 410, base=32),
            "retrieval": row(48.9, 0.917, 980, retrieval=32),
            "tuned": row(46.2, 0.911, 430, tuned=32),
            "hybrid": row(55.1, 0.932, 1010, tuned=32),
            "auto": row(63.8, 0.951, 620, approved=11, tuned=14, retrieval=7),
            "live auto": row(54.4, 0.921, 640, approved=11, retrieval=21),
        },
    }
