"""Any JSONL, JSON, CSV or Parquet through a mapping file (`ingest.mapping_file`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ingest.errors import InputError
from ingest.format_contract import READER_ERRORS, Context, Format, Outcome, as_bad_record
from ingest.records import agent_names
from ingest.records.call import NOTHING, BadRecordError, Call, Skip, pico_dollars, text_or_none, token_count
from ingest.records.json_paths import Scope, all_values, getter, opened, rows_at
from ingest.records.number_text import TO_MS, amount, duration_ms, number
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.records.token_usage import counts_cache_apart
from ingest.store.schema import CALL_COLUMNS

if TYPE_CHECKING:
    from ingest.mapping_file import FieldRule, Mapping

_OK = frozenset({"success", "succeeded", "successful", "completed", "complete", "done", "true", "finished", "1"})
_FAILED = frozenset({
    "fail", "failed", "failure", "false", "exception", "timeout", "timed_out", "aborted", "rejected", "0",
})  # fmt: skip
_STATUSES = frozenset({"ok", "error", "cancelled", "gateway_cache_hit"})
# counts that `settle` sets, by its arguments
_SETTLED = {
    "input_tokens": "input_tokens", "output_tokens": "output_tokens", "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write", "cache_creation_1h_input_tokens": "cache_write_1h",
    "reasoning_output_tokens": "reasoning", "total_tokens": "total",
}  # fmt: skip
_WHOLE = frozenset({"BIGINT", "INTEGER", "SMALLINT"})
Test = Callable[[Scope], bool]


class MappingReader:
    """Reads records by a mapping."""

    def __init__(self, context: Context) -> None:
        if context.mapping is None:
            raise InputError("this format needs a mapping file", remedy="Add --mapping FILE.yaml")
        from ingest.mapping_file import FieldRule, shown  # pydantic is slow to import

        self.mapping: Mapping = context.mapping
        self.shown = shown
        self.zone = context.mapping.zone
        self.rules = [(name, rule, _source(rule, self._number)) for name, rule in self.mapping.fields.items()]
        self.constants = [
            (name, FieldRule.model_validate({"path": name}), value) for name, value in self.mapping.constants.items()
        ]
        self.cache_inside = _cache_inside(self.mapping)
        key = self.mapping.key
        self.key = [getter(path) for path in ([key] if isinstance(key, str) else key or [])]
        self.rows = rows_at(self.mapping.rows) if self.mapping.rows else None
        self.where = [self._test(path, wanted) for path, wanted in self.mapping.where.items()]
        self.failed = [self._test(path, wanted) for path, wanted in self.mapping.failed.items()]
        self.parts = {
            name: getter(path)
            for name in ("messages", "response", "tools", "params")
            if (path := getattr(self.mapping, name))
        }

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if self.rows is None:
            return self._read((record,))
        outcomes: list[Outcome] = []
        for scope in self.rows((record,)):
            try:
                outcomes.append(self._read(scope))
            except BadRecordError as bad:
                outcomes.append(bad)
            except READER_ERRORS as error:
                outcomes.append(as_bad_record(error))
        return outcomes or Skip(f"document without {self.mapping.rows}")

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return ()

    def _read(self, scope: Scope) -> Outcome:
        if not isinstance(scope[-1], dict):
            raise BadRecordError("not an object")
        if not all(test(scope) for test in self.where):
            return Skip("record outside the mapping's `where`", claims=NOTHING)
        call = Call()
        counts: dict[str, int | None] = {}
        for name, rule, value in self.constants:
            self._set(call, counts, name, rule, value)
        for name, rule, get in self.rules:
            value = get(scope)
            if rule.values is not None and not isinstance(value, dict | list):
                shown = self.shown(value)
                if shown in rule.values:
                    value = rule.values[shown]
            if value is None:
                value = rule.default
            if value is not None:
                self._set(call, counts, name, rule, value)
        if self.failed and all(test(scope) for test in self.failed):
            call.status = "error"
        if self.key:
            parts = [get(scope) for get in self.key]
            if any(part is None for part in parts):
                raise BadRecordError("the row has no key", "$." + str(self.mapping.key))
            call.identity = "\x1f".join(str(part) for part in parts)
        self._contents(call, scope)
        self._settle(call, counts)
        if call.request_model is None and call.response_model is None:
            call.issue("no_model", "the mapping finds none")
        if call.task is not None:
            call.task_source = "mapping"
        if call.agent is not None:
            call.agent_source = "mapping"
        return call

    def _settle(self, call: Call, counts: dict[str, int | None]) -> None:
        """Inclusive counts from those of the record. A `tokens_source` that the mapping fills stays."""
        source = call.tokens_source
        given = {argument: counts.get(name) for name, argument in _SETTLED.items()}
        if given["cache_write"] is None:
            given["cache_write"] = given["cache_write_1h"]
        inside = self.cache_inside
        if inside is None and not counts_cache_apart(call.provider_name, call.response_model or call.request_model):
            inside = True
        settle(call, **given, cache_inside=inside, reasoning_inside=self.mapping.reasoning == "inside")
        call.tokens_source = source or call.tokens_source

    def _test(self, path: str, wanted: Any) -> Test:
        """Whether what the path leads to is a value, one of a list, or fits `not`, `above` and `below`."""
        get = getter(path)

        def equals(scope: Scope, value: Any) -> bool:
            found = get(scope)
            if isinstance(value, int | float) and not isinstance(value, bool) and not isinstance(found, bool | None):
                try:
                    return self._number(found, path) == value
                except BadRecordError:
                    return False
            return self.shown(found) == self.shown(value)

        def compares(scope: Scope, limit: Any, above: bool) -> bool:
            found = self._number(get(scope), path)
            return found is not None and (found > limit if above else found < limit)

        def any_of(scope: Scope, value: Any) -> bool:
            return any(equals(scope, one) for one in (value if isinstance(value, list) else [value]))

        if not isinstance(wanted, dict):
            return lambda scope: any_of(scope, wanted)
        return lambda scope: (
            ("not" not in wanted or not any_of(scope, wanted["not"]))
            and ("above" not in wanted or compares(scope, wanted["above"], True))
            and ("below" not in wanted or compares(scope, wanted["below"], False))
        )

    def _number(self, value: Any, path: str, *, whole: bool = False) -> Decimal | int | None:
        return number(value, path, decimal=self.mapping.decimal, whole=whole)

    def _count(self, value: Any, rule: FieldRule, path: str) -> int | None:
        """A whole number, scaled."""
        found = self._number(value, path, whole=rule.unit is None and rule.scale is None)
        if found is None:
            return None
        found *= _scale(rule) * (1000 if rule.unit == "thousands" else 1)
        if found != int(found):
            raise BadRecordError(f"not a whole number: {str(value)[:40]!r}", path)
        return token_count(int(found), path)

    def _real(self, value: Any, rule: FieldRule, path: str) -> float | None:
        found = self._number(value, path)
        return None if found is None else float(found * _scale(rule))

    def _set(self, call: Call, counts: dict[str, int | None], name: str, rule: FieldRule, value: Any) -> None:
        path = "$." + rule.paths[0]
        decimal = self.mapping.decimal
        if name in _SETTLED:
            counts[name] = self._count(value, rule, path)
        elif name in ("start_time", "end_time"):
            micros, precision = self._time(value, rule, path)
            if name == "start_time":
                call.start_us, call.time_precision = micros, precision
            else:
                call.end_us = micros
        elif name in ("duration_ms", "time_to_first_chunk_ms"):
            spent = duration_ms(value, path, unit=rule.unit, decimal=decimal)
            setattr(call, name, None if spent is None else spent * float(_scale(rule)))
        elif name == "logged_cost_usd":
            paid = amount(value, path, decimal=decimal, currency=rule.currency)
            if paid is not None:
                call.logged_cost_pico = pico_dollars(paid * _scale(rule), path, 100 if rule.unit == "cents" else 1)
        elif name == "weight":
            weight = self._real(value, rule, path)
            if weight is None:
                return
            if not 0 < weight < 1e12:
                raise BadRecordError(f"a weight must be above zero and below 1e12: {value}", path)
            call.weight_micro = round(weight * 1_000_000)
        elif name == "tags":
            given = value if isinstance(value, list) else [value]
            call.tags = [text for text in map(text_or_none, given) if text] or None
        elif name == "status":
            _apply_status(call, value)
        elif name == "score":
            call.score = self._real(value, rule, path)
        elif CALL_COLUMNS[name] == "BOOLEAN":
            setattr(call, name, _flag(value, path))
        elif CALL_COLUMNS[name] in _WHOLE:
            setattr(call, name, self._count(value, rule, path))
        elif CALL_COLUMNS[name] == "DOUBLE":
            setattr(call, name, self._real(value, rule, path))
        elif isinstance(value, dict | list):
            raise BadRecordError(f"{name} should be a text, and is a {type(value).__name__}", path)
        else:
            setattr(call, name, text_or_none(value))

    def _time(self, value: Any, rule: FieldRule, path: str) -> tuple[int, str]:
        if rule.origin is not None:
            start, _ = time_us(rule.origin, "origin", zone=self.zone)
            since = self._number(value, path)
            if since is None:
                raise BadRecordError("no time", path)
            return start + round(since * _scale(rule) * TO_MS[rule.unit or "s"] * 1000), rule.unit or "s"
        if rule.format is not None and isinstance(value, str):
            try:
                moment = datetime.strptime(value.strip(), rule.format)
            except ValueError:
                raise BadRecordError(f"not a time of the layout {rule.format!r}: {value[:40]!r}", path) from None
            return time_us(moment, path, zone=self.zone)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = value.isoformat()
        if rule.scale is not None:
            value = self._real(value, rule, path)
        return time_us(value, path, zone=self.zone, unit=rule.unit, day_first=self.mapping.day_first)

    def _contents(self, call: Call, scope: Scope) -> None:
        parts = self.parts
        if "messages" in parts:
            call.messages = _message_list(parts["messages"](scope), "user", "$." + str(self.mapping.messages))
        if "response" in parts:
            call.output = _message_list(parts["response"](scope), "assistant", "$." + str(self.mapping.response))
        if "tools" in parts:
            tools = opened(parts["tools"](scope))
            call.tools = tools if isinstance(tools, list) and tools else None
        if "params" in parts:
            params = opened(parts["params"](scope))
            if isinstance(params, dict):
                call.params = {name: value for name, value in params.items() if name not in ("model", "messages")}
                if call.temperature is None and isinstance(params.get("temperature"), int | float):
                    call.temperature = float(params["temperature"])
                agent_names.from_metadata(call, params.get("metadata"))


def _cache_inside(mapping: Mapping) -> bool | None:
    """What the mapping says, in words or by adding a cache count to the input; None where it does not."""
    if mapping.cache is not None:
        return mapping.cache == "inside"
    added = mapping.fields["input_tokens"].sum if "input_tokens" in mapping.fields else []
    cached = (mapping.fields.get(name) for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    return True if any(path in added for rule in cached if rule is not None for path in rule.paths) else None


def _source(rule: FieldRule, read: Callable[[Any, str], Decimal | int | None]) -> Callable[[Scope], Any]:
    """What a rule takes from a scope: the first of its paths that is there, their sum, or their texts together."""
    if rule.sum:
        sums = [(path, all_values(path)) for path in rule.sum]

        def add(scope: Scope) -> Any:
            found = [read(value, "$." + path) for path, values in sums for value in values(scope)]
            known = [value for value in found if value is not None]
            return sum(known) if known else None

        return add
    getters = [getter(path) for path in rule.paths]
    if rule.join:

        def join(scope: Scope) -> Any:
            texts = [get(scope) for get in getters]
            return None if any(text is None for text in texts) else " ".join(map(str, texts))

        return join
    if len(getters) == 1:
        return getters[0]
    return lambda scope: next((value for get in getters if (value := get(scope)) is not None), None)


def _scale(rule: FieldRule) -> Decimal | int:
    return 1 if rule.scale is None else Decimal(repr(rule.scale))


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


def _flag(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "t"):
        return True
    if word in ("false", "0", "no", "f"):
        return False
    raise BadRecordError(f"neither true nor false: {str(value)[:40]!r}", path)


def _apply_status(call: Call, value: Any) -> None:
    """One of our words, a HTTP status, or a word of success or failure; any other is remarked on, as an error."""
    word = str(value).strip().lower()
    if word in _STATUSES:
        call.status = word
    elif word in _OK:
        call.status = "ok"
    elif word.isdecimal() and 100 <= int(word) < 600:
        call.http_status = int(word)
        call.status = "ok" if call.http_status < 400 else "error"
    else:
        call.status = "error"
        if word not in _FAILED and "error" not in word:
            call.issue("unknown_status", word[:40])


FORMAT = Format(
    name="mapping",
    title="a layout of its own, by a mapping file",
    fingerprints=(),
    matches=lambda record: False,  # noqa: ARG005
    open=MappingReader,
    rank=100,
)
