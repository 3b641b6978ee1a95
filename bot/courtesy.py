"""Courtesies: greetings, thanks and goodbyes, which ask nothing and need no model to answer."""

from bot.phrases import Phrase
from knowledge.words import same_words_key

_SAID = {
    Phrase.welcome: (
        "hello, hi, hey, hello there, hi there, hey there, good morning, good afternoon, "
        "good evening, good day, 你好, 您好, 你好啊, 嗨, 哈喽, 早上好, 上午好, 下午好, 晚上好, "
        "在吗, 你好在吗"
    ),
    Phrase.thanked: (
        "thanks, thank you, thank you very much, thank you so much, thanks a lot, many thanks, "
        "thx, ok thanks, ok thank you, great thanks, 谢谢, 谢谢你, 谢谢您, 谢谢啦, 多谢, 非常感谢, "
        "好的谢谢"
    ),
    Phrase.farewell: "bye, bye bye, goodbye, good bye, see you, good night, 再见, 拜拜, 晚安",
}
_ANSWERS = {
    same_words_key(said).replace(" ", ""): answer
    for answer, all_said in _SAID.items()
    for said in all_said.split(", ")
}


def answer_courtesy(text: str) -> str | None:
    """What one says to a message that is a courtesy and nothing more, in its language."""
    answer = _ANSWERS.get(same_words_key(text).replace(" ", ""))
    return answer.like(text) if answer else None
