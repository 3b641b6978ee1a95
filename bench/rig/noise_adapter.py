"""An adapter of noise: nothing was trained, and llama.cpp loads it all the same."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from modelserver.bases import BUILT_IN, Base
from modelserver.gguf_file import GgufReader

_RANK = 16


def import_noise_adapter(base: Base, data: Path) -> str:
    """Registers it at the server of the folder `data`. Returns its name."""
    folder = data / "noise"
    folder.mkdir()
    _write(base, folder)
    command = [sys.executable, "-m", "modelserver", "import", str(folder), "--base", BUILT_IN]
    command += ["--name", "noise", "--data", str(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "noise"


def _write(base: Base, folder: Path) -> None:
    reader = GgufReader(base.gguf_path)
    layers, hidden, inner = (
        int(reader.model_value(key))
        for key in ("block_count", "embedding_length", "feed_forward_length")
    )
    random = np.random.default_rng(0)
    weights = {
        f"base_model.model.model.layers.{layer}.mlp.down_proj.lora_{side}.weight": random.normal(
            0, 0.01, shape
        ).astype(np.float32)
        for layer in range(layers)
        for side, shape in (("A", (_RANK, inner)), ("B", (hidden, _RANK)))
    }
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {"peft_type": "LORA", "r": _RANK, "lora_alpha": 32, "target_modules": ["down_proj"]}
            | {"task_type": "CAUSAL_LM", "base_model_name_or_path": BUILT_IN}
        )
    )
