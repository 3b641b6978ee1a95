"""The fixed texts that a customer may get, in the language that they wrote in."""

import re
from enum import Enum

_HAN = re.compile(r"[\u3400-\u9fff]")


class Phrase(Enum):
    """Each in English and Chinese."""

    unknown = (
        "I don't know that, sorry. I have asked a colleague to look at your question.",
        "抱歉，这个问题我不清楚。我已请同事来看您的问题。",
    )
    notice = (
        "I cannot answer right now. Your message is safe with me, and the answer follows.",
        "我现在暂时无法回答。您的消息已收到，稍后回复您。",
    )
    empty = (
        "Your message came without any text. What would you like to know?",
        "您的消息没有文字内容。请问您想了解什么？",
    )
    attachment = (
        "I can only read text, so I could not open what you sent ({attachment}). "
        "Please tell me in words.",
        "我只能阅读文字，无法打开您发送的内容（{attachment}）。请用文字告诉我。",
    )
    too_long = (
        "Your message has {length:,} characters, and I can read {limit:,} at once. "
        "Please shorten it, or send it in parts.",
        "您的消息有 {length:,} 个字符，我一次最多阅读 {limit:,} 个。请缩短或分段发送。",
    )
    reset = (
        "Let's start afresh: I have put our conversation so far aside.",
        "好的，我们重新开始：之前的对话我先放到一边。",
    )
    forget = (
        "I am deleting our conversation now, and I will learn nothing from it.",
        "我正在删除我们的对话，也不会从中学习任何内容。",
    )
    welcome = (
        "Hello! What would you like to know?",
        "您好！请问您想了解什么？",
    )
    thanked = (
        "You're welcome! Is there anything else you would like to know?",
        "不客气！还有什么想了解的吗？",
    )
    farewell = (
        "Goodbye! Write again whenever you like.",
        "再见！有问题随时再来问我。",
    )
    help = (
        "Write your question, and I answer it or ask a colleague to. /reset starts afresh, "
        "/forget deletes what we said.",
        "请直接提问，我会回答，或请同事来回答。发送 /reset 可重新开始，/forget 可删除我们的对话。",
    )

    def like(self, text: str, **values: object) -> str:
        """The phrase in the language of a text: Chinese where it has Chinese characters."""
        english, chinese = self.value
        return str(chinese if _HAN.search(text) else english).format(**values)
