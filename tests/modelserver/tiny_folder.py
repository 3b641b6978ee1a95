"""A transformers folder of a random model with 2 layers, as Hugging Face would give it."""

from pathlib import Path
from typing import Any

from tests.modelserver.tiny_gguf import CONTEXT, KV_HEADS, LAYERS, SPECIAL, TEMPLATE

HEADS = 4
WIDTH, INNER = 48, 80  # no multiples of 32: kept in float16, so that answers are compared exactly
TEXT = [
    "The price of item 12 is 345 euros, isn't it? It'll be sent on Monday.",
    "Größe, naïve café, 你好，世界！ ١٢٣ 😀\n\n  indented\tand\r\nbroken   lines  ",
    "don't DON'T we've can't stop   12345 3.14 a_b-c/d",
]


def write_tiny_folder(path: Path, architecture: str = "LlamaForCausalLM", **config: Any) -> Path:
    """Write weights in bfloat16 and a byte-level BPE tokenizer trained on a few lines."""
    import torch
    import transformers

    kind = architecture.removesuffix("ForCausalLM").lower()
    tokenizer = _train_tokenizer(kind)
    settings = transformers.AutoConfig.for_model(
        kind,
        **{
            "vocab_size": len(tokenizer) + 3,  # models have more rows than tokens
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": CONTEXT,
            "initializer_range": 0.2,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            **config,
        },
    )
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(settings).to(torch.bfloat16)
    _shake(model)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _shake(model: Any) -> None:
    """Biases start at nothing and norms at one: a test would not see them lost."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)


def _train_tokenizer(kind: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from modelserver.vocabulary import _WORD_RULES

    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rule = next(rule for rule, name in _WORD_RULES.items() if name == _RULE_OF.get(kind, "qwen2"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(rule), "isolated"), letters]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    tokenizer.add_tokens(["<think>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        chat_template=TEMPLATE,
    )


_RULE_OF = {"llama": "llama-bpe"}
