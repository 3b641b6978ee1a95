"""Addresses: a house number in a street, in English and in Chinese, by pattern.

The number makes the address: a street or a town alone tells nobody where somebody lives. Words that
also mean something else (Way, Court, Place) count with a capital only, and stop words between the
number and the street's kind say that it is none ("2 beds on the road").
"""

import re
from collections.abc import Iterator


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where each address begins and ends."""
    for pattern in (_CHINESE, _ENGLISH, _POST_BOX, _UK_POSTCODE, _US_PLACE):
        for match in pattern.finditer(text):
            yield match.span()


_STOP = (
    r"(?!(?i:the|a|an|of|on|in|to|at|by|my|our|your|is|are|and|or|for|from|per|with|days?|nights?"
    r"|hours?|minutes?|miles?|km|m|cm|euros?|dollars?|beds?|pieces?|times?|percent)\b)"
)
_KINDS = r"street|avenue|boulevard|road|lane|crescent|highway|parkway"
_SHORT_KINDS = (
    r"St\b\.?|Ave\b\.?|Blvd\b\.?|Rd\b\.?|Ln\b\.?|Dr\b\.?|Hwy\b\.?|Pkwy\b\.?|Drive|Court|Ct\b\.?"
    r"|Place|Pl\b\.?|Square|Sq\b\.?|Terrace|Way|Close|Gardens|Mews|Row|Walk|Alley|Quay|Circle|Loop"
)
_UNIT = r"(?:,?\s+(?:(?:Apt|Apartment|Flat|Unit|Suite|Ste|Room|Floor)\b\.?|#)\s*\w{1,6})?"
_TOWN = r"(?:,\s*[A-Z][\w.'-]+(?:\s[A-Z][\w.'-]+){0,2})?"
_STATE = r"(?:,?\s+[A-Z]{2}\s+\d{5}(?:-\d{4})?)?"
_POSTCODE = r"(?:,?\s+[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b)?"
_LATIN_EDGE = r"(?<![A-Za-z0-9$€£¥.,-])"

_ENGLISH = re.compile(
    rf"{_LATIN_EDGE}(?:(?:Flat|Apt\.?|Unit)\s\w{{1,4}},?\s)?\d{{1,5}}[A-Za-z]?,?\s"
    rf"(?:(?:{_STOP}[A-Za-z0-9'.-]+\s){{1,4}}(?i:{_KINDS})\b"
    rf"|(?:{_STOP}[A-Z0-9][\w'.-]*\s){{1,4}}(?:{_SHORT_KINDS})(?![a-z]))(?:\s[NS]?[EW]?\b)?"
    rf"{_UNIT}{_TOWN}{_STATE}{_POSTCODE}"
)
_POST_BOX = re.compile(r"\bP\.?\s?O\.?\s?Box\s\d{1,6}\b", re.IGNORECASE)
_UK_POSTCODE = re.compile(
    r"(?<![A-Za-z0-9-])(?!\w+\s\d(?:XL|GB|TB|MB|KG|CM|MM)\b)"
    r"(?:[A-PR-UWYZ][A-HK-Y]\d{1,2}|[A-PR-UWYZ][A-HK-Y]\d[A-HJKMNPRSTUVWXY]|[A-PR-UWYZ]\d[A-Z])"
    r"\s\d[ABD-HJLNP-UW-Z]{2}(?![A-Za-z0-9])"
)
_US_PLACE = re.compile(
    r"\b[A-Z][a-z]+(?:\s[A-Z][a-z]+)?,\s(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA"
    r"|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])\s\d{5}(?:-\d{4})?\b"
)

_NAME = r"[^\W\d_A-Za-z的了在到是往寄发送住给址为吗呢和与请我你您有个]"
_PROVINCES = (
    r"(?:北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东"
    r"|海南|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)"
)
_PLACE = (
    rf"(?:{_PROVINCES}(?:省|市|自治区|特别行政区)?|{_NAME}{{2,4}}(?:市|区|县|旗)"
    rf"|{_NAME}{{1,4}}(?:镇|乡|街道))"
)
_STREET = (
    rf"{_NAME}{{1,8}}(?:大道|大街|路|街|巷|弄|胡同|里|村|小区|社区|花园|公寓|大厦|广场|苑|新村)"
)
_HOUSE = (
    r"\s?(?:[东西南北中一二三四五六七八九](?:段|侧|口))?[一二三四五六七八九十百\d]{1,5}[A-Za-z]?"
    r"(?:号(?!店|线|发|出|之前|前|到|左右|晚|早)(?:楼|院|门|库)?|弄|栋|幢|座|单元|室)"
    r"(?:[-－,， ]?\w?\d{0,5}[A-Za-z]?(?:号楼|号|弄|栋|幢|座|单元|楼|层|室|房))*(?:[-－]?\d{3,4})?"
)
_CHINESE = re.compile(rf"(?:{_PLACE}\s?){{0,4}}(?:{_STREET}){{1,2}}{_HOUSE}")
