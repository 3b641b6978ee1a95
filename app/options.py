"""What the settings mean to the rooms; training and serving share one budget of tokens."""

from dataclasses import dataclass

from app.settings import Settings, split_commas
from bot.answer import AnswerOptions
from bot.prompt import Budget
from finetune.announce import Recipients
from finetune.budget import Limits
from finetune.canary import CanaryOptions
from finetune.gate import GateOptions
from finetune.prepare.prices import SHIPPED
from finetune.recipe import Recipe
from finetune.retrain import RetrainOptions
from finetune.trial import TrialOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    """By room."""

    answer: AnswerOptions
    retrain: RetrainOptions
    canary: CanaryOptions
    recipients: Recipients


def make_options(settings: Settings) -> Options:
    budget = Budget(
        mask_tokens=settings.mask_tokens,
        context_tokens=settings.context_tokens,
        history_tokens=settings.history_tokens,
    )
    recipients = make_recipients(settings)
    own_prices = settings.home / "prices.toml"
    return Options(
        answer=AnswerOptions(
            approved_similarity=settings.approved_similarity,
            context_chunks=settings.context_chunks,
            budget=budget,
            timeout_s=settings.model_timeout_s,
        ),
        retrain=RetrainOptions(
            recipe=Recipe(
                holdout_share=settings.holdout_share,
                budget=budget,
                words=tuple(settings.redact_words),
                expiring="keep" if settings.train_expiring else "leave_out",
            ),
            limits=Limits(
                is_free=settings.runs_model_server and settings.trainer_base_url is None,
                price_per_million=settings.training_price,
                prices=own_prices if own_prices.exists() else SHIPPED,
                most_per_run=settings.run_budget,
                most_per_month=settings.month_budget,
            ),
            trial=TrialOptions(gate=make_gate(settings)),
            recipients=recipients,
        ),
        canary=CanaryOptions(
            first_look=settings.canary_min_conversations,
            confidence=settings.gate_confidence,
            tolerance=settings.canary_tolerance,
            most_days=settings.canary_days,
        ),
        recipients=recipients,
    )


def make_gate(settings: Settings) -> GateOptions:
    return GateOptions(
        min_items=settings.gate_min_items,
        confidence=settings.gate_confidence,
        losses={
            "similarity": settings.gate_similarity_loss,
            "facts": settings.gate_facts_loss,
            "refusal": settings.gate_refusal_loss,
            "length": settings.gate_length_loss,
            "language": settings.gate_language_loss,
        },
        protected=split_commas(settings.gate_protected),
        slice_items=settings.gate_slice_min_items,
    )


def make_recipients(settings: Settings) -> Recipients:
    return Recipients(
        emails=split_commas(settings.announce_emails),
        webhook_url=settings.announce_webhook_url,
        has_telegram=settings.telegram_token is not None,
    )
