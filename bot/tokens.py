"""Counts tokens well enough for a budget.

Budgets keep a prompt short for whatever model stands behind the base URL, and no tokenizer is
right for all of them; loading one would cost memory, or a download. So a token is taken to be
three bytes of UTF-8: one Chinese character, and a little less than the four letters that English
text has to a token. Budgets are then kept on the safe side by about a quarter.
"""

BYTES_PER_TOKEN = 3


def count_tokens(text: str) -> int:
    """About how many tokens the text has; 0 for an empty one."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int) -> str:
    """The beginning of the text within so many tokens, whole characters, `…` where it was cut."""
    if count_tokens(text) <= tokens:
        return text
    room = max(0, tokens * BYTES_PER_TOKEN - len("…".encode()))
    return text.encode()[:room].decode(errors="ignore").rstrip() + "…"
