"""The model in training: a frozen base with a LoRA adapter, and the loss of a batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting

from modelserver.bases import Base
from modelserver.training import attention
from modelserver.training.order import TrainingError
from modelserver.training.output import token_logprobs
from modelserver.training.pack import Pack
from modelserver.training.recipe import LORA_ALPHA, LORA_RANK


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def load_model(base: Base, folder: Path, *, seed: int, precision: str = "auto") -> Any:
    """The base with a fresh adapter on all its linear layers, in training mode.

    The adapter's own weights are float32 whatever the base's are.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    dtype = choose_dtype(precision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    if device == "cpu":
        _choose_packed_attention(model)
    _check_output(model.config)
    config = LoraConfig(
        r=LORA_RANK,
        lora_alpha=LORA_ALPHA,
        target_modules="all-linear",
        base_model_name_or_path=base.published_as,  # our folder means nothing elsewhere
        task_type="CAUSAL_LM",
    )
    peft_model = get_peft_model(model, config)
    peft_model.peft_config["default"].base_model_name_or_path = base.published_as
    return peft_model.to(device).train()


def _choose_packed_attention(model: Any) -> None:
    """In place of the usual one; models with an attention of their own keep it, and the mask."""
    if model.config._attn_implementation == "sdpa":
        attention.register()
        model.set_attn_implementation(attention.NAME)


def _check_output(config: Any) -> None:
    """The output layer is called by itself here, so what a model does after it is not done."""
    for key in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, key, None) not in (None, 1, 1.0):
            raise TrainingError(
                f"models with {key} (this one has {getattr(config, key)}) cannot be trained here "
                "yet; choose another base model",
                code="base_model_unusable",
                param="model",
            )


def choose_dtype(precision: str) -> torch.dtype:
    """`auto` is bfloat16 where the GPU or CPU multiplies it by itself, else float32.

    A CPU without such instructions, and a GPU before Ampere, are slower with it.
    """
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    if torch.cuda.is_available():
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_fast = _is_bf16_fast()
    return torch.bfloat16 if is_fast else torch.float32


def _is_bf16_fast() -> bool:
    flags = Path("/proc/cpuinfo")
    text = flags.read_text() if flags.exists() else ""
    return "amx_bf16" in text or "avx512_bf16" in text


def trained_logprobs(model: Any, pack: Pack) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probability of each trained token, and whether it was the likeliest: both (N,).

    The output layer, a large share of a small model, runs for these tokens only.
    """
    language_model = model.get_base_model()
    device = next(model.parameters()).device
    with _in_bfloat16(model), attention.laid_out(pack.layout):
        hidden = language_model.model(
            input_ids=pack.ids.to(device),
            attention_mask=pack.can_see.to(device),
            position_ids=pack.positions.to(device),
            use_cache=False,
        ).last_hidden_state
    layer = language_model.lm_head
    # On a GPU some norms come out in float32 here.
    read = hidden[0, pack.readers.to(device)].to(layer.weight.dtype)
    return token_logprobs(read, layer, pack.targets.to(device))


@contextmanager
def _in_bfloat16(model: Any) -> Iterator[None]:
    """The adapter multiplies in bfloat16 where the base does; its weights stay float32.

    Left alone, PEFT widens what each adapted layer reads, and keeps the copy for the way back.
    """
    dtype = model.get_base_model().dtype
    if dtype != torch.bfloat16:
        yield
        return
    device = next(model.parameters()).device.type
    with disable_input_dtype_casting(model), torch.autocast(device, dtype=dtype):
        yield


def adapter_state(model: Any) -> dict[str, torch.Tensor]:
    """The adapter's weights under PEFT's own names, copied to the CPU."""
    from peft import get_peft_model_state_dict

    # Left to find out about embeddings, PEFT asks Hugging Face for the base, by its name.
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
