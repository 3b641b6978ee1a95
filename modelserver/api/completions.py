"""/v1/completions"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from modelserver.api.answer import CHOICES, add_usage, stream_events, unless_gone
from modelserver.api.rooms import Here
from modelserver.api.sampling import Sampling
from modelserver.api.strict import StrictRoute, TokenNumbers
from modelserver.catalog import Model
from modelserver.engine import Chunk
from modelserver.errors import BadRequestError
from modelserver.ids import new_id, now

router = APIRouter(prefix="/v1/completions", tags=["completions"], route_class=StrictRoute)

_MAX_TOKENS = 16  # OpenAI's default

Prompt = str | TokenNumbers


class CreateCompletion(Sampling):
    prompt: Prompt | list[str] | list[TokenNumbers] = ""
    echo: bool | None = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None

    @property
    def prompts(self) -> list[Prompt]:
        """Texts, and token numbers of the model that is asked."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        numbers = [one for one in self.prompt if isinstance(one, int)]
        return [numbers] if numbers else [one for one in self.prompt if not isinstance(one, int)]

    def spread_prompts(self) -> list[dict[str, Any]]:
        wire = {"max_tokens": _MAX_TOKENS} | self.to_wire()
        if self.logprobs is not None:
            wire["logprobs"] = max(1, self.logprobs)
        return [one for p in self.prompts for one in self.spread(wire | {"prompt": p})]


@router.post("")
async def create(request: Request, here: Here, body: CreateCompletion) -> Response:
    model = here.catalog.find(body.model)
    _check_numbers(body, model)
    if body.echo and body.logprobs is not None and body.max_tokens == 0:
        raise BadRequestError(
            "echo: the prompt's own logprobs are not known here, so a prompt can't be scored; ask "
            "for some tokens (max_tokens) to get theirs.",
            param="echo",
        )
    wires = body.spread_prompts()
    if not 1 <= len(wires) <= CHOICES:
        raise BadRequestError(f"prompt: give 1 to {CHOICES} prompts, n included", param="prompt")
    chunks = _dress(here.generations.stream("completion", model, wires), model, body)
    if body.stream:
        return await stream_events(request, chunks)
    return JSONResponse(await unless_gone(request, _assemble(chunks, len(wires))))


def _check_numbers(body: CreateCompletion, model: Model) -> None:
    if all(isinstance(prompt, str) for prompt in body.prompts):
        return
    if body.model != model.name:
        raise BadRequestError(
            f"prompt: {body.model} stands for {model.name} here, whose token numbers mean other "
            f"texts: send texts, or ask for {model.name} with its own numbers.",
            param="prompt",
        )
    if body.echo:
        raise BadRequestError(
            "echo: the text of token numbers is not known here; send texts to get them back.",
            param="echo",
        )


async def _dress(
    source: AsyncGenerator[Chunk], model: Model, body: CreateCompletion
) -> AsyncGenerator[Chunk]:
    """The engine's chunks as the API has them; `echo` puts the prompt before its answer."""
    head = {
        "id": new_id("cmpl-", 29),
        "object": "text_completion",
        "created": now(),
        "model": model.name,
    }
    usages = []
    lengths: dict[int, int] = {}  # characters so far, by choice
    async with aclosing(source):
        async for chunk in source:
            if usage := chunk.get("usage"):
                usages.append(usage)
            for choice in chunk["choices"]:
                index, text = choice["index"], choice.get("text", "")
                if index not in lengths:
                    prompt = str(body.prompts[index // (body.n or 1)]) if body.echo else ""
                    lengths[index] = len(prompt)
                    if prompt:
                        yield head | {"choices": [_echo(prompt, index, body)]}
                dressed = _dress_choice(choice | {"text": text}, body, lengths[index])
                lengths[index] += len(text)
                yield head | {"choices": [dressed]}
    if body.wants_usage or not body.stream:
        yield head | {"choices": [], "usage": add_usage(usages, body.n or 1)}


def _echo(prompt: str, index: int, body: CreateCompletion) -> dict[str, Any]:
    """The prompt as if it were one token, of which nobody knows how likely it was."""
    unknown = {
        "tokens": [prompt],
        "token_logprobs": [None],
        "top_logprobs": [None],
        "text_offset": [0],
    }
    return {
        "index": index,
        "text": prompt,
        "logprobs": None if body.logprobs is None else unknown,
        "finish_reason": None,
    }


def _dress_choice(choice: dict[str, Any], body: CreateCompletion, offset: int) -> dict[str, Any]:
    logprobs = choice.get("logprobs") if body.logprobs is not None else None
    return {
        "index": choice["index"],
        "text": choice["text"],
        "logprobs": logprobs and _dress_logprobs(logprobs, body.logprobs or 0, offset),
        "finish_reason": choice["finish_reason"],
    }


def _dress_logprobs(logprobs: dict[str, Any], count: int, offset: int) -> dict[str, Any]:
    """The older shape: four lists of the same length."""
    tokens = logprobs["content"] or []
    offsets = [offset + sum(len(t["token"]) for t in tokens[:i]) for i in range(len(tokens))]
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [
            {top["token"]: top["logprob"] for top in token["top_logprobs"][:count]}
            for token in tokens
        ],
        "text_offset": offsets,
    }


async def _assemble(chunks: AsyncIterator[Chunk], n: int) -> dict[str, Any]:
    """A whole completion from its chunks."""
    choices: list[dict[str, Any]] = [
        {"index": i, "text": "", "logprobs": None, "finish_reason": "stop"} for i in range(n)
    ]
    whole: dict[str, Any] = {}
    async for chunk in chunks:
        whole |= chunk
        for piece in chunk["choices"]:
            _grow(choices[piece["index"]], piece)
    return whole | {"choices": choices}


def _grow(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    choice["text"] += piece["text"]
    choice["finish_reason"] = piece["finish_reason"] or choice["finish_reason"]
    if piece["logprobs"]:
        known = choice["logprobs"] or {key: [] for key in piece["logprobs"]}
        choice["logprobs"] = {key: known[key] + piece["logprobs"][key] for key in known}
