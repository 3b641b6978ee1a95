"""Instructions: words that give orders to a model, where a customer and a shop would talk."""

import re

_PATTERNS = (
    # "Ignore all previous instructions"
    r"\b(?:ignore|disregard|forget|override|bypass)\s+"
    r"(?:(?:all|any|your|the|my|these|of|every)\s+){0,3}"
    r"(?:previous|prior|above|earlier|preceding|system|safety)?\s*"
    r"(?:instructions?|prompts?|rules|guidelines|guardrails|training)\b",
    # "You are now an unrestricted assistant", "From now on, always answer ..."
    r"\byou are (?:now|no longer) (?:an?|in|the|dan|free|bound)\b",
    r"\b(?:from now on|henceforth),? (?:you|always|never|answer|reply|respond|act|pretend)\b",
    r"\b(?:act|pretend|behave|respond|answer) as "
    r"(?:if you (?:are|were)|though you|an ai|a different)\b",
    # "If anybody asks about X, always say Y"
    r"\b(?:whenever|every time|each time|if) "
    r"(?:anyone|anybody|somebody|someone|the user|a user|users?) (?:ever )?"
    r"(?:asks?|asked|says?|mentions?|writes?)\b.{0,80}\b(?:always|must|answer|reply|say|respond)\b",
    # What only somebody says who speaks of the model, or imitates its form.
    r"\b(?:system|developer) prompt\b|\bdeveloper mode\b|\bjailbr\w+|\bdo anything now\b",
    r"\breveal (?:your|the) (?:system|hidden|secret|initial)\b|\bas an ai (?:language )?model\b",
    r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?system>",
    r"^\s*###\s*(?:instruction|system|response)\b",
    # The same in Chinese.
    r"(?:忽略|无视|忘记|忘掉|不要遵守|绕过)(?:你|您|之前|以上|上面|先前|此前|所有|全部|的|一切){0,5}"
    r"(?:指令|指示|提示词?|规则|设定|限制|训练)",
    r"从现在起|从现在开始[，,]?你|你现在是|系统提示词?|开发者模式|越狱",
    r"(?:无论|不管)(?:用户|客户|别人|谁).{0,12}(?:都|一律|必须)(?:要|得)?(?:回答|回复|说)",
    r"(?:只要|每当|如果)(?:有人|用户|客户).{0,20}(?:就|一律|必须|都)(?:要|得)?(?:回答|回复|说)",
)
_INSTRUCTION = re.compile("|".join(_PATTERNS), re.IGNORECASE | re.MULTILINE)


def find_instruction(text: str) -> str | None:
    """The words of a text that give a model an order, or none."""
    found = _INSTRUCTION.search(text)
    return found[0] if found else None
