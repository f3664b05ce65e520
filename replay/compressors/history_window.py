"""Keep the instructions and the last few messages of a conversation. Lossy, and it moves the prefix at every turn."""

from __future__ import annotations

import numpy as np

from replay.compressors import Compressor
from replay.traffic.prompt_rewriting import Requests
from replay.traffic.prompts import KINDS

_FIXED = [KINDS.index(kind) for kind in ("tools", "system", "developer")]
_TOOL = KINDS.index("tool")


def apply(request: Requests, messages: int = 10) -> None:
    """Drop all but the last `messages` messages that are not instructions.

    A tool result whose call was dropped goes too: the providers refuse a result without its call.
    """
    kind = request.kinds()
    row = request.rows()
    counted = ~np.isin(kind, _FIXED)
    # rank of each counted message from the end of its request: 1 = the last one
    after = np.cumsum(counted[::-1])[::-1]
    ends = np.append(after, 0)[request.offsets[1:]]
    rank = after - ends[row]
    kept = ~counted | (rank <= messages)
    # the first message of the window that is not a tool result, per request
    place = np.arange(len(row))
    first = np.full(len(request), len(row), np.int64)
    opener = kept & counted & (kind != _TOOL)
    np.minimum.at(first, row[opener], place[opener])
    orphan = kept & (kind == _TOOL) & (place < first[row])
    shortened = np.zeros(len(request), bool)
    shortened[row[~kept]] = True
    request.keep(kept & ~(orphan & shortened[row]))


COMPRESSOR = Compressor(
    apply,
    "request",
    lossless=False,
    prefix_stable=False,
    parameters={"messages": 10},
    about={"messages": "how many of the last messages stay"},
    main_parameter="messages",
    needs_text=False,
)
