"""The order: what the server wants trained, and what the trainer tells of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class TrainingError(Exception):
    """Training cannot go on; the message is for the person who asked for it."""

    def __init__(self, message: str, *, code: str = "training_failed", param: str | None = None):
        super().__init__(message)
        self.code = code
        self.param = param


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the server's command line says of training."""

    precision: str = "auto"
    """auto, float32 or bfloat16: of the base's weights; the adapter's are always float32."""
    patience: int = 0
    """Epochs without a better validation loss after which it is enough; 0 trains all."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """`JOB_DIR/job.json`."""

    folder: Path
    job_id: str
    base: str
    data_dir: Path
    method: str
    """supervised or dpo."""
    hyperparameters: dict[str, Any]
    """n_epochs, batch_size, learning_rate_multiplier, beta: each a number or `auto`."""
    seed: int
    training_file: Path
    validation_file: Path | None
    classification: dict[str, Any] | None = None
    """What /v1/fine-tunes asked to be measured, see `classification`."""
    options: Options = Options()
    is_told: bool = True
    """False in all processes of a job but the first."""

    @classmethod
    def read(cls, folder: Path) -> "Order":
        told = json.loads((folder / "job.json").read_text())
        validation = told["validation_file"]
        return cls(
            folder=folder,
            job_id=told["job_id"],
            base=told["base"],
            data_dir=Path(told["data_dir"]),
            method=told["method"],
            hyperparameters=told["hyperparameters"],
            seed=told["seed"],
            training_file=Path(told["training_file"]),
            validation_file=Path(validation) if validation else None,
            classification=told.get("classification"),
            options=Options(**told.get("options", {})),
        )

    def tell(self, **what: Any) -> None:
        """Append one line to `JOB_DIR/progress.jsonl`, which the server follows."""
        if not self.is_told:
            return
        with (self.folder / "progress.jsonl").open("a") as file:
            file.write(json.dumps(what) + "\n")
