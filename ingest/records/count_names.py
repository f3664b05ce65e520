"""What a token count is a part of, told by the words of its name: there are too many names to list."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

PREFIXES: Final = ("gen_ai.usage.", "llm.token_count.", "llm.usage.", "ai.usage.")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+[a-z]*")
_OTHER_FACTS: Final = frozenset(
    {"cost", "price", "usd", "miss", "no", "accepted", "rejected", "prediction", "text", "video", "share", "ratio",
     "rate", "percent", "percentage", "ms", "seconds", "duration"}
)  # fmt: skip
_WRITES: Final = frozenset({"write", "writes", "written", "creation", "create", "created"})
_THOUGHT: Final = frozenset({"reasoning", "thinking", "thoughts", "thought"})
_ASKED, _MADE = frozenset({"input", "prompt"}), frozenset({"output", "completion", "candidates"})


@lru_cache(maxsize=4096)
def part_of(name: str) -> str | None:
    """What the count of that name is a part of: `read`, `written`, `five`, `hour` (cache), `reasoning`, `audio_in`...

    None for names of other facts, and for those of whole inputs, outputs and totals.
    """
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    words = {word.lower() for word in _WORD.findall(name)}
    if words & _OTHER_FACTS:
        return None
    modality = "audio" if "audio" in words else "image" if "image" in words else None
    lasting = "hour" if words & {"1h", "1hr", "hour"} else "five" if "5m" in words else None
    if words & {"cache", "cached", "caching"}:
        if modality:
            return None  # the cached part of a part
        return (lasting or "written") if words & _WRITES else "read"
    if "ephemeral" in words:
        return lasting
    if words & _THOUGHT:
        return "reasoning"
    if modality:
        return f"{modality}_in" if words & _ASKED else f"{modality}_out" if words & _MADE else None
    return None
