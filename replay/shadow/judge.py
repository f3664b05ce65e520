"""A blind comparison of two answers: the judge sees them as A and B, twice, in either order.

Judges favour what comes first and what is longer (Zheng et al., "Judging LLM-as-a-judge", 2023), so each pair is asked
for in both orders and the two scores of an answer are averaged. A judge's score is not task success.
"""

from __future__ import annotations

import json
import re

_INSTRUCTIONS = (
    "Two assistants answered the same request. Score each answer from 0 (useless) to 10 (as good as it can be) by how"
    " well it does what the request asks. Length and style count only where the request makes them count. Reply with"
    ' nothing but JSON: {"A": <score>, "B": <score>}'
)
_OBJECT = re.compile(r"\{[^{}]*\}")
MAX_TOKENS = 40


def prompt(request: str, first: str, second: str) -> list[dict[str, str]]:
    """The judge's messages for one order of the two answers."""
    body = f"<request>\n{request}\n</request>\n<answer_A>\n{first}\n</answer_A>\n<answer_B>\n{second}\n</answer_B>"
    return [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": body}]


def verdict(reply: str) -> tuple[float, float] | None:
    """The two scores in 0..1, None where the reply is not a verdict."""
    found = _OBJECT.search(reply)
    if not found:
        return None
    try:
        document = json.loads(found.group())
        pair = (float(document["A"]) / 10, float(document["B"]) / 10)
    except (ValueError, KeyError, TypeError):
        return None
    return pair if all(0 <= score <= 1 for score in pair) else None
