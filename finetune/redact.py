"""Redact: personal details become placeholders before anything leaves the store.

E-mail addresses, phone numbers, bank cards, IBANs and national ids. What has a check digit is
checked, so that order numbers, prices and dates stay; what is written in the shop's own documents
(its telephone number, its address for returns) is public and stays too.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from phonenumbers import PhoneNumberMatcher
from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.cn import ric
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.us import ssn

PHONE_REGIONS = ("CN", "US", "GB")
"""Numbers without a country code are read as one of these."""


@dataclass(frozen=True)
class Redacted:
    """A text without personal details, and how many of each kind it had."""

    text: str
    found: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Found:
    kind: str
    start: int
    end: int
    detail: str


def redact(text: str, *, public: frozenset[str] = frozenset()) -> Redacted:
    """Put `[email]`, `[phone]`, `[card]`, `[iban]` or `[id]` where such a detail stands.

    The same detail always becomes the same placeholder, and a redacted text stays as it is.

    Args:
        public: details that may stay, as `find_details` gives them.
    """
    found: Counter[str] = Counter()
    for finder in _FINDERS:
        spans = [span for span in finder(text) if span.detail not in public]
        for span in sorted(spans, key=lambda span: span.start, reverse=True):
            text = f"{text[: span.start]}[{span.kind}]{text[span.end :]}"
            found[span.kind] += 1
    return Redacted(text, found)


def find_details(texts: Iterable[str]) -> frozenset[str]:
    """Every detail in the texts, in the form that `public` of `redact` compares.

    Phone matching makes this slow, about 5 ms for a kilobyte: call it in a thread.
    """
    return frozenset(span.detail for text in texts for finder in _FINDERS for span in finder(text))


def _find_emails(text: str) -> Iterator[_Found]:
    for match in _EMAIL.finditer(text):
        yield _Found("email", match.start(), match.end(), match[0].lower())


def _find_numbered(text: str) -> Iterator[_Found]:
    """What carries a check digit. A span is taken once, by the first kind that it fits."""
    taken = 0
    matches = ((m, kind, check) for kind, form, check in _NUMBERED for m in form.finditer(text))
    for match, kind, check in sorted(matches, key=lambda found: found[0].start()):
        if match.start() < taken or _is_named_number(text, match.start()):
            continue
        end = _end_of_valid(match[0], check)
        if not end:
            continue
        taken = match.start() + end
        yield _Found(kind, match.start(), taken, _compact(match[0][:end]))


def _end_of_valid(candidate: str, check: Callable[[str], bool]) -> int:
    """The length of the longest beginning that is valid, or 0: words may follow without a stop."""
    cuts = [len(candidate), *(m.start() for m in re.finditer(r"[ -]", candidate))]
    return max((cut for cut in cuts if check(_compact(candidate[:cut]))), default=0)


def _find_phones(text: str) -> Iterator[_Found]:
    if sum(map(str.isdigit, text)) < 7:
        return
    taken: set[int] = set()
    for region in PHONE_REGIONS:
        for match in PhoneNumberMatcher(text, region):
            raw = match.raw_string
            if region == "CN" and not _CHINESE_PHONE.match(raw):
                continue
            if match.start in taken or _is_named_number(text, match.start):
                continue
            taken.update(range(match.start, match.end))
            yield _Found("phone", match.start, match.end, _compact(raw).lstrip("+"))


def _is_named_number(text: str, start: int) -> bool:
    """Whether the words before say that this is a number of something else: an order, a model."""
    return _OTHER_NUMBER.search(text[max(0, start - 24) : start]) is not None


def _compact(value: str) -> str:
    return re.sub(r"[\s().-]", "", value).upper()


def _is_card(digits: str) -> bool:
    return digits[0] in "23456" and len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def _form(pattern: str) -> re.Pattern[str]:
    """Bounded by anything but Latin letters and digits: `\\b` knows no border in Chinese."""
    return re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])")


_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
_CHINESE_PHONE = re.compile(r"^\(?(?:\+|0|86|1[3-9]|400|800)")
_OTHER_NUMBER = re.compile(
    r"(?:#|№|\$|€|£|¥|\b(?:order|invoice|ticket|case|model|sku|item|tracking|serial|article|part)"
    r"(?:\s+(?:number|no|id|code))?|\b(?:no|nr|id)\.|订单|单号|型号|编号|运单|货号|发票)"
    r"[号码是为:：.\s#]*(?:is\s+)?$",
    re.IGNORECASE,
)
_NUMBERED: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "iban",
        _form(r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?"),
        iban.is_valid,
    ),
    ("id", _form(r"\d{17}[\dXx]"), ric.is_valid),  # Chinese resident id
    ("id", _form(r"\d{3}-\d{2}-\d{4}"), ssn.is_valid),
    ("id", _form(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), cpf.is_valid),
    ("id", _form(r"\d{8}-?[A-Z]"), dni.is_valid),
    ("id", _form(r"[XYZ]-?\d{7}-?[A-Z]"), nie.is_valid),
    ("id", _form(r"[A-Z]{6}\w{2}[A-Z]\w{2}[A-Z]\w{3}[A-Z]"), codicefiscale.is_valid),
    ("id", _form(r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}"), nir.is_valid),
    ("id", _form(r"\d{4} \d{4} \d{4}"), aadhaar.is_valid),
    ("card", _form(r"\d{4}(?:[ -]?\d){9,15}"), _is_card),
)
_FINDERS = (_find_emails, _find_numbered, _find_phones)
