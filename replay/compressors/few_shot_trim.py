"""Keep the first few worked examples of an instruction. Lossy: the examples that go may be the ones that matter.

Examples are marked in a text (`Example 2:`, `<example>`), or they are turns: pairs of a user's and an assistant's
message after the instructions, with which many requests begin and which the model was never asked (`example_turns`).
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from replay.compressors import Compressor
from replay.message_text import rewrite
from replay.traffic.prompt_rewriting import Bools, Requests
from replay.traffic.prompts import KINDS, Int64

_FIXED: Final = [KINDS.index(kind) for kind in ("tools", "system", "developer")]
_USER, _ASSISTANT = KINDS.index("user"), KINDS.index("assistant")
BRANCHES: Final = 3  # ways in which requests go on after the last example: a conversation goes on in one

# a line such as "Example 3:", "### Example 2", "<example>"
_HEAD = re.compile(r"(?mi)^[ \t]*(?:#+[ \t]*)?(?:\*\*)?(?:examples?[ \t]*#?\d+\b.*|<example\b[^>]*>.*)$")
_SECTION = re.compile(r"(?m)^[ \t]*#+[ \t]+\S")


def apply(message: Any, examples: int = 2, turns: bool = True) -> Any:  # noqa: ARG001  see `trim_turns`
    """The message with at most `examples` marked examples in each run of them."""
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


def trim_turns(request: Requests, examples: int = 2, turns: bool = True) -> None:
    """Drop all but the first `examples` examples that are turns of their own, where `turns` asks for it."""
    if not turns:
        return
    count = example_turns(request)
    place = np.arange(len(request.ids)) - np.repeat(_begin(request), np.diff(request.offsets))
    row = request.rows()
    request.keep((place < 2 * examples) | (place >= 2 * count[row]))


def example_turns(request: Requests) -> Int64:
    """How many pairs of turns at the beginning of each selected request are examples.

    A pair is one of a conversation if some request ends with its user's message: that is the call that was answered by
    it. Pairs that no call asked are examples up to the last one after which requests go on in BRANCHES ways.
    """
    n = len(request)
    count = np.zeros(n, np.int64)
    ends, kinds = request.offsets[1:], request.kinds()
    at = _begin(request)
    alive = np.flatnonzero(request.selected)
    node = np.zeros(n, np.int64)  # the pairs that a request began with
    depth = 0
    while len(alive):
        depth += 1
        first = alive[at[alive] < ends[alive]]
        asked = first[at[first] + 1 == ends[first]]
        paired = first[at[first] + 2 < ends[first]]
        here = at[paired]
        paired = paired[(kinds[here] == _USER) & (kinds[here + 1] == _ASSISTANT)]
        paired = paired[~_among(request, at, node, paired, asked)]
        if not len(paired):
            break
        ids = request.ids
        begun = np.column_stack([node[paired], ids[at[paired]], ids[at[paired] + 1]])
        node[paired] = np.unique(begun, axis=0, return_inverse=True)[1].reshape(-1)
        at[paired] += 2
        ways = np.unique(np.column_stack([node[paired], ids[at[paired]]]), axis=0)[:, 0]
        branching = np.bincount(ways) >= BRANCHES
        count[paired[branching[node[paired]]]] = depth
        alive = paired
    return count


def _begin(request: Requests) -> Int64:
    """The place of the first content of each request that is no instruction; its end where there is none."""
    said = np.append(np.flatnonzero(~np.isin(request.kinds(), _FIXED)), len(request.ids))
    found = said[np.searchsorted(said, request.offsets[:-1])]
    return np.minimum(found, request.offsets[1:]).astype(np.int64)


def _among(request: Requests, at: Int64, node: Int64, paired: Int64, asked: Int64) -> Bools:
    """Whether the user's message of each pair is the last one of some request that began alike."""
    both = np.concatenate([paired, asked])
    code = np.unique(np.column_stack([node[both], request.ids[at[both]]]), axis=0, return_inverse=True)[1].reshape(-1)
    return np.isin(code[: len(paired)], code[len(paired) :])


COMPRESSOR = Compressor(
    apply,
    "message",
    lossless=False,
    prefix_stable=True,
    parameters={"examples": 2, "turns": True},
    about={
        "examples": "how many examples of each run stay; 0 makes it zero-shot",
        "turns": "trim examples that are turns too: pairs that no call asked, with which many requests begin",
    },
    main_parameter="examples",
    beside=trim_turns,
)
