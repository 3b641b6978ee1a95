"""Facts that expire: prices, dates, stock. They belong into the knowledge store, where they can be
changed in a minute, rather than into weights, where they stay until the next training."""

import re

_PRICE = re.compile(
    r"(?:[$€£¥￥]|\b(?:USD|EUR|GBP|CNY|RMB|CHF)\b)\s?\d[\d,.]*"
    r"|\d[\d,.]*\s?(?:[$€£¥￥]|(?:USD|EUR|GBP|CNY|RMB|CHF|euros?|dollars?|pounds?|cents?|bucks)\b)"
    r"|\d[\d,.]*\s?(?:元|块钱|块|万元|美元|欧元|港币)"
    r"|\b\d{1,2}\s?(?:%|percent)\s(?:off|discount|less)\b|\d(?:\.\d)?折",
    re.IGNORECASE,
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DATE = re.compile(
    rf"\b\d{{4}}-\d{{1,2}}-\d{{1,2}}\b|\b\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}\b"
    rf"|\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?\b|\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}\b"
    rf"|\b(?:until|till|by|from|since|before|as of|next|this|last)\s(?:the\s)?"
    rf"(?:{_MONTH}|{_DAY}|week|weekend|month|tomorrow|today|tonight)\b"
    rf"|\b(?:today|tomorrow|tonight)\s(?:only|from|until)\b|\b(?:only|just)\s(?:today|this week)\b"
    rf"|\b(?:black friday|cyber monday|limited time|while stocks last)\b"
    rf"|\d{{1,2}}月\d{{1,2}}[日号]|\d{{4}}年\d{{1,2}}月|(?:截止|截至|到|至)(?:本|下|这)?(?:周|月|年)[一二三四五六日末底]"
    rf"|(?:本|下|这)(?:周|个?月)|双(?:11|12|十一|十二)|限时",
    re.IGNORECASE,
)
_STOCK = re.compile(
    r"\b(?:in|out of|back in|low in|no longer in)\s(?:the\s)?stock\b|\bsold out\b|\brestock\w*"
    r"|\b(?:only\s)?\d+\s(?:\w+\s)?(?:left|remaining|available)\b|\b(?:un)?available again\b"
    r"|\bback ?order\w*|\bpre-?order\w*"
    r"|现货|缺货|有货|没货|无货|断货|补货|售罄|卖完|库存|只剩\d*|预售",
    re.IGNORECASE,
)
_KINDS = {"price": _PRICE, "date": _DATE, "stock": _STOCK}


def find_expiring(answer: str) -> list[str]:
    """Which kinds of facts that expire an answer states: price, date, stock."""
    return [kind for kind, pattern in _KINDS.items() if pattern.search(answer)]
