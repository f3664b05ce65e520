"""Replace old tool results by a word about them. Lossy, and every new result moves the prefix of the next request."""

from __future__ import annotations

from typing import Any

import numpy as np

from replay.compressors import Compressor
from replay.traffic.prompt_rewriting import Requests
from replay.traffic.prompts import KINDS

_TOOL = KINDS.index("tool")
STUB = "[result removed]"


def apply(request: Requests, keep: int = 2) -> None:
    """Keep the last `keep` tool results of each request; the earlier ones become a stub."""
    tool = request.kinds() == _TOOL
    row = request.rows()
    after = np.cumsum(tool[::-1])[::-1]
    ends = np.append(after, 0)[request.offsets[1:]]
    old = tool & (after - ends[row] > keep) & request.selected[row]
    places = np.flatnonzero(old)
    stubs: dict[int, int] = {}
    for number in np.unique(request.ids[places]).tolist():
        message = request.message(number)
        stubs[number] = number if message is None else request.intern(_stub(message), _TOOL)
    request.put(places, np.array([stubs[number] for number in request.ids[places].tolist()], np.int32))


def _stub(message: Any) -> Any:
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": STUB} if len(content) > len(STUB) else message
    if isinstance(content, list):
        parts = [
            {**part, "content": STUB} if isinstance(part, dict) and part.get("type") == "tool_result" else part
            for part in content
        ]
        return {**message, "content": parts}
    return message


COMPRESSOR = Compressor(
    apply,
    "request",
    lossless=False,
    prefix_stable=False,
    parameters={"keep": 2},
    about={"keep": "how many of the newest tool results stay"},
    main_parameter="keep",
)
