"""A first mapping file for a log of one's own: each path of its first records, matched to our fields by name."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from ingest.detect.file_format import sample
from ingest.errors import InputError
from ingest.files import line_files
from ingest.records.call import BadRecordError
from ingest.records.timestamps import time_us

# our field -> words of which a path's last parts should be made, best first
_HINTS: dict[str, tuple[str, ...]] = {
    "start_time": ("start_time", "started_at", "start_ts", "timestamp", "created_at", "created", "ts", "when", "date",
                   "time"),
    "end_time": ("end_time", "ended_at", "end_ts", "finished_at", "completed_at"),
    "duration_ms": ("duration_ms", "latency_ms", "elapsed_ms", "duration", "latency", "seconds", "elapsed"),
    "request_model": ("request_model", "model", "model_name", "model_id", "engine", "deployment"),
    "provider_name": ("provider_name", "provider", "vendor"),
    "input_tokens": ("input_tokens", "prompt_tokens", "contexttokens", "tokens_in", "in_tokens", "n_prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "generatedtokens", "tokens_out", "out_tokens"),
    "cache_read_input_tokens": ("cache_read_input_tokens", "cached_tokens", "cache_read"),
    "reasoning_output_tokens": ("reasoning_tokens", "reasoning_output_tokens"),
    "logged_cost_usd": ("cost_usd", "total_cost", "cost", "price", "spend"),
    "agent": ("agent", "agent_name", "component", "service"),
    "task": ("task", "task_type", "task_name", "phase", "step"),
    "conversation_id": ("conversation_id", "session_id", "thread_id", "session"),
    "user_id": ("user_id", "user", "customer"),
    "finish_reason": ("finish_reason", "stop_reason"),
    "score": ("score", "reward", "quality"),
}  # fmt: skip
_KEYS = ("call_id", "request_id", "id", "uuid")
_MESSAGES = ("messages", "prompt", "input", "history")
_ANSWER = ("response", "completion", "answer", "output", "reply")
_TOOLS = ("tools", "functions")


def draft_mapping(path: Path) -> str:
    """The text of a mapping file for `path`, with a comment where something has to be checked."""
    kind = line_files.file_kind(path)
    if kind.shape in ("empty", "binary", "sse", "vcr"):
        raise InputError("no records to draft a mapping from", where=str(path))
    records = [record for record in sample(path, kind, 50) if isinstance(record, dict)]
    if not records:
        raise InputError("no whole record in it", where=str(path))
    paths = _paths(records)
    fields: dict[str, Any] = {}
    used: set[str] = set()
    notes = []
    for ours, hints in _HINTS.items():
        theirs = _match(paths, hints, used)
        if theirs is None:
            continue
        used.add(theirs)
        rule, note = _rule(ours, theirs, paths[theirs])
        fields[ours] = rule
        if note:
            notes.append(note)
    for needed in ("start_time", "request_model", "input_tokens", "output_tokens"):
        if needed not in fields:
            notes.append(f"no path looks like {needed}: add it under fields, or a constant")
    name = re.sub(r"[^\w.-]+", "-", path.name.split(".")[0]).strip("-") or "custom"
    document: dict[str, Any] = {"name": name[:60], "timezone": "UTC"}
    key = _match(paths, _KEYS, set())
    if key:
        document["key"] = key
    document["fields"] = fields
    for section, hints in (("messages", _MESSAGES), ("response", _ANSWER), ("tools", _TOOLS)):
        theirs = _match(paths, hints, used, whole=True)
        if theirs:
            document[section] = theirs
    lines = [f"# A draft for {path.name}. Check it, then: hindcast ingest {path.name} --mapping THIS_FILE"]
    lines += [f"# CHECK: {note}" for note in notes]
    rest = sorted(theirs for theirs in paths if theirs not in used and "." not in theirs)
    if rest:
        lines.append(f"# Not used: {', '.join(rest[:30])}")
    return "\n".join(lines) + "\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _paths(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Every path of up to three keys, with the values seen there."""
    found: dict[str, list[Any]] = {}

    def walk(value: dict[str, Any], prefix: str, depth: int) -> None:
        for key, item in value.items():
            name = f"{prefix}{key}"
            found.setdefault(name, []).append(item)
            if isinstance(item, dict) and depth < 3:
                walk(item, f"{name}.", depth + 1)

    for record in records:
        walk(record, "", 1)
    return found


def _match(paths: dict[str, list[Any]], hints: tuple[str, ...], used: set[str], *, whole: bool = False) -> str | None:
    """The path whose last key is the best of the hints; of several, the shallowest. `whole` takes objects too."""
    for hint in hints:
        fitting = [
            path
            for path, values in paths.items()
            if path not in used
            and path.rpartition(".")[2].lower() == hint
            and (whole or not any(isinstance(value, dict | list) for value in values))
        ]
        if fitting:
            return min(fitting, key=lambda path: (path.count("."), path))
    return None


def _rule(ours: str, theirs: str, values: list[Any]) -> tuple[Any, str | None]:
    seen = [value for value in values if value is not None]
    if ours in ("start_time", "end_time") and seen:
        try:
            _, precision = time_us(seen[0], theirs)
        except BadRecordError as bad:
            return theirs, f"{theirs}: {bad.reason}; name its unit or origin"
        if precision == "assumed_tz":
            return theirs, f"the times of {theirs} name no zone: set timezone"
    if ours == "duration_ms" and not theirs.lower().endswith("ms"):
        return {"path": theirs, "unit": "s"}, f"{theirs} was taken as seconds"
    if ours in ("request_model", "provider_name"):
        odd = [text for text, _ in Counter(map(str, seen)).most_common(20) if "." in text and text[:1].isupper()]
        if odd:
            return {"path": theirs, "values": {text: text for text in odd}}, f"write the provider's names in {ours}"
    if ours == "score" and any(isinstance(value, int | float) and not 0 <= value <= 1 for value in seen):
        return {"path": theirs, "scale": 0.01}, f"{theirs} must end up between 0 and 1"
    return theirs, None
