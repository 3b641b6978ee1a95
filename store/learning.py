"""Datasets, the runs that train on them, and the model versions that come out."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from store.base import IDS_USED_ONCE, Base, utc_now


class Split(StrEnum):
    """Which side of a dataset an example is on."""

    train = "train"
    holdout = "holdout"


class RunState(StrEnum):
    """How far a run has come; each step moves it on by what the database says."""

    collecting = "collecting"  # examples are gathered, redacted and frozen
    uploading = "uploading"  # the dataset is frozen; its files go to the trainer
    training = "training"  # a job exists, or is being created
    evaluating = "evaluating"  # the candidate answers the hold-out beside the live model
    deciding = "deciding"  # every answer is in; the gate speaks
    promoted = "promoted"  # ended: the candidate is live
    canary = "canary"  # ended: better on the hold-out; a share of the customers tries it
    entered = "entered"  # ended: measured; the other base models of its contest come next
    refused = "refused"  # ended: the candidate is not better, or too little is known
    skipped = "skipped"  # ended: nothing was trained; `error` says why not
    failed = "failed"  # ended: `error` says why
    cancelled = "cancelled"  # ended: a person stopped it

    @property
    def is_final(self) -> bool:
        return self in _FINAL_STATES


_FINAL_STATES = frozenset(
    {
        RunState.promoted,
        RunState.canary,
        RunState.entered,
        RunState.refused,
        RunState.skipped,
        RunState.failed,
        RunState.cancelled,
    }
)


class Method(StrEnum):
    """What an adapter is trained on."""

    sft = "sft"  # approved replies
    dpo = "dpo"  # pairs: the edit chosen, the draft rejected


class Stage(StrEnum):
    """What a model version is to the customers."""

    candidate = "candidate"  # trained; nobody sees it
    canary = "canary"  # a share of the conversations sees it
    live = "live"  # everybody sees it
    retired = "retired"  # was live, or never got there


class Dataset(Base):
    """A frozen, versioned set of examples."""

    __tablename__ = "dataset"
    __table_args__ = (
        # The same lines are the same dataset, unless some have been struck out of it since.
        Index(
            "uq_dataset_sha256",
            "sha256",
            unique=True,
            sqlite_where=text("struck_at is null"),
            postgresql_where=text("struck_at is null"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    """Of all lines in their order, as they were frozen: the same rows give the same hash."""
    method: Mapped[Method] = mapped_column(default=Method.sft)
    recipe: Mapped[dict[str, Any]] = mapped_column(default=dict)
    train_count: Mapped[int]
    holdout_count: Mapped[int]
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What was redacted, left out and counted on the way."""
    struck_at: Mapped[datetime | None]
    """When lines were last struck out, for somebody who wanted to be forgotten."""
    struck_count: Mapped[int] = mapped_column(default=0)
    """How many lines of the `train_count` and `holdout_count` are no longer there."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Example(Base):
    """One line of a dataset, and the replies that it came from."""

    __tablename__ = "example"
    __table_args__ = (UniqueConstraint("dataset_id", "split", "seq"), IDS_USED_ONCE)

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    split: Mapped[Split]
    seq: Mapped[int]
    line: Mapped[str] = mapped_column(Text)
    """The JSON line as it goes to the trainer, in OpenAI's chat or preference format."""
    question: Mapped[str] = mapped_column(Text)
    """The last one that the line answers."""
    answer: Mapped[str] = mapped_column(Text)
    reply_id: Mapped[int | None] = mapped_column(ForeignKey("reply.id", ondelete="SET NULL"))
    """The last reply that it trains."""
    reply_ids: Mapped[list[int]] = mapped_column(default=list)
    """All replies that it trains, in their order: a line may train several of a conversation."""
    quoted_reply_ids: Mapped[list[int]] = mapped_column(default=list)
    """Approved replies of other conversations that stand in it as context."""
    conversation_id: Mapped[str] = mapped_column(String(32), index=True)


