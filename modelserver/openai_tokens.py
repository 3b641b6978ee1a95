"""Token numbers of OpenAI's own tokenizer, as the text that they stand for."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from modelserver.errors import BadRequestError

_ENCODING = "cl100k_base"  # of all embedding models of OpenAI


def read_tokens(numbers: Sequence[int], place: str) -> str:
    """Half a character becomes U+FFFD. Raises BadRequestError, which names the `place`.

    The first call takes a third of a second and 80 MB.
    """
    try:
        text: str = _load().decode(list(numbers))
    except KeyError as error:
        raise BadRequestError(
            f"{place}: token numbers are read as OpenAI's {_ENCODING}, and one is none of them; "
            "send texts",
            param=place.partition("[")[0],
        ) from error
    return text


@cache
def _load() -> Any:
    import bpe_openai

    return bpe_openai.get_encoding(_ENCODING)
