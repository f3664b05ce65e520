"""Drop words of courtesy and padding. Lossy: a model may answer differently to a curter prompt."""

from __future__ import annotations

import re
from typing import Any

from replay.compressors import Compressor
from replay.message_text import rewrite

# longest first; the right side is what remains
_PHRASES: dict[str, str] = {
    "it is important to note that": "",
    "please make sure that you": "",
    "please note that": "",
    "i would like you to please": "",
    "i would like you to": "",
    "i want you to": "",
    "could you please": "",
    "would you please": "",
    "make sure that you": "",
    "make sure to": "",
    "due to the fact that": "because",
    "in the event that": "if",
    "at this point in time": "now",
    "for the purpose of": "for",
    "with regard to": "about",
    "a large number of": "many",
    "in order to": "to",
    "as well as": "and",
    "as you can see,": "",
    "needless to say,": "",
    "if you would,": "",
    "thank you in advance": "",
    "thank you very much": "",
    "basically": "",
    "actually": "",
    "really": "",
    "very": "",
    "kindly": "",
    "please": "",
}
_PATTERN = re.compile(
    r"[ \t]*\b(" + "|".join(re.escape(phrase).replace(r"\ ", r"[ \t]+") for phrase in _PHRASES) + r")(?!\w)[ \t]*",
    re.IGNORECASE,
)
# a greeting at the beginning of a text, or a courtesy that is a sentence of its own
_GREETING = re.compile(
    r"\A\s*(?:hello|hi|hey|dear|greetings|good (?:morning|afternoon|evening))(?:[ \t]+(?:there|everyone|all|team|ai|"
    r"assistant|chatgpt|claude|gemini|model|friend)\b)*[ \t]*[,!.:][ \t]*",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:(?<=[.!?])[ \t]+|(?m:^))(?:(?:many )?thanks(?: a lot| so much| in advance)?|"
    r"thank you(?: so much| in advance)?|i hope (?:you are|you're|this finds you) (?:doing )?well|"
    r"i(?: would|'d) (?:really )?appreciate (?:it|your help)|"
    r"you are a (?:very )?helpful assistant)[ \t]*[.!](?=\s|\Z)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"(```.*?(?:```|\Z)|\"(?:[^\"\\\n]|\\.)*\")", re.DOTALL)


def trim(text: str) -> str:
    """The text without filler outside code fences and quotations; a sentence keeps its capital."""
    parts = _FENCE.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = _PATTERN.sub(_replacement, _COURTESY.sub("", parts[i]))
    parts[0] = _without_greeting(parts[0])
    return "".join(parts)


def _without_greeting(text: str) -> str:
    """The text without `Hello AI,`; the sentence that begins then keeps a capital."""
    found = _GREETING.match(text)
    if not found or not text[found.end() :].strip():
        return text
    rest = text[found.end() :].lstrip()
    return rest[:1].upper() + rest[1:]


def _replacement(found: re.Match[str]) -> str:
    whole, phrase = found[0], re.sub(r"[ \t]+", " ", found[1])
    word = _PHRASES[phrase.lower()]
    if phrase[:1].isupper():
        word = word[:1].upper() + word[1:]
    lead = " " if whole[:1] in " \t" else ""
    tail = " " if whole[-1:] in " \t" else ""
    return f"{lead}{word}{tail}" if word else (lead or "" if tail or not lead else "")


def apply(message: Any) -> Any:
    return message if isinstance(message, dict) and message.get("role") == "tool" else rewrite(message, trim)


COMPRESSOR = Compressor(apply, "message", lossless=False, prefix_stable=True)
