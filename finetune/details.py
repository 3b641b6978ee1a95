"""Details: where a text has something that tells who somebody is, or how to reach them.

E-mail addresses, phone numbers, bank cards, IBANs, national ids, postal addresses. What has a check
digit is checked, and what is named as a number of something else is left, so that order numbers,
prices and dates are none.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from phonenumbers import PhoneNumberMatcher
from stdnum import iban, luhn
from stdnum.be import nn as be_nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ch_ssn
from stdnum.cn import ric
from stdnum.de import idnr as de_idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.my import nric
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import ssn

from finetune.addresses import find_addresses

PHONE_REGIONS = ("CN", "US", "GB")
"""Numbers without a country code are read as one of these."""


@dataclass(frozen=True, order=True)
class Detail:
    """One detail, from `start` to before `end`; `value` is its one form, however it is written."""

    start: int
    end: int
    kind: str
    value: str


def find_details(text: str) -> list[Detail]:
    """Every detail of a text, in order; no two overlap.

    Phone matching makes this slow, about 5 ms for a kilobyte: call it in a thread.
    """
    plain = text.translate(_NARROW)
    found: list[Detail] = []
    for finder in (_find_emails, _find_numbered, _find_phones, _find_addresses):
        found += (new for new in finder(plain) if not any(_overlap(new, old) for old in found))
    return sorted(found)


def compact(value: str) -> str:
    """A number without what only makes it easier to read."""
    return re.sub(r"[\s().-]", "", value).upper()


def _overlap(one: Detail, other: Detail) -> bool:
    return one.start < other.end and other.start < one.end


def _find_emails(text: str) -> Iterator[Detail]:
    for match in _EMAIL.finditer(text):
        yield Detail(match.start(), match.end(), "email", match[0].lower())


def _find_addresses(text: str) -> Iterator[Detail]:
    for start, end in find_addresses(text):
        yield Detail(start, end, "address", re.sub(r"\W+", "", text[start:end]).casefold())


def _find_numbered(text: str) -> Iterator[Detail]:
    """What carries a check digit; where several begin at one place, the longest."""
    valid = [
        Detail(match.start(), match.start() + end, number.kind, compact(match[0][:end]))
        for number in _NUMBERED
        for match in number.form.finditer(text)
        if _may_be(number, text, match.start())
        and (end := _end_of_valid(match[0], number.is_valid))
    ]
    taken = 0
    for detail in sorted(valid, key=lambda detail: (detail.start, -detail.end)):
        if detail.start >= taken:
            taken = detail.end
            yield detail


def _may_be(number: "_Numbered", text: str, start: int) -> bool:
    """Whether the words before do not say otherwise, and name it where they must."""
    if _is_of_something_else(text, start):
        return False
    return not number.is_weak or bool(_ID_WORD.search(text[max(0, start - 32) : start]))


def _end_of_valid(candidate: str, check: Callable[[str], bool]) -> int:
    """The length of the longest beginning that is valid, or 0: words may follow without a stop."""
    cuts = [len(candidate), *(m.start() for m in re.finditer(r"[ -]", candidate))]
    return max((cut for cut in cuts if check(compact(candidate[:cut]))), default=0)


def _find_phones(text: str) -> Iterator[Detail]:
    if sum(map(str.isdigit, text)) < 7:
        return
    taken: set[int] = set()
    for region in PHONE_REGIONS:
        for match in PhoneNumberMatcher(text, region):
            raw = match.raw_string
            if region == "CN" and not _CHINESE_PHONE.match(raw):
                continue
            if match.start in taken or _is_of_something_else(text, match.start):
                continue
            taken.update(range(match.start, match.end))
            yield Detail(match.start, match.end, "phone", compact(raw).lstrip("+"))


def _is_of_something_else(text: str, start: int) -> bool:
    """Whether the words before say that this is a number of something else: an order, a model."""
    return _OTHER_NUMBER.search(text[max(0, start - 24) : start]) is not None


@dataclass(frozen=True)
class _Numbered:
    """A kind of number: how it is written, and when it is one."""

    kind: str
    pattern: str
    is_valid: Callable[[str], bool]
    is_weak: bool = False
    """Many other numbers would pass its check: it counts only where words before name it."""

    @cached_property
    def form(self) -> re.Pattern[str]:
        """Bounded by anything but Latin letters and digits: `\\b` knows no border in Chinese."""
        return re.compile(rf"(?<![A-Za-z0-9])(?:{self.pattern})(?![A-Za-z0-9])")


def _is_card(digits: str) -> bool:
    return digits[0] in "23456" and len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def _is_resident_id(number: str) -> bool:
    return bool(ric.is_valid(number))


_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""Full-width letters and digits as their narrow ones: one for one, so that places stay."""
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+(?:@|\s?[(\[]at[)\]]\s?)"
    r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
