"""Questions: whether a message of a chat asks something, and whether it says anything at all."""

import re

_ASKS = re.compile(
    r"[?？]|"
    r"^\W*(?:how|what|when|where|which|who|why|can|could|do|does|did|is|are|was|will|would|should|"
    r"has|have|anyone|anybody|any idea|wie|was|wann|wo|warum|kann|gibt)\b|"
    r"\b(?:does anyone|do you know|is there|can i|could you|how do i)\b|"
    r"吗|呢\W*$|怎么|怎样|如何|多少|什么|哪[里个些儿]|几[点天个号]|能不能|可不可以|有没有|是不是|为什么|请问",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"\W*(?:ok(?:ay)?|k|yes|no|yep|nope|thanks?|thank you|thx|ty|lol|haha+|hi|hello|hey|bye|"
    r"good (?:morning|night|evening)|great|nice|cool|wow|\+1|same|me too|up|"
    r"好的?|嗯+|哦+|哈+|谢谢(?:你|您)?|多谢|收到|早|早上好|晚安|在吗|你好|您好|同问|顶|赞|是的?|不是|对)?\W*",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://\S+")


def asks(text: str) -> bool:
    """Whether it is a question that an answer can be given to."""
    return not is_chatter(text) and bool(_ASKS.search(_LINK.sub("", text)))


def is_chatter(text: str) -> bool:
    """A greeting, thanks, a smile: nothing that anybody would want to learn."""
    return bool(_CHATTER.fullmatch(text))
