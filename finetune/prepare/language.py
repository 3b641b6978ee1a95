"""The language of a text, by its script and its commonest words.

Libraries that tell a hundred languages keep 80 MB and more in memory, a third of what a million
examples may take here; the report only has to show that a file is not in the language one thought.
"""

import re

_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
    ("uk", re.compile("[іїєґІЇЄҐ]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
)
_WORDS = {
    "en": "the is are you to of and a in for it do what how can i my we your not with have will",
    "de": "der die das und ist ich sie nicht ein eine wie wir es zu mit für auf haben kann den",
    "fr": "le la les de des et est je vous un une que pas pour dans en nous votre ne du avec au",
    "es": "el la los de y es que en un una por para no con se mi su cómo qué puedo del al como",
    "pt": "o a os de e é que em um uma para não com se meu sua como do da no na você posso por",
    "it": "il la i di e è che in un una per non con si mio come del della posso sono gli le",
    "nl": "de het een en is ik je niet van op voor met hoe wat kan mijn we u dat te zijn er",
    "pl": "i w na jest nie to się z do jak czy co mam można dla o że po mogę od",
    "tr": "ve bir bu için ne mi nasıl var mı ile değil çok da de ben olarak daha",
    "id": "yang dan di ini itu untuk tidak apa bagaimana saya bisa dengan ke dari ada anda",
    "vi": "là và của có không tôi được cho bạn này các một với như thế nào",
    "sv": "och det är att en jag på som för med inte kan hur vad har min vi den av till",
}
_BY_WORD: dict[str, list[str]] = {}
for _language, _words in _WORDS.items():
    for _word in _words.split():
        _BY_WORD.setdefault(_word, []).append(_language)

UNKNOWN = "?"


def tell_language(text: str) -> str:
    """A code of ISO 639-1, or `?` where a text is too short or of another language."""
    text = text[:1000]
    letters = sum(map(str.isalpha, text))
    if not letters:
        return UNKNOWN
    for language, script in _SCRIPTS:
        if len(script.findall(text)) * 10 >= letters:
            return language
    scores: dict[str, int] = {}
    for word in re.findall(r"[^\W\d_]+", text.lower()):
        for language in _BY_WORD.get(word, ()):
            scores[language] = scores.get(language, 0) + 1
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    is_tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    return ranked[0][0] if ranked and not is_tied else UNKNOWN
