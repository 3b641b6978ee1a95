"""Telling words: what carries the meaning of a question, in English and Chinese.

Left out are the words that any question has, whatever it is about. English words are stemmed as in
the lexical index. Chinese has no spaces: a character counts as said where it stands in the other
text beside a neighbour that it has here, so that 床架 is not said by 床垫 and 书架. Words of other
languages are all telling.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from knowledge.words import fold, same_words_key, words_of


def _words(text: str) -> frozenset[str]:
    return frozenset(words_of(text))


_SAYS_NOTHING = _words(
    "a an the i im id ive me my mine we us our you u ur r your yours guys he him his she her they "
    "them their it its this that these those there theres here someone somebody anyone one thing "
    "is are am was were be been being do does did have has had having get got can could will would "
    "shall should may might must ok okay possible "
    "what whats which how of in inside on at for to with by about as if and or so than then any "
    "some something anything w st nd rd th very quite "
    "please hi hello hey dear thanks thank thx sorry just really actually also "
    "want need like know tell say ask wonder give given offer make made let think mean "
    "recommend recommendation suggest advise advice best choice choose pick"
)
"""When, where, why, who, how long and how much are telling; and so are after, from, up and out."""
_SAYS_LITTLE = _words("bring come go going last happen")
"""Verbs that stand for others: "bring it" for "deliver it"."""
_NEGATES = _words(
    "no not none never nobody nothing nowhere neither nor without cannot cant couldnt wont wouldnt "
    "dont doesnt didnt isnt arent wasnt werent havent hasnt hadnt shouldnt mustnt neednt aint"
)
_DATES = _words(
    "monday tuesday wednesday thursday friday saturday sunday weekday weekend today tomorrow "
    "tonight january february march april june july august september october november december"
)
_CARDINALS = "two three four five six seven eight nine ten eleven twelve"
_ORDINALS = "second third fourth fifth sixth seventh eighth ninth tenth"
_NUMBERS = {
    word: str(value)
    for words in (_CARDINALS, _ORDINALS)
    for value, word in enumerate(words.split(), 2)
}
_ENDINGS = ("i", "li", "er", "eri", "est", "abl", "ment", "ness", "ful")
"""What the stemmer leaves of -y, -ly, -able and others: deliv and deliveri, wash and washabl."""
_LEAST_STEM = 4

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_DIGITS_END = re.compile(r"(?<=\d)(?=[^\W\d])|(?<=[^\W\d])(?=\d)")
_WEEK = re.compile(r"(?:星期|礼拜)(?=[一二三四五六日天])")
_WEEKDAY = re.compile(r"周[一二三四五六日末]")
_NUMERAL = re.compile(r"[一二两三四五六七八九十百千万]+")
_NUMERALS = {"两": 2} | {numeral: value for value, numeral in enumerate("一二三四五六七八九", 1)}
_ASKS_WHETHER = re.compile(r"(.)[不没]\1|[不没](?=\W*$)|\bor not(?=\W*$)")
"""能不能, 有没有 and 退吗不 negate nothing."""
_CJK_NEGATES = re.compile(r"[不没无未别勿非]")
_CJK_SAYS_NOTHING = re.compile(
    "不好意思|没问题|差不多|怎么样|怎么办|问一下|请问|想问|你好|您好|谢谢|麻烦|对不起"
    "|[你您我他她它]们|咱们|[这那哪][个些种款]|什么|怎么|怎样|如何|可以|能够|能否|可否|是否|需要|想要"
    "|应该|如果|要是|的话|知道|告诉|推荐|建议|一[下些般直起样定共会点个]|不过|不错|非常|特别|别的"
    "|[的地得了吗呢啊吧呀哦嘛么我你您他她它这那是有在能会可想要也就都还和跟与或把给对个请帮]"
)
"""The longer first."""


@dataclass(frozen=True, slots=True)
class TellingWord:
    """A word as it was written, and what it is known by: any of the keys."""

    word: str
    keys: frozenset[str]
    is_exact: bool = False
    """A number, a weekday or a month: no other form of it is the same."""

    def is_in(self, said: Collection[str]) -> bool:
        if not self.keys.isdisjoint(said):
            return True
        return not self.is_exact and any(_is_form_of(key, said) for key in self.keys)


@dataclass(frozen=True, slots=True)
class Telling:
    """What a question says."""

    words: tuple[TellingWord, ...]
    light: tuple[TellingWord, ...]
    """Those that say little."""
    negation: str | None
    """The word that negates, if any."""


def read_telling(question: str) -> Telling:
    """What carries the meaning of a question."""
    words: list[TellingWord] = []
    light: list[TellingWord] = []
    negation = None
    for run in _runs(_ASKS_WHETHER.sub(r"\1", _one_form(question))):
        if _CJK.match(run):
            negation = negation or _first(_CJK_NEGATES.findall(_CJK_SAYS_NOTHING.sub(" ", run)))
            words.extend(_cjk_words(run))
        elif (key := _key(run)) in _NEGATES:
            negation = negation or run
        elif key not in _SAYS_NOTHING:
            word = TellingWord(run, frozenset([key]), is_exact=key in _DATES or key.isdigit())
            (light if key in _SAYS_LITTLE else words).append(word)
    return Telling(tuple(words), tuple(light), negation)


def said_in(*texts: str) -> frozenset[str]:
    """The keys of all that is said in texts."""
    return frozenset(key for text in texts for key in _said(_one_form(text)))


def _said(text: str) -> Iterator[str]:
    for run in _runs(text):
        if _CJK.match(run):
            yield from words_of(run)
            yield from _WEEKDAY.findall(run)
            yield from map(_number, _NUMERAL.findall(_WEEKDAY.sub(" ", run)))
        else:
            yield _key(run)


def _one_form(text: str) -> str:
    """One form of what has several: 星期天 and 周日, 150kg and 150 kg."""
    folded = _WEEK.sub("周", fold(text)).replace("周天", "周日")
    return _DIGITS_END.sub(" ", folded)


def _runs(text: str) -> list[str]:
    """Words, and unbroken Chinese."""
    return same_words_key(text).split()


def _key(run: str) -> str:
    return _NUMBERS.get(run) or next(iter(words_of(run)), run)


def _cjk_words(run: str) -> Iterator[TellingWord]:
    """The telling characters, weekdays and numbers of unbroken Chinese."""
    for weekday in _WEEKDAY.findall(run):
        yield TellingWord(weekday, frozenset([weekday]), is_exact=True)
    rest = _CJK_NEGATES.sub(" ", _CJK_SAYS_NOTHING.sub(" ", _WEEKDAY.sub(" ", run)))
    for numeral in _NUMERAL.findall(rest):
        yield TellingWord(numeral, frozenset([_number(numeral)]), is_exact=True)
    for part in _NUMERAL.sub(" ", rest).split():
        for place, character in enumerate(part):
            beside = map("".join, pairwise(part[max(0, place - 1) : place + 2]))
            yield TellingWord(part, frozenset(beside) or frozenset([character]))


def _number(numeral: str) -> str:
    """十二 as 12; what is longer stays as it is written."""
    tens, ten, ones = numeral.partition("十")
    if len(tens) > 1 or len(ones) > 1 or not {*tens, *ones} <= _NUMERALS.keys():
        return numeral
    return str(_NUMERALS.get(tens, 1) * 10 + _NUMERALS.get(ones, 0) if ten else _NUMERALS[tens])


def _is_form_of(key: str, said: Collection[str]) -> bool:
    return any(
        (len(key) >= _LEAST_STEM and key + ending in said)
        or (len(stem := key.removesuffix(ending)) >= _LEAST_STEM and stem in said)
        for ending in _ENDINGS
    )


def _first(found: list[str]) -> str | None:
    return found[0] if found else None
