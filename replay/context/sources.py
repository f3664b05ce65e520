"""Which kind of thing each text of a request is: instructions, tools, files, tool results, history, attachments.

A message of the Anthropic API holds several blocks, each a thing of its own; so a content is split into parts, each
with its share of the content's characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.traffic.prompts import KINDS, Contents

SOURCES = (
    "not in the log",
    "system prompt",
    "tool definitions",
    "user messages",
    "answers carried along",
    "tool calls",
    "files read",
    "tool results",
    "attachments",
    "other messages",
)
HIDDEN = 0
_SYSTEM, _TOOLS, _USER, _ANSWERS, _CALLS, _FILES, _RESULTS, _ATTACHED, _OTHER = range(1, len(SOURCES))
_BY_KIND = {
    "tools": _TOOLS, "system": _SYSTEM, "developer": _SYSTEM, "user": _USER, "assistant": _ANSWERS, "tool": _RESULTS,
}  # fmt: skip
_PATHS = ("file_path", "path", "filename", "notebook_path", "absolute_path", "filePath", "target_file")
_READERS = ("read", "view", "cat", "open_file", "get_file", "fetch_file")  # how tools that read a file are named
_IMAGE_CHARS = 6_400  # an image or document counts as about 1,600 tokens, whatever its encoding is long
_ATTACHMENTS = frozenset({"image", "image_url", "input_image", "document", "file", "input_file", "input_audio"})


@dataclass(frozen=True)
class Parts:
    """The parts of n contents in CSR form: those of content i are `offsets[i]:offsets[i + 1]`."""

    offsets: NDArray[np.int64]  # n + 1
    source: NDArray[np.int8]  # index into SOURCES
    chars: NDArray[np.int64]  # > 0: the weight of the part in its content
    label: tuple[str, ...]  # the tool or file, "" where there is none


@dataclass(frozen=True)
class _Use:
    """A tool call: its tool and the file that it names."""

    tool: str
    path: str


def parts_of(contents: Contents) -> Parts:
    """The parts of each content. A tool's result follows its call in a request, so the calls are among the contents."""
    messages = {number: _decoded(text) for number, text in contents.texts.items()}
    uses: dict[str, _Use] = {}
    for message in messages.values():
        uses.update(_uses(message))
    offsets, source, chars, label = [0], [], [], []
    for number in range(len(contents)):
        kind = _BY_KIND.get(KINDS[contents.kind[number]], _OTHER)
        found = [part for part in _parts(messages.get(number), kind, uses) if part[1] > 0]
        for one_source, one_chars, one_label in found or [(kind, 1, "")]:
            source.append(one_source)
            chars.append(one_chars)
            label.append(one_label)
        offsets.append(len(source))
    return Parts(np.array(offsets, np.int64), np.array(source, np.int8), np.array(chars, np.int64), tuple(label))


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _blocks(message: Any) -> Iterator[Any]:
    content = message.get("content") if isinstance(message, dict) else message
    if isinstance(content, list):
        yield from content
    elif content is not None:
        yield content


def _uses(message: Any) -> Iterator[tuple[str, _Use]]:
    """The tool calls of a message by their ids: Anthropic blocks, OpenAI `tool_calls`, Responses items."""
    if not isinstance(message, dict):
        return
    candidates = [*_blocks(message), *(message.get("tool_calls") or []), message]
    for one in candidates:
        if not isinstance(one, dict):
            continue
        given = one.get("function")
        function: dict[str, Any] = given if isinstance(given, dict) else one
        key, name = one.get("call_id") or one.get("id"), function.get("name")
        if isinstance(key, str) and isinstance(name, str):
            arguments = one.get("input", function.get("arguments"))
            yield key, _Use(name, _path(_decoded(arguments) if isinstance(arguments, str) else arguments))


def _path(arguments: Any) -> str:
    if isinstance(arguments, dict):
        for name in _PATHS:
            if isinstance(arguments.get(name), str):
                return str(arguments[name])
    return ""


def _parts(message: Any, kind: int, uses: Mapping[str, _Use]) -> Iterator[tuple[int, int, str]]:
    """(source, characters, label) of each block of a message."""
    if not isinstance(message, dict):
        yield kind, _size(message), ""
        return
    if kind == _RESULTS or message.get("type") == "function_call_output":
        known = uses.get(str(message.get("tool_call_id") or message.get("call_id")))
        name = known.tool if known else str(message.get("name") or "")
        yield _result(known, name, _size(message.get("content", message.get("output"))))
        return
    for one in message.get("tool_calls") or []:
        function = one.get("function") if isinstance(one, dict) else None
        yield _CALLS, _size(one), str(function.get("name") or "") if isinstance(function, dict) else ""
    for block in _blocks(message):
        what = block.get("type") if isinstance(block, dict) else "text"
        if what in ("tool_use", "server_tool_use", "function_call"):
            yield _CALLS, _size(block.get("input", block.get("arguments"))) + 40, str(block.get("name") or "")
        elif what == "tool_result" or (isinstance(what, str) and what.endswith("_tool_result")):
            known = uses.get(str(block.get("tool_use_id")))
            yield _result(known, known.tool if known else "", _size(block.get("content")))
        elif what in _ATTACHMENTS:
            yield _ATTACHED, _size(block), str(block.get("title") or "")
        else:
            yield kind, _size(block.get("text", block) if isinstance(block, dict) else block), ""


def _result(known: _Use | None, name: str, size: int) -> tuple[int, int, str]:
    if known and known.path and any(name.lower().startswith(word) for word in _READERS):
        return _FILES, size, known.path
    return _RESULTS, size, name


def _size(value: Any) -> int:
    """Characters of what a model is given of a value."""
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        if value.get("type") in _ATTACHMENTS:
            return _IMAGE_CHARS
        return sum(len(str(key)) + _size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(str(value))
