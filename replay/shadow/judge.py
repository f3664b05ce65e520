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
_TAG = re.compile(r"<(?=\s*/?\s*(?:request|answer)\b)|<(?=\s*/?\s*answer_)", re.IGNORECASE)
_OBJECT = re.compile(r"\{[^{}]*\}")
MAX_TOKENS = 40


def prompt(request: str, first: str, second: str) -> list[dict[str, str]]:
    """The judge's messages for one order of the two answers. Neither can close its tag or open another's."""
    request, first, second = (_TAG.sub("&lt;", text) for text in (request, first, second))
    body = f"<request>\n{request}\n</request>\n<answer_A>\n{first}\n</answer_A>\n<answer_B>\n{second}\n</answer_B>"
    return [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": body}]


def verdict(reply: str) -> tuple[float, float] | None:
    """The two scores in 0..1, None where the reply is not one verdict in numbers."""
    found = _OBJECT.findall(reply)
    if len(found) != 1:
        return None
    try:
        document = json.loads(found[0])
        pair = (document["A"], document["B"])
    except (ValueError, KeyError, TypeError):
        return None
    if not all(type(score) in (int, float) and 0 <= score <= 10 for score in pair):
        return None
    return pair[0] / 10, pair[1] / 10
