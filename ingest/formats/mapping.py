"""Any JSONL, CSV or Parquet through a mapping file (`ingest.mapping_file`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from ingest.errors import InputError
from ingest.format_contract import Context, Format, Outcome
from ingest.records import agent_names
from ingest.records.call import BadRecordError, Call, pico_dollars, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.store.schema import CALL_COLUMNS

if TYPE_CHECKING:
    from ingest.mapping_file import FieldRule, Mapping

_TO_MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1000.0, "min": 60_000.0}
_STATUSES = frozenset({"ok", "error", "cancelled", "gateway_cache_hit"})
_TOKENS = frozenset(name for name in CALL_COLUMNS if name.endswith("_tokens")) | {"server_tool_calls", "input_words"}
Getter = Callable[[Any], Any]


def getter(path: str) -> Getter:
    """A function that follows `a.b.0.c` through mappings and lists; JSON in strings is opened on the way."""
    parts = path.split(".")

    def get(record: Any) -> Any:
        if isinstance(record, dict) and path in record:  # a key that has dots in it
            return record[path]
        for part in parts:
            if isinstance(record, str) and record[:1] in ("{", "["):
                try:
                    record = msgspec.json.decode(record)
                except msgspec.DecodeError:
                    return None
            if isinstance(record, dict):
                record = record.get(part)
            elif isinstance(record, list) and part.lstrip("-").isdigit():
                position = int(part)
                record = record[position] if -len(record) <= position < len(record) else None
            else:
                return None
            if record is None:
                return None
        return record

    return get


class MappingReader:
    """Reads records by a mapping."""

    def __init__(self, context: Context) -> None:
        if context.mapping is None:
            raise InputError("this format needs a mapping file", remedy="Add --mapping FILE.yaml")
        from ingest.mapping_file import FieldRule  # pydantic is slow to import

        self.mapping: Mapping = context.mapping
        self.zone = context.mapping.zone
        self.rules = [(name, rule, [getter(path) for path in rule.paths]) for name, rule in self.mapping.fields.items()]
        self.constants = [(name, FieldRule(path=name), value) for name, value in self.mapping.constants.items()]
        key = self.mapping.key
        self.key = [getter(path) for path in ([key] if isinstance(key, str) else key or [])]
        self.parts = {
            name: getter(path)
            for name in ("messages", "response", "tools", "params")
            if (path := getattr(self.mapping, name))
        }

    def read(self, record: Any, row: int) -> Outcome:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if not isinstance(record, dict):
            raise BadRecordError("not an object")
        call = Call()
        for name, rule, value in self.constants:
            self._set(call, name, rule, value)
        for name, rule, getters in self.rules:
            value = None
            for get in getters:
                value = get(record)
                if value is not None:
                    break
            if rule.values is not None and not isinstance(value, dict | list):
                shown = "null" if value is None else str(value)
                if shown in rule.values:
                    value = rule.values[shown]
            if value is None:
                value = rule.default
            if value is not None:
                self._set(call, name, rule, value)
        if self.key:
            parts = [get(record) for get in self.key]
            if any(part is None for part in parts):
                raise BadRecordError("the row has no key", "$." + str(self.mapping.key))
            call.identity = "\x1f".join(str(part) for part in parts)
        self._contents(call, record)
        if call.tokens_source is None and call.input_tokens is None and call.output_tokens is None:
            call.tokens_source = "missing"
        if call.task is not None:
            call.task_source = "mapping"
        if call.agent is not None:
            call.agent_source = "mapping"
        return call

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return ()

    def _set(self, call: Call, name: str, rule: FieldRule, value: Any) -> None:
        path = "$." + rule.paths[0]
        if isinstance(value, Decimal):
            value = float(value) if name != "logged_cost_usd" else value
        if rule.scale is not None:
            value = _number(value, path) * rule.scale
        if name in ("start_time", "end_time"):
            micros, precision = self._time(value, rule, path)
            if name == "start_time":
                call.start_us, call.time_precision = micros, precision
            else:
                call.end_us = micros
        elif name in ("duration_ms", "time_to_first_chunk_ms"):
            setattr(call, name, _number(value, path) * _TO_MS[rule.unit or "ms"])
        elif name == "logged_cost_usd":
            call.logged_cost_pico = pico_dollars(value, path, 100 if rule.unit == "cents" else 1)
        elif name == "weight":
            weight = _number(value, path)
            if not 0 < weight < 1e12:
                raise BadRecordError(f"a weight must be above zero and below 1e12: {value}", path)
            call.weight_micro = round(weight * 1_000_000)
        elif name in _TOKENS:
            if rule.unit == "thousands":
                value = _number(value, path) * 1000
            setattr(call, name, token_count(value, path))
        elif name == "tags":
            given = value if isinstance(value, list) else [value]
            call.tags = [text for text in map(text_or_none, given) if text] or None
        elif name == "status":
            call.status = str(value).lower() if str(value).lower() in _STATUSES else _status(value)
        elif name == "score":
            call.score = _number(value, path)
            if not 0 <= call.score <= 1:
                raise BadRecordError(f"a score outside 0..1: {value}", path)
        elif CALL_COLUMNS[name] == "BOOLEAN":
            setattr(call, name, _flag(value, path))
        elif CALL_COLUMNS[name] in ("BIGINT", "INTEGER", "SMALLINT"):
            setattr(call, name, token_count(value, path))
        elif CALL_COLUMNS[name] == "DOUBLE":
            setattr(call, name, _number(value, path))
        elif isinstance(value, dict | list):
            raise BadRecordError(f"{name} should be a text, and is a {type(value).__name__}", path)
        else:
            setattr(call, name, text_or_none(value))

    def _time(self, value: Any, rule: FieldRule, path: str) -> tuple[int, str]:
        unit = rule.unit if rule.unit in ("s", "ms", "us", "ns") else None
        if rule.origin is not None:
            start, _ = time_us(rule.origin, "origin", zone=self.zone)
            return start + round(_number(value, path) * _TO_MS[rule.unit or "s"] * 1000), "s"
        if isinstance(value, date) and not isinstance(value, datetime):
            value = value.isoformat()
        return time_us(value, path, zone=self.zone, unit=unit)

    def _contents(self, call: Call, record: Any) -> None:
        parts = self.parts
        if "messages" in parts:
            call.messages = _message_list(parts["messages"](record), "user", "$." + str(self.mapping.messages))
        if "response" in parts:
            call.output = _message_list(parts["response"](record), "assistant", "$." + str(self.mapping.response))
        if "tools" in parts:
            tools = opened(parts["tools"](record))
            call.tools = tools if isinstance(tools, list) and tools else None
        if "params" in parts:
            params = opened(parts["params"](record))
            if isinstance(params, dict):
                call.params = {name: value for name, value in params.items() if name not in ("model", "messages")}
                if call.temperature is None and isinstance(params.get("temperature"), int | float):
                    call.temperature = float(params["temperature"])
                agent_names.from_metadata(call, params.get("metadata"))


def opened(value: Any) -> Any:
    """The value, or what its text holds where it is JSON in a string."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return value
    return value


def _message_list(value: Any, role: str, path: str) -> list[Any] | None:
    """Messages from a list of them, one of them, or a plain text."""
    value = opened(value)
    if value is None or value in ("", [], {}):
        return None
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [{"role": role, "content": one} if isinstance(one, str) else one for one in value]
    raise BadRecordError(f"messages should be a list or a text, not {type(value).__name__}", path)


def _number(value: Any, path: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        found = float(value)
        if not math.isfinite(found):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise BadRecordError(f"not a number: {str(value)[:40]!r}", path) from None
    return found


def _flag(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "t"):
        return True
    if word in ("false", "0", "no", "f"):
        return False
    raise BadRecordError(f"neither true nor false: {str(value)[:40]!r}", path)


def _status(value: Any) -> str:
    """ok for 2xx and words of success, error for the rest."""
    word = str(value).strip().lower()
    if word in ("success", "succeeded", "completed", "true", "done") or (word[:1] == "2" and word.isdigit()):
        return "ok"
    return "error"


FORMAT = Format(
    name="mapping",
    title="a layout of its own, by a mapping file",
    fingerprints=(),
    matches=lambda record: False,  # noqa: ARG005
    open=MappingReader,
    rank=100,
)