_CHINESE_PHONE = re.compile(r"^\(?(?:\+|0|86|1[3-9]|400|800)")
_OTHER_NUMBER = re.compile(
    r"(?:#|№|\$|€|£|¥|\b(?:order|invoice|ticket|case|model|sku|item|tracking|serial|article|part"
    r"|parcel|shipment|reference|ref|batch|coupon|voucher|code|isbn|ean)"
    r"(?:\s+(?:number|no|id|code))?|\b(?:no|nr|id)\.|订单|单号|型号|编号|运单|货号|发票|流水|批次|条码"
    r"|优惠码|快递)"
    r"[号码是为:：.\s#]*(?:(?:is|was)\s+)?$",
    re.IGNORECASE,
)
_ID_WORD = re.compile(
    r"(?:\b(?:id|identity|identification|national|citizen|personal|passport|tax|insurance|health"
    r"|nhs|bsn|sofi|pesel|sin|idnr|steuer-?id|kimlik|tckn)\b|证件|身份证|护照)[^.!?。！？]{0,20}$",
    re.IGNORECASE,
)
_NUMBERED: Sequence[_Numbered] = (
    _Numbered(
        "iban",
        r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?",
        iban.is_valid,
    ),
    _Numbered("id", r"\d{17}[\dXx]|\d{6} \d{8} \d{3}[\dXx]", _is_resident_id),  # China
    _Numbered("id", r"\d{3}-\d{2}-\d{4}", ssn.is_valid),  # United States
    _Numbered("id", r"\d{3}\.\d{3}\.\d{3}-\d{2}", cpf.is_valid),  # Brazil
    _Numbered("id", r"\d{8}-?[A-Z]", dni.is_valid),  # Spain
    _Numbered("id", r"[XYZ]-?\d{7}-?[A-Z]", nie.is_valid),  # Spain, foreigners
    _Numbered("id", r"[A-Z]{6}\w{2}[A-Z]\w{2}[A-Z]\w{3}[A-Z]", codicefiscale.is_valid),  # Italy
    _Numbered("id", r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}", nir.is_valid),  # France
    _Numbered("id", r"\d{4} \d{4} \d{4}", aadhaar.is_valid),  # India
    _Numbered("id", r"\d{6}-[1-8]\d{6}", rrn.is_valid),  # South Korea
    _Numbered("id", r"(?:\d{2})?\d{6}[-+]\d{4}", personnummer.is_valid),  # Sweden
    _Numbered("id", r"\d{6}[-+A]\d{3}[0-9A-Y]", hetu.is_valid),  # Finland
    _Numbered("id", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", be_nn.is_valid),  # Belgium
    _Numbered("id", r"756[.]\d{4}[.]\d{4}[.]\d{2}", ch_ssn.is_valid),  # Switzerland
    _Numbered("id", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", curp.is_valid),  # Mexico
    _Numbered("id", r"\d{6}-\d{2}-\d{4}", nric.is_valid),  # Malaysia
    _Numbered("id", r"\d{11}", pesel.is_valid, is_weak=True),  # Poland
    _Numbered("id", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", de_idnr.is_valid, is_weak=True),  # Germany
    _Numbered("id", r"\d{11}", tckimlik.is_valid, is_weak=True),  # Turkey
    _Numbered("id", r"\d{9}", bsn.is_valid, is_weak=True),  # Netherlands
    _Numbered("id", r"\d{3}[ -]?\d{3}[ -]?\d{4}", nhs.is_valid, is_weak=True),  # England
    _Numbered("id", r"\d{3}[ -]?\d{3}[ -]?\d{3}", sin.is_valid, is_weak=True),  # Canada
    _Numbered("card", r"\d{4}(?:[ -]?\d){9,15}", _is_card),
)
