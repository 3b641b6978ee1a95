"""One chat completion, streamed, with what it cost and how sure the model was."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import APIStatusError, AsyncOpenAI, AsyncStream, BadRequestError, OpenAIError

from bot.prompt import Chat
from bot.repetition import cut_loop
from store import Mask
from store.text import clean_text

OnText = Callable[[str], Awaitable[None]]
"""Is given the whole text so far, each time that it changes: grows, or is cut where it loops."""

_NEVER_WILL = (400, 413, 422)


class CompletionError(Exception):
    """The model gave no answer.

    CompletionError
    ├── ModelAwayError      may yet: unreachable, slow, still loading, failing, not known (yet)
    └── ModelRefusedError   never will: it does not take this prompt
    """


class ModelAwayError(CompletionError):
    """Worth another try later."""


class ModelRefusedError(CompletionError):
    """Trying the same prompt again is of no use."""


@dataclass(kw_only=True)
class Completion:
    """What came back."""

    model: str
    text: str = ""
    mean_logprob: float | None = None
    """None where the provider gives no log-probabilities, and where they say nothing."""
    is_looping: bool = False
    """It began to repeat itself, and was stopped; `text` is what it said before."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_at: float | None = None
    """By time.perf_counter."""
    _logprobs: list[float] = field(default_factory=list)
    _is_cut: bool = False

    def take(self, chunk: Any) -> bool:
        """Add what a chunk brings; whether the text is another now.

        Raises:
            LookupError, TypeError, AttributeError: this is no chunk of a chat completion.
        """
        if usage := chunk.get("usage"):
            self.prompt_tokens = usage.get("prompt_tokens")
            self.completion_tokens = usage.get("completion_tokens")
        if not chunk.get("choices"):
            return False
        choice = chunk["choices"][0]
        if logprobs := choice.get("logprobs"):
            self._logprobs += [token["logprob"] for token in logprobs.get("content") or ()]
        self._is_cut = choice.get("finish_reason") == "length"
        addition = (choice.get("delta") or {}).get("content")
        if not addition:
            return False
        self.first_token_at = self.first_token_at or time.perf_counter()
        self.text += addition
        if (kept := cut_loop(self.text)) is not None:
            self.text, self.is_looping = kept, True
        return True

    def end(self) -> None:
        is_cut = self._is_cut and not self.is_looping
        self.text = clean_text(self.text).strip() + ("…" if is_cut else "")
        if self.is_looping and self.completion_tokens is None:  # stopped before it was told
            self.completion_tokens = len(self._logprobs) or None
        if self._logprobs and not self.is_looping:  # who goes in circles is sure of each word
            self.mean_logprob = sum(self._logprobs) / len(self._logprobs)


async def complete(
    client: AsyncOpenAI,
    model: str,
    prompt: Chat,
    mask: Mask,
    *,
    timeout_s: float,
    on_text: OnText | None = None,
) -> Completion:
    """Ask the model; `on_text` follows the answer as it is written.

    Always streamed, because the first token is measured, and because a stream that has begun
    shows that the model is alive. One that begins to repeat itself is stopped.

    Raises:
        ModelAwayError, ModelRefusedError: with the reason, fit for a reviewer's eyes.
    """
    completion = Completion(model=model)
    try:
        async with asyncio.timeout(timeout_s):
            async with aclosing(_stream(client, model, prompt, mask)) as stream:
                async for chunk in stream:
                    if completion.take(chunk) and on_text:
                        await on_text(clean_text(completion.text.strip()))
                    if completion.is_looping:  # leaving the stream stops the model
                        break
    except TimeoutError:
        raise ModelAwayError(f"{model} took longer than {timeout_s:g} s") from None
    except APIStatusError as error:
        kind = ModelRefusedError if error.status_code in _NEVER_WILL else ModelAwayError
        raise kind(f"{model}: {error.status_code} {_first_line(error.message)}") from error
    except (OpenAIError, httpx2.HTTPError, ValueError) as error:
        raise ModelAwayError(f"{model}: {_first_line(str(error))}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise ModelAwayError(f"{model} sent what is no chunk of a chat completion") from error
    completion.end()
    if not completion.text:
        raise ModelAwayError(f"{model} answered nothing")
    return completion


async def _stream(client: AsyncOpenAI, model: str, prompt: Chat, mask: Mask) -> AsyncGenerator[Any]:
    """The chunks as JSON; without the extras where the provider does not take them.

    Some models refuse log-probabilities, a temperature or `max_tokens` with a 400.
    """
    asked: dict[str, Any] = {"model": model, "messages": prompt, "stream": True}
    extras = {
        "temperature": mask.temperature,
        "max_tokens": mask.max_tokens,
        "logprobs": True,
        "stream_options": {"include_usage": True},
    }
    try:
        stream = await _post(client, asked | extras)
    except BadRequestError:
        stream = await _post(client, asked | {"max_completion_tokens": mask.max_tokens})
    async with stream:
        async for chunk in stream:
            yield chunk


async def _post(client: AsyncOpenAI, body: dict[str, Any]) -> AsyncStream[object]:
    """The client's own way round its types: building them is most of what a token costs."""
    return await client.post(
        "/chat/completions",
        cast_to=object,
        body=body,
        options={"security": {"bearer_auth": True}},
        stream=True,
        stream_cls=AsyncStream[object],
    )


def _first_line(message: str) -> str:
    return message.strip().split("\n")[0][:200]