class Run(Base):
    """One retrain, from the examples to the verdict."""

    __tablename__ = "run"
    __table_args__ = (
        # One run at a time, whoever asks for it.
        Index(
            "uq_run_active",
            "is_active",
            unique=True,
            sqlite_where=text("is_active"),
            postgresql_where=text("is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[RunState] = mapped_column(default=RunState.collecting)
    is_active: Mapped[bool] = mapped_column(default=True)
    trigger: Mapped[str] = mapped_column(String(32))
    """schedule, count, console, command."""
    requested_by: Mapped[str] = mapped_column(String(64), default="")
    base_model: Mapped[str] = mapped_column(String(255))
    method: Mapped[Method] = mapped_column(default=Method.sft)
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id"))
    training_file_id: Mapped[str | None] = mapped_column(String(128))
    validation_file_id: Mapped[str | None] = mapped_column(String(128))
    job_id: Mapped[str | None] = mapped_column(String(128))
    job_status: Mapped[str | None] = mapped_column(String(32))
    tuned_model: Mapped[str | None] = mapped_column(String(255))
    trained_tokens: Mapped[int | None]
    cost: Mapped[float | None]
    """Of its training, in the currency of the price that the settings give."""
    contest_id: Mapped[int | None]
    """The first run of a contest between base models; none for a run on its own."""
    rival_bases: Mapped[list[str]] = mapped_column(default=list)
    """The base models of the contest that are still to be trained, after this one."""
    refusal: Mapped[str | None] = mapped_column(String(16))
    """closed or quota: why the provider trains nothing more for us."""
    verdict: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What the gate saw and decided: scores, intervals, reasons, per mode."""
    error: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    """Failed tries of the present step."""
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None]
    cancel_asked_by: Mapped[str | None] = mapped_column(String(64))
    leftovers_due_at: Mapped[datetime | None]
    """When to look for what it left at the provider; none: nothing is left."""
    leftovers_attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    ended_at: Mapped[datetime | None]


class RunEvent(Base):
    """Something that happened in a run: the provider's events and our own."""

    __tablename__ = "run_event"
    __table_args__ = (UniqueConstraint("run_id", "provider_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    provider_id: Mapped[str | None] = mapped_column(String(128))
    level: Mapped[str] = mapped_column(String(16), default="info")
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """For metrics: step, train_loss, valid_loss and the like."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class EvaluationItem(Base):
    """One answer given in an evaluation, with its scores: an evaluation goes on after a crash."""

    __tablename__ = "evaluation_item"
    __table_args__ = (UniqueConstraint("run_id", "arm", "mode", "item"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    arm: Mapped[str] = mapped_column(String(16))
    """Who answered what; finetune.evaluate has the table."""
    mode: Mapped[str] = mapped_column(String(16))
    item: Mapped[int]
    """The example's place in the hold-out, or the question's in the off-topic list."""
    question: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text, default="")
    output: Mapped[str] = mapped_column(Text)
    way: Mapped[str] = mapped_column(String(16))
    scores: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """See finetune.scores, which makes them."""
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    total_ms: Mapped[float | None]


class ModelVersion(Base):
    """A tuned model that we serve, served or may serve."""

    __tablename__ = "model_version"
    __table_args__ = (
        Index(
            "uq_model_version_live",
            "stage",
            unique=True,
            sqlite_where=text("stage = 'live'"),
            postgresql_where=text("stage = 'live'"),
        ),
        Index(
            "uq_model_version_canary",
            "stage",
            unique=True,
            sqlite_where=text("stage = 'canary'"),
            postgresql_where=text("stage = 'canary'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(255), unique=True)
    """Its name at the provider, such as ft:smollm2-135m-instruct:nod:shop:abc123."""
    base_model: Mapped[str] = mapped_column(String(255))
    stage: Mapped[Stage] = mapped_column(default=Stage.candidate)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id", ondelete="SET NULL"))
    sure_logprob: Mapped[float | None]
    """Sure at or above this mean token log-probability; fitted for this version."""
    sure_agreement: Mapped[float | None]
    """And at or above this agreement with what was retrieved."""
    scores: Mapped[dict[str, Any]] = mapped_column(default=dict)
    canary: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What its canary has seen so far, and what was decided; see finetune.canary."""
    canary_from: Mapped[datetime | None]
    tainted_at: Mapped[datetime | None]
    """When something that it was trained on was forgotten: the next retrain takes its place."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    promoted_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
