"""Our trainer beside TRL's SFTTrainer: same weights, conversations, batch and adapter, on CPU.

TRL runs as a newcomer would run it there: its defaults, plus the two settings without which it
does not start on a CPU (`use_cpu=True, bf16=False`). Each runs in a process of its own, one after
the other, with the same threads. Tokens are those of the rendered conversations, counted once
for both; seconds are those of the training steps, without imports, loading and saving.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver.bases import BUILT_IN, resolve_base

EXAMPLES = 48
BATCH = 4
RANK, ALPHA = 16, 32  # what our trainer takes
SYSTEM = "You are the assistant of a shop. Answer in one to three sentences."
ROOT = Path(__file__).parents[1]
MODELS = Path(__file__).parent / "out" / "models"  # the dequantised base, made once


@dataclass(frozen=True)
class Measured:
    """What one process took."""

    seconds: float
    peak_mb: float


def main() -> dict[str, Any]:
    """Tokens a second and peak memory of both, and the ratios."""
    folder = resolve_base(BUILT_IN, MODELS).prepare_training_dir()
    with tempfile.TemporaryDirectory() as scratch:
        data = _write_data(Path(scratch) / "train.jsonl")
        tokens = _count_tokens(folder, data)
        trl = _run_trl(Path(scratch), folder, data)
        ours = _run_ours(Path(scratch), data)
    return {
        "figures": [
            _figure("TRL, speed", tokens / trl.seconds, "tokens/s"),
            _figure("Nod, speed", tokens / ours.seconds, "tokens/s", ratio_to="TRL, speed"),
            _figure("TRL, peak memory", trl.peak_mb, "MB"),
            _figure("Nod, peak memory", ours.peak_mb, "MB", ratio_to="TRL, peak memory"),
        ]
    }


def _write_data(path: Path) -> Path:
    """The sample shop's questions and answers as conversations."""
    pairs = map(json.loads, (ROOT / "app/sample/pairs.jsonl").read_text().splitlines())
    lines = [
        _conversation(question, pair["answer"])
        for pair in pairs
        for question in [pair["question"], *pair["phrasings"]]
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[:EXAMPLES]))
    return path


def _conversation(question: str, answer: str) -> dict[str, Any]:
    roles = ("system", "user", "assistant")
    contents = (SYSTEM, question, answer)
    return {"messages": [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]}


def _count_tokens(folder: Path, data: Path) -> int:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [
        tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False)
        for line in data.read_text().splitlines()
    ]
    return sum(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"]))


def _run_ours(scratch: Path, data: Path) -> Measured:
    order = {
        "job_id": "bench",
        "base": BUILT_IN,
        "data_dir": str(MODELS),
        "method": "supervised",
        "hyperparameters": {"n_epochs": 1, "batch_size": BATCH},
        "seed": 0,
        "training_file": str(data),
        "validation_file": None,
    }
    (scratch / "job.json").write_text(json.dumps(order))
    steps = StepClock(scratch / "progress.jsonl")
    peak_mb = _run(["-m", "modelserver.training", str(scratch)], steps.look)
    return Measured(steps.seconds, peak_mb)


class StepClock:
    """Sees in a trainer's progress file when the first step began and the last one ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started_at = self._stepped_at = 0.0
        self._seen = 0

    @property
    def seconds(self) -> float:
        return self._stepped_at - self._started_at

    def look(self) -> None:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        for line in lines[self._seen :]:
            if '"type": "started"' in line:
                self._started_at = time.perf_counter()
            if '"type": "metrics"' in line:
                self._stepped_at = time.perf_counter()
        self._seen = len(lines)


def _run_trl(scratch: Path, folder: Path, data: Path) -> Measured:
    result = scratch / "trl.json"
    peak_mb = _run(["-m", "bench.training", str(folder), str(data), str(result)])
    return Measured(json.loads(result.read_text())["seconds"], peak_mb)


def _run(arguments: list[str], look: Callable[[], None] = lambda: None) -> float:
    """Runs Python to its end and returns the most memory it held, in MB."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    errors = b""
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        errors = (errors + (process.stderr.read() or b""))[-4000:]
        look()
        if ended:
            break
        time.sleep(0.02)
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[1]} failed:\n{errors.decode(errors='replace')}")
    return used.ru_maxrss / 1024  # Linux counts in KiB


def _train_with_trl(folder: str, data: str, result: str) -> None:
    """The other side, in a process of its own."""
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        model=folder,
        args=SFTConfig(
            output_dir=str(Path(result).parent / "trl"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            use_cpu=True,
            bf16=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=load_dataset("json", data_files=data, split="train"),
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear"),
    )
    started_at = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started_at
    Path(result).write_text(json.dumps({"seconds": seconds}))


def _figure(name: str, value: float, unit: str, ratio_to: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio_to": ratio_to}


if __name__ == "__main__":
    _train_with_trl(*sys.argv[1:4])
