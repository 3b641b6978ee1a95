"""The recipe: hyperparameters, and what `auto` makes of them."""

import math
from dataclasses import dataclass

from modelserver.training.order import Order

LORA_RANK = 16
LORA_ALPHA = 32
SMALL_MODEL = 500_000_000  # parameters
WARM_UP_SHARE = 0.05
LAST_RATE_SHARE = 0.1
CLIP_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one job is trained."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    learning_rate: float
    beta: float
    """DPO's: how dearly leaving the base model is paid for."""


def choose_recipe(order: Order, *, examples: int, parameters: int) -> Recipe:
    """What was asked for, and for each `auto` what the size of the data suggests.

    n_epochs: 750 / examples, 2 to 10. Some 750 looks at an example each taught SmolLM2-135M the
        facts of small sets (50 questions needed 10 epochs, 150 needed 5); a large set says the
        same in many words and needs few.
    batch_size: 4, so that a small set gives enough steps; 8 from 100 examples, which share one
        system prompt a pack; 16 from 5,000.
    learning_rate_multiplier: 1. The rate itself is 1e-3 below 500 million parameters and 2e-4
        above, the usual range for LoRA.
    beta: 0.1, as in the paper on DPO (Rafailov et al. 2023).
    """
    multiplier = float(_asked(order, "learning_rate_multiplier", 1.0))
    rate = 1e-3 if parameters < SMALL_MODEL else 2e-4
    if order.method == "dpo":
        rate /= 20  # preferences move a model that can answer already
    return Recipe(
        n_epochs=int(_asked(order, "n_epochs", _epochs_for(examples))),
        batch_size=int(_asked(order, "batch_size", _batch_for(examples))),
        learning_rate_multiplier=multiplier,
        learning_rate=rate * multiplier,
        beta=float(_asked(order, "beta", 0.1)),
    )


def rate_at(step: int, total: int, peak: float) -> float:
    """Linear warm-up, then a cosine down to a tenth; `step` counts from 0."""
    warm_up = max(1, round(total * WARM_UP_SHARE))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    done = (step - warm_up) / max(1, total - warm_up)
    return peak * (LAST_RATE_SHARE + (1 - LAST_RATE_SHARE) * (1 + math.cos(math.pi * done)) / 2)


def _asked(order: Order, key: str, auto: float) -> float:
    asked = order.hyperparameters.get(key, "auto")
    return auto if asked in ("auto", None) else asked


def _epochs_for(examples: int) -> int:
    return max(2, min(10, round(750 / examples)))


def _batch_for(examples: int) -> int:
    return 4 if examples < 100 else 8 if examples < 5000 else 16
