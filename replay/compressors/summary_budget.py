"""Stand a summary of fixed size in for the older part of a conversation. Lossy; making it is a call of its own."""

from __future__ import annotations

import numpy as np

from replay.compressors import Compressor
from replay.traffic.prompt_rewriting import Requests
from replay.traffic.prompts import KINDS

_FIXED = [KINDS.index(kind) for kind in ("tools", "system", "developer")]
_SYSTEM = KINDS.index("system")


def apply(request: Requests, tokens: int = 300, messages: int = 6) -> None:
    """Keep the last `messages` messages; what stood before becomes one text of about `tokens` tokens.

    The summary is made anew whenever the conversation has grown, so its text differs by the number of messages that
    it stands for.
    """
    counted = ~np.isin(request.kinds(), _FIXED)
    row = request.rows()
    after = np.cumsum(counted[::-1])[::-1]
    ends = np.append(after, 0)[request.offsets[1:]]
    old = counted & (after - ends[row] > messages) & request.selected[row]
    gone = np.bincount(row[old], minlength=len(request))
    places = np.flatnonzero(old)
    if not len(places):
        return
    first = places[np.unique(row[places], return_index=True)[1]]
    made = {}
    for count in np.unique(gone[gone > 0]).tolist():
        words = " ".join(["word"] * max(tokens - 10, 1))
        message = {"role": "system", "content": f"Summary of {count} earlier messages: {words}"}
        made[count] = request.intern(message, _SYSTEM)
    request.put(first, np.array([made[count] for count in gone[row[first]].tolist()], np.int32))
    kept = ~old
    kept[first] = True
    request.keep(kept)


COMPRESSOR = Compressor(
    apply,
    "request",
    lossless=False,
    prefix_stable=False,
    parameters={"tokens": 300, "messages": 6},
    about={"tokens": "length of the summary", "messages": "how many of the last messages stay as they are"},
    main_parameter="tokens",
    writes="tokens",
    needs_text=False,
)
