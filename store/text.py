"""Text that every database keeps and every wire carries: no NUL, no half of a surrogate pair.

Models, damaged files, other programs' exports and browsers give both. PostgreSQL refuses them and
UTF-8 has no bytes for the latter. Whoever takes text in from outside cleans it, so that lengths,
hashes and comparisons are of what is kept; the database cleans all that it is given once more.
"""

from typing import Any


def clean_text(text: str) -> str:
    """Without NULs; two halves of a pair become their character, a lone one becomes U+FFFD."""
    if is_clean(text):
        return text
    units = text.replace("\0", "").encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace")


def is_clean(text: str) -> bool:
    """Whether `clean_text` would leave it as it is."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_values(value: Any) -> Any:
    """The same list, tuple or dictionary with every text in it clean; other values as they are."""
    match value:
        case str():
            return clean_text(value)
        case list():
            return [clean_values(each) for each in value]
        case tuple():
            return tuple(clean_values(each) for each in value)
        case dict():
            return {clean_values(key): clean_values(each) for key, each in value.items()}
    return value
