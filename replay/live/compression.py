"""The compressors of a strategy on one request that is about to be sent: those of the replay, on a column of one."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from analysis.pricing.model_info import model_info
from ingest.contents import tokenizer
from replay import compressors
from replay.live.request_contents import RequestContents, contents_of
from replay.stages.compression import DEFAULT_ENCODING, Calls, compress
from replay.strategy.schema import Compressor
from replay.traffic.prompt_rewriting import changed_requests
from replay.traffic.prompts import KINDS, Contents, Prompts

_encode = msgspec.json.Encoder(order="sorted").encode
_TOOLS: Final = KINDS.index("tools")
_OTHER: Final = KINDS.index("other")
_REMEMBERED: Final = 20_000
_COUNTS: OrderedDict[bytes, int] = OrderedDict()  # only the threads of logs use it


@dataclass(frozen=True)
class Compression:
    """What became of a request: its new body, the compressors that changed it, its contents before and after."""

    body: dict[str, Any]
    stages: tuple[str, ...]
    before: tuple[tuple[str, str], ...]  # (canonical JSON, kind of the tokenizer)
    after: tuple[tuple[str, str], ...]

    def described(self, provider: str, model: str) -> dict[str, Any]:
        """For the log: the stages, and the tokens of the texts that they changed, before and after.

        For the log's thread: it counts tokens.
        """
        encoding = model_info(provider, model).encoding or DEFAULT_ENCODING
        old, new = Counter(self.before), Counter(self.after)
        before, after = (_counted(part.elements(), encoding) for part in (old - new, new - old))
        return {"stages": list(self.stages), "tokens_before": before, "tokens_after": after, "encoding": encoding}


def _counted(contents: Iterable[tuple[str, str]], encoding: str) -> int:
    """Tokens of contents. Those of a conversation come again and again: their counts are remembered by digest."""
    total = 0
    for text, kind in contents:
        name = hashlib.blake2b(f"{encoding}{kind}{text}".encode(), digest_size=16).digest()
        count = _COUNTS.get(name)
        if count is None:
            count = _COUNTS[name] = tokenizer.count_content(text, kind, encoding)
            while len(_COUNTS) > _REMEMBERED:
                _COUNTS.popitem(last=False)
        total += count
    return total


def refusal(part: Compressor) -> str | None:
    """Why a compressor cannot run on a call before it is sent; None where it can."""
    found = compressors.find(part.name)
    if found.writes is not None:
        return "a model writes what stands for the older part of a conversation"
    if found.level == "answer":
        return "it assumes shorter answers and changes nothing of the request"
    if found.beside is not None and {**found.parameters, **part.parameters}.get("turns"):
        return "which turns are examples is told from many requests: write turns: false to trim marked ones alone"
    if part.name == "tool_signatures":
        return "providers take tools as JSON schemas"
    return None


def compressed(body: dict[str, Any], path: str, spec: Sequence[Compressor]) -> Compression | None:
    """The request after these compressors; None where they change nothing, or know no such request.

    Raises what a compressor raises.
    """
    contents = contents_of(body, path)
    if contents is None:
        return None
    prompts, objects = _column(contents)
    calls = Calls(
        group=np.zeros(1, np.int64), encoding=np.zeros(1, np.int8), encodings=(), input_tokens=np.full(1, -1),
        frame=lambda _: pl.DataFrame(),
    )  # fmt: skip
    now, stages = prompts, []
    for part in spec:
        found = compress(now, [part], calls).prompts
        if changed_requests((now.offsets, now.ids), (found.offsets, found.ids))[0]:
            stages.append(part.name)
        now = found
    if not stages:
        return None
    known = prompts.contents.texts
    made = [objects[n] if n < len(known) else msgspec.json.decode(now.contents.texts[n]) for n in now.ids.tolist()]
    tools = contents.tools is not None
    return Compression(
        contents.put(made[0] if tools else None, made[1:] if tools else made), tuple(stages), _texts(prompts),
        _texts(now),
    )  # fmt: skip


def _column(contents: RequestContents) -> tuple[Prompts, list[Any]]:
    """The request as replay has it, and the object of each content number. Equal contents are one."""
    values = [*([contents.tools] if contents.tools is not None else []), *contents.messages]
    numbers: dict[tuple[int, str], int] = {}
    objects: list[Any] = []
    ids = []
    for place, value in enumerate(values):
        kind = _TOOLS if place == 0 and contents.tools is not None else _kind(value)
        plain = value if kind == _TOOLS else {name: item for name, item in value.items() if item is not None}
        number = numbers.setdefault((kind, _encode(plain).decode()), len(objects))
        if number == len(objects):
            objects.append(value)
        ids.append(number)
    n = len(objects)
    made = Contents(
        content_id=np.arange(n, dtype=np.int32), kind=np.array([kind for kind, _ in numbers], np.int8),
        words=np.zeros(n, np.int32), tokens={}, block_offsets=np.zeros(n + 1, np.int64),
        block_hashes=np.zeros(0, np.int64), texts={number: text for (_, text), number in numbers.items()},
    )  # fmt: skip
    return Prompts(np.array([0, len(ids)], np.int64), np.array(ids, np.int32), made), objects


def _kind(message: dict[str, Any]) -> int:
    role = message.get("role")
    return KINDS.index(role) if role in KINDS and role != "tools" else _OTHER


def _texts(prompts: Prompts) -> tuple[tuple[str, str], ...]:
    kinds = prompts.contents.kind
    return tuple(
        (prompts.contents.texts[number], "tools" if kinds[number] == _TOOLS else "message")
        for number in prompts.ids.tolist()
    )
