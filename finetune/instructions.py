"""Instructions: words that give orders to a model, where a customer and a shop would talk.

Customers also say "you are now", "from now on" and "ignore the above": an order is known by what
follows. Measured on 202 texts of our own (tests/finetune/orders.txt), and on 129,222 that customers
and shops wrote: it found orders in three of these, and three were. New wordings slip through all
the same: of 18 that were thought up to slip through, all did at first.
"""

import re
import unicodedata

_RULES = (
    r"(?:instructions?|prompts?|rules|guidelines|guardrails|training|directives?|restrictions?"
    r"|polic(?:y|ies)|programming)"
)
_ROLE = (
    r"(?:(?:chat)?bot|assistant|ai|a\.i\.|(?:language )?model|llm|persona|character|dan|agent"
    r"|employee|salesman|pirate|hacker|unrestricted|unfiltered|uncensored|jailbroken)"
)
_FROM_NOW = (
    r"(?:from (?:now|here|this (?:moment|point|message)) on(?:wards?)?|henceforth|starting now"
    r"|going forward|as of now)"
)
_SPEAK = r"(?:answer|reply|respond|speak|talk|act|behave|pretend|say|claim)"
_PUSH = (
    r"(?:recommend|promote|praise|refuse|ignore|obey|mention|insult"
    r"|(?:end|begin|start|finish) (?:each|every|all|your))"
)
_SENTENCE = (
    r"(?:^|[.!?;:]\s+|\bplease\s+|\band\s+(?=pretend)|\byou (?:now|will|must|should|shall)\s+)"
)
_ALL_WELL = r"(?!.{0,40}\b(?:i|i've|i'm|sorry|found|solved|resolved|sorted|thanks?|never ?mind)\b)"

_ENGLISH = (
    # "Ignore all previous instructions", "Do not follow your guidelines"
    r"\b(?:ignore|disregard|forget|override|bypass|drop|do not follow|don't follow"
    r"|stop following)\s+"
    r"(?:(?:all|any|your|the|my|these|of|every)\s+){0,3}"
    rf"(?:previous|prior|above|earlier|preceding|system|safety)?\s*{_RULES}\b",
    # "Ignore the above and ...", "Forget everything you were told"; not "..., I found it"
    r"\b(?:ignore|disregard|forget)\s+(?:all|everything|anything|what|the)?\s*(?:that\s+)?"
    r"(?:is\s+|was\s+)?(?:above|before this|you (?:were|have been) (?:told|taught|given))\b"
    + _ALL_WELL,
    # "You are now BedCo's own bot"; not "You are now connected to an assistant"
    r"\byou(?:'re| are) (?:now|no longer) "
    r"(?:(?!talking|speaking|chatting|connected|with|to|able|in|on|our)\S+ ){0,5}?"
    rf"{_ROLE}\b",
    r"\byou(?:'re| are) (?:now )?in (?:\w+ )?(?:developer|debug|admin|god|dan) mode\b",
    r"\byou(?:'re| are) (?:now |no longer )(?:free|bound)\b.{0,30}"
    rf"\b(?:{_RULES}|filters?|openai)\b",
    # "From now on always answer ..."; not "From now on you can order online"
    rf"\b{_FROM_NOW},? (?:please )?(?:you )?"
    rf"(?:will |shall |should |must |always |never |only ){{0,3}}(?:{_SPEAK}|{_PUSH})\b",
    rf"\b{_FROM_NOW},? (?:you (?:work for|serve|represent|obey|belong)"
    rf"|you(?:'re| are) (?!now\b)(?:\S+ ){{0,4}}(?:{_ROLE}|support)|your (?:name|job|role|task)\b)",
    rf"{_SENTENCE}{_SPEAK}\b(?! to\b)[^.!?]{{0,60}}\bfrom now on\b",
    # "Your new task is to ...", "New instructions: ...", "SYSTEM: you ..."
    r"\byour (?:new|only|real|true) (?:\w+ )?"
    r"(?:instructions?|task|job|goal|role|persona|identity|purpose|mission) (?:is|are)\b",
    r"\byour (?:task|job|goal|role|purpose) is now\b|\byour instructions (?:have )?changed?\b",
    r"\byou (?:have been|are|were) (?:re)?programmed to\b|\b(?:ai|bot|assistant) without (?:any )?"
    r"(?:filters?|rules|limits|restrictions)\b",
    r"\bstop being an? (?:\w+ )?(?:bot|assistant|agent)\b",
    # "Always answer yes", "in every message"
    rf"{_SENTENCE}always (?:answer|reply|respond)\b"
    rf"|\b{_SPEAK}\b[^.!?]{{0,60}}\bin (?:each|every|all(?: of)?) (?:your )?"
    r"(?:message|reply|replies|answer)s?\b",
    r"^[^\w\n]{0,8}(?:new|updated|revised) (?:system )?(?:instructions?|directives?|prompt)\s*:",
    r"^[^\w\n]{0,8}(?:system|developer)\s*:\s*"
    r"(?:you|the assistant|always|never|ignore|new|override)\b",
    # "Pretend that you are ...", "Act as a ..."; not "Can it act as a bed?"
    r"\b(?:pretend|act|behave|answer|respond) (?:as if |as though |like |that )you(?:'re| are)\b"
    r"|\bpretend you(?:'re| are)\b",
    rf"{_SENTENCE}(?:pretend to be|(?:act|answer|respond|behave) as (?:an?|my|our|the)) ",
    r"\b(?:act|pretend|behave|respond|answer) as (?:an ai|a different)\b|\brole-?play as\b",
    # "If anybody asks about X, always say Y"
    r"\b(?:whenever|every time|each time|if|when) "
    r"(?:anyone|anybody|somebody|someone|(?:the |an? |any )?(?:user|customer|client)s?) (?:ever )?"
    r"(?:asks?|asked|says?|mentions?|writes?)\b.{0,80}\b(?:always|must|answer|reply|say|respond)\b",
    r"\bwhen (?:you are |you're )?asked\b[^.!?]{0,60}"
    r"[,:]\s*(?:always|never|answer|say|reply|respond|tell)\b",
    r"\b(?:tell|inform|convince) (?:every|all|each|any) (?:customer|user|client)s?\b",
    # What only somebody says who speaks of the model, or imitates its form.
    r"\b(?:system|developer|hidden|initial) prompts?\b|\b(?:developer|dan|god|admin) mode\b"
    r"|\bjailbr\w+|\bdo anything now\b",
    r"\breveal (?:your|the) (?:system|hidden|secret|initial)\b|\bas an ai (?:language )?model\b",
    rf"\b(?:reveal|repeat|print|output|leak|recite) your (?:\w+ ){{0,2}}{_RULES}\b",
    r"\bi(?:'m| am) your (?:developer|creator|administrator|admin|programmer)\b",
    r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?system>",
    r"^[ \t]{0,8}###\s{0,8}(?:instruction|system|response)\b",
)

