"""Probes: prompts of the training file with what the trained model writes next.

The server answers the same prompts before the job succeeds, see `modelserver/parity.py`.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import torch

from modelserver.training.order import Order
from modelserver.training.render import Prompt, render_prompt

PROBES = 6
ANSWER_TOKENS = 12
_MOST_PROMPT_TOKENS = 512  # longer prompts prove no more, and take their time
_LOOKED_AT = 300  # lines
_NEIGHBOURS = 20  # how many of the likeliest tokens are told at each place


def write_probes(order: Order, tokenizer: Any, model: Any) -> None:
    """JOB_DIR/probes.json; an empty list where no line of the file serves for it."""
    chosen = _choose(order, tokenizer)
    model.eval()
    answers = _write_greedily(model, [prompt.ids for _, prompt in chosen]) if chosen else ()
    model.train()
    probes = [
        {
            "line": line,
            "kind": prompt.kind,
            "request": prompt.request,
            "prompt_tokens": len(prompt.ids),
            "steps": _tell_path(tokenizer, logprobs),
        }
        for (line, prompt), logprobs in zip(chosen, answers, strict=True)
    ]
    (order.folder / "probes.json").write_text(json.dumps(probes))


def _choose(order: Order, tokenizer: Any) -> list[tuple[int, Prompt]]:
    """Some lines spread over the beginning of the file."""
    found = list(itertools.islice(_prompts(order, tokenizer), _LOOKED_AT))
    fit = [(line, prompt) for line, prompt in found if len(prompt.ids) <= _MOST_PROMPT_TOKENS]
    stride = max(1, len(fit) // PROBES)
    return fit[::stride][:PROBES]


def _prompts(order: Order, tokenizer: Any) -> Iterator[tuple[int, Prompt]]:
    with order.training_file.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            prompt = render_prompt(tokenizer, json.loads(line)) if line.strip() else None
            if prompt is not None:
                yield number, prompt


@torch.no_grad()
def _write_greedily(model: Any, prompts: list[list[int]]) -> torch.Tensor:
    """Log-probabilities along the likeliest path: (prompts, ANSWER_TOKENS, vocabulary)."""
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
    seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    positions = (seen.cumsum(-1) - 1).clamp(min=0)
    cache, rows = None, []
    for _ in range(ANSWER_TOKENS):
        out = model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        rows.append(out.logits[:, -1].float().log_softmax(-1).cpu())
        ids = rows[-1].argmax(-1).to(device)[:, None]
        seen = torch.cat([seen, torch.ones_like(ids)], dim=-1)
        positions = positions[:, -1:] + 1
    return torch.stack(rows, dim=1)


def _tell_path(tokenizer: Any, logprobs: torch.Tensor) -> list[dict[str, Any]]:
    """Each token of the likeliest path with its likeliest alternatives, up to the answer's end."""
    special = _special_ids(tokenizer)
    steps: list[dict[str, Any]] = []
    for row in logprobs:
        top = row.topk(min(_NEIGHBOURS, len(row)))
        token = int(top.indices[0])
        path = [*(step["token"] for step in steps), token]
        steps.append(
            {
                "token": token,
                "near": dict(zip(map(str, top.indices.tolist()), top.values.tolist(), strict=True)),
                "end": max((float(row[other]) for other in special), default=None),
                "is_end": token in special,
                # llama.cpp keeps back what is no whole letter yet.
                "is_shown": not tokenizer.decode(path).endswith("\ufffd"),
            }
        )
        if token in special:
            break
    return steps


def _special_ids(tokenizer: Any) -> list[int]:
    added = tokenizer.added_tokens_decoder.items()
    return sorted({*tokenizer.all_special_ids, *(n for n, token in added if token.special)})
