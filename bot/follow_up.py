"""Follow-ups: questions that say too little without the one before them.

"And how long does that take?" is looked up with what came before it. A question that stands by
itself is not: "What is the capital of France?", asked after one about mattresses, would be answered
with mattresses for sources instead of an honest "I don't know".
"""

import re

from knowledge.words import same_words_key


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POINTS_BACK = _words(
    "it its they them their theirs this that these those one ones both either neither another "
    "other others same instead else too also"
)
_GOES_ON = _words("and or but so then plus otherwise")
_SAYS_NOTHING = _words(
    "a an the i me my we us our you your he she his her is are am was were be been do does did can "
    "could may might will would shall should must have has had get got give tell show say know "
    "want need like please what whats which who whose when where why how much many long often far "
    "of in on at to for from with without by about as if not no yes ok any some more less there "
    "here then now just only really sure still again"
)
"""Function words and what people say around a question: without them its topic is left."""
_ENOUGH_WORDS = 2
"""Words of its own from which a question has a topic: "capital", "France"."""

# Without Hangul: Korean puts spaces between its words.
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_CJK_POINTS_BACK = re.compile(r"[它这那该其]|上面|刚才|刚刚|前面|一样|另外|别的|其他")
_CJK_GOES_ON = re.compile(r"^(?:还|也|再|或|但|那|然后|所以|如果是|要是)|[呢]$")
_ENOUGH_CHARACTERS = 5
"""多少钱 and 几天到货 need what came before; 法国的首都在哪里 does not."""


def is_follow_up(question: str) -> bool:
    """Whether a question leans on what was said before: it points back, goes on, or has no topic.

    By the form alone: cheap, the same in training and in answers, English and Chinese. Of other
    languages short questions count.
    """
    words = same_words_key(question).split()
    text = "".join(words)
    if _CJK.search(text):
        return (
            len(text) < _ENOUGH_CHARACTERS
            or _CJK_POINTS_BACK.search(text) is not None
            or _CJK_GOES_ON.search(text) is not None
        )
    if not words or words[0] in _GOES_ON or not _POINTS_BACK.isdisjoint(words):
        return True
    return sum(word not in _SAYS_NOTHING for word in words) < _ENOUGH_WORDS
