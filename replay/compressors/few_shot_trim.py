"""Keep the first few worked examples of an instruction. Lossy: the examples that go may be the ones that matter."""

from __future__ import annotations

import re
from typing import Any

from replay.compressors import Compressor
from replay.message_text import rewrite

# a line such as "Example 3:", "### Example 2", "<example>"
_HEAD = re.compile(r"(?mi)^[ \t]*(?:#+[ \t]*)?(?:\*\*)?(?:examples?[ \t]*#?\d+\b.*|<example\b[^>]*>.*)$")
_SECTION = re.compile(r"(?m)^[ \t]*#+[ \t]+\S")


def apply(message: Any, examples: int = 2) -> Any:
    """The message with at most `examples` examples in each run of them."""
    return rewrite(message, lambda text: _trim(text, examples))


def _trim(text: str, examples: int) -> str:
    heads = list(_HEAD.finditer(text))
    if len(heads) <= examples:
        return text
    first = heads[examples].start()
    last = heads[-1]
    # the last example ends at its closing tag, at a new section, or at an empty line
    closing = text.find("</example>", last.end())
    if closing >= 0:
        end = closing + len("</example>")
    else:
        section = _SECTION.search(text, last.end())
        blank = text.find("\n\n", last.end())
        ends = [place for place in (section.start() if section else -1, blank) if place >= 0]
        end = min(ends) if ends else len(text)
    return text[:first].rstrip() + text[end:]


COMPRESSOR = Compressor(
    apply,
    "message",
    lossless=False,
    prefix_stable=True,
    parameters={"examples": 2},
    about={"examples": "how many examples of each run stay; 0 makes it zero-shot"},
    main_parameter="examples",
)