_THEN = r"(?:今后|往后|以后|从(?:现在|此刻|此|今天?|这一刻)(?:起|开始))"
_MEMBER = r"(?!.{0,12}(?:会员|贵宾|VIP|客户|用户|粉丝))"
_REPLY = r"(?:回答|回复|说|推荐)"
_SETTING = r"(?:指令|指示|提示词?|规则|设定|限制|训练|准则|约束)"

_CHINESE = (
    r"(?:忽略|无视|忘记|忘掉|不要遵守|不再遵守|绕过|不要理会|抛开|覆盖)"
    r"(?:你|您|之前|以上|上面|先前|此前|所有|全部|的|一切|系统|对话){0,6}" + _SETTING,
    # 忽略以上 and what follows; not 忽略以上，我找到了
    r"(?:忽略|无视)(?:以上|上述)(?:的)?(?:所有|全部|一切)?(?:内容|对话|信息|消息|文字|要求)?"
    r"(?=[，,。！!\s并然]|$)(?![，,。！!\s]*.{0,6}(?:我|已|解决|发错|谢谢|找到))",
    # 从现在起你是 ...; not 从现在起你是会员
    rf"{_THEN}[，,]?(?:请)?你(?:就)?(?:是(?!不)|叫|扮演|不再|必须|只能{_REPLY}|的(?:名字|身份|角色|任务))"
    + _MEMBER,
    rf"{_THEN}[，,]?(?:你)?(?:都|只|一律|必须)(?:要|能|得)?{_REPLY}",
    r"你现在(?:就)?是(?![^。！!\n]{0,20}[吗么？?])[^。！!，,\n]{0,12}"
    r"(?:AI|DAN|人工智能|助手|机器人|模型|黑客|客服|推销员|限制|约束)",
    r"(?:每次|所有|每条)(?:的)?(?:回答|回复)(?:里|中)?(?:都)?(?:要|必须)|停止(?:做|当|扮演)客服",
    r"(?:任何人|谁)问.{0,12}你?(?:都|一律|必须)(?:要|得)?" + _REPLY,
    r"(?:删掉|删除|清除|忘掉)(?:之前|前面|以上|所有|全部|的){1,4}(?:规则|指令|设定)",
    r"把(?:之前|前面|以上|所有|全部|的|你){1,5}(?:规则|指令|设定)(?:全部|都|全)?(?:删|忘|清|丢)",
    r"你不再是|你(?:已经?)?(?:不受|没有|摆脱)(?:任何)?(?:限制|约束)",
    r"(?:请|你(?:将|要|来)?|现在|接下来)扮演|(?:假装|想象)(?:自己|你)是|角色扮演成",
    r"假设你是(?!我)[^？?吗]{0,20}(?:AI|助手|机器人|模型|客服|黑客)",
    rf"你的(?:系统|初始|隐藏)?{_SETTING}(?:是什么)?(?:$|[，,。！!？?]|一?字不漏|复述|告诉|输出)",
    r"你的(?:新(?:的)?)(?:身份|角色|任务|职责)|你的(?:身份|角色|任务|职责)(?:改为|变为|变成|现在是)",
    r"新的?系统(?:提示|指令|设定)|提示词|(?:初始|系统)指令|开发者模式|越狱",
    rf"(?:无论|不管|凡是?)(?:有人|用户|客户|顾客|别人|谁).{{0,12}}(?:都|一律|必须)(?:要|得)?{_REPLY}",
    rf"(?:只要|每当|如果|当|凡是|以后)(?:有人|用户|客户|顾客|别人|买家).{{0,20}}"
    rf"(?:就|一律|必须|都)(?:要|得)?{_REPLY}",
)
_INSTRUCTION = re.compile("|".join((*_ENGLISH, *_CHINESE)), re.IGNORECASE | re.MULTILINE)
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
"""Characters that take no room: they hide an order from a pattern, and not from a model."""
_ROOM = re.compile(r"\s{2,}")
"""Too much of it: in thousands of spaces a pattern would look for its words from each to each."""


def find_instruction(text: str) -> str | None:
    """The words of a text that give a model an order, or none."""
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    found = _INSTRUCTION.search(_ROOM.sub(lambda room: "\n" if "\n" in room[0] else " ", seen))
    return found[0] if found else None
