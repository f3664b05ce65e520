"""A first mapping file for a log of one's own: paths of its first records, matched to our fields by name and value."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ingest.detect.draft_amounts import drop_running_sums, foreign_currency, scale_of, sides_of_cost
from ingest.detect.field_names import content_of, field_of, is_number, key_rank, unit_of, words
from ingest.detect.file_format import later_sample, sample
from ingest.errors import InputError
from ingest.files import line_files
from ingest.records.call import BadRecordError
from ingest.records.json_paths import getter, opened, rows_at
from ingest.records.number_text import number
from ingest.records.timestamps import time_us

_NEEDED = ("start_time", "request_model", "input_tokens", "output_tokens")
_TOKENS = ("input_tokens", "output_tokens")
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")
_OF_PARENTS = {"start_time", "request_model", "provider_name", "agent", "task", "conversation_id", "user_id"}
_UNKNOWN_WINDOW = 1_050_000  # input tokens that no call of an unknown model is likely to exceed
# keys that tell what a record is, and words for those that are failed calls
_KINDS = (
    "type",
    "kind",
    "event",
    "object",
    "op",
    "operation_name",
    "event_name",
    "event_type",
    "span_type",
    "category",
)
_FAILED = re.compile("error|fail|expired|cancel|invalid", re.IGNORECASE)
_SAMPLE = 50  # records in a row, in which sums that run on and keys that repeat can be seen
_DEPTH = 6
_PATHS = 3_000
_FORMATS = (
    "%d.%m.%y %H:%M", "%d.%m.%y %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S",
    "%Y-%m-%d-%H-%M-%S", "%y/%m/%d %H:%M:%S",
)  # fmt: skip
Record = dict[str, Any]


@dataclass
class _Draft:
    """The mapping as it grows, and what is to be checked in it."""

    document: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def draft_mapping(path: Path) -> str:
    """The text of a mapping file for `path`, with a comment where something has to be checked."""
    kind = line_files.file_kind(path)
    if kind.shape in ("empty", "binary", "sse", "vcr"):
        raise InputError("no records to draft a mapping from", where=str(path))
    records = [record for record in sample(path, kind, _SAMPLE) if isinstance(record, dict)]
    if not records:
        raise InputError("no whole record in it", where=str(path))
    name = re.sub(r"[^\w.-]+", "-", path.name.split(".")[0]).strip("-") or "custom"
    draft = _Draft({"name": name[:60], "timezone": "UTC"})
    rows = _rows(records)
    if rows is not None:
        draft.document["rows"] = rows
        draft.notes.append(f"each element of {rows} was taken as a call, as they have token counts")
        scopes = [scope for record in records for scope in rows_at(rows)((record,)) if isinstance(scope[-1], dict)]
        bare = sum(next(rows_at(rows)((record,)), None) is None for record in records)
        if bare:
            draft.notes.append(f"{bare} of {len(records)} documents have no {rows}: they are no calls")
        calls = _calls_of(draft, [scope[-1] for scope in scopes])
        parents = [scope[-2] for scope in scopes if len(scope) > 2 and isinstance(scope[-2], dict)]
        around = {"$.": records, "^.": parents}
    else:
        calls, around = _calls_of(draft, records), {}
    paths = _paths(calls)
    _add_later(paths, _later_calls(draft, later_sample(path, kind, len(records)), rows), len(calls))
    _fields(draft, paths, len(calls), around)
    _key(draft, paths, len(calls))
    _contents(draft, paths)
    _window(draft, calls)
    lines = [f"# A draft for {path.name}. Check it, then: hindcast ingest {path.name} --mapping THIS_FILE"]
    lines += [f"# CHECK: {note}" for note in draft.notes]
    rest = sorted(theirs for theirs in paths if theirs not in draft.used and "." not in theirs)
    if rest:
        lines.append(f"# Not used: {', '.join(rest[:30])}")
    return "\n".join(lines) + "\n" + yaml.safe_dump(draft.document, sort_keys=False, allow_unicode=True)


def _paths(records: list[Record]) -> dict[str, dict[int, Any]]:
    """Every path through keys, with the values other than None that are there, by the number of their record."""
    found: dict[str, dict[int, Any]] = {}

    def walk(value: Record, prefix: str, depth: int, number: int) -> None:
        for key, item in value.items():
            if item is None or len(found) > _PATHS:
                continue
            path = f"{prefix}{key}"
            found.setdefault(path, {})[number] = item
            inner = opened(item)
            if isinstance(inner, dict) and depth < _DEPTH:
                walk(inner, f"{path}.", depth + 1, number)

    for place, record in enumerate(records):
        walk(record, "", 1, place)
    return found


def _later_calls(draft: _Draft, records: list[Any], rows: str | None) -> list[Record]:
    """The calls among records from all over the file, by what the draft says of rows and conditions."""
    if rows is not None:
        records = [scope[-1] for record in records for scope in rows_at(rows)((record,))]
    calls = [record for record in records if isinstance(record, dict)]
    for theirs, wanted in (draft.document.get("where") or {}).items():
        get, names = getter(theirs), [wanted] if isinstance(wanted, str) else wanted
        calls = [call for call in calls if str(get((call,))) in names]
    return calls


def _add_later(paths: dict[str, dict[int, Any]], calls: list[Record], total: int) -> None:
    """Add the values of paths that the first records leave empty, or fill with values of another type."""
    for theirs, values in _paths(calls).items():
        known = paths.setdefault(theirs, {})
        if {type(value) for value in values.values()} - {type(value) for value in known.values()}:
            known.update((total + number, value) for number, value in values.items())


def _rows(records: list[Record]) -> str | None:
    """The path of the array whose elements are calls: they have token counts, and a record has several."""
    arrays: dict[str, list[Record]] = {}

    def walk(value: Any, path: str, depth: int) -> None:
        value = opened(value)
        if depth > _DEPTH or len(arrays) > 200:
            return
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            arrays.setdefault(path, []).extend(item for item in value if isinstance(item, dict))
            for item in value[:200]:
                walk(item, f"{path}.*", depth + 1)

    for record in records:
        walk(record, "", 0)
    best = None
    for path, items in arrays.items():
        named = {ours for theirs, values in _paths(items[:500]).items() if (ours := _name(theirs, values))}
        if len(items) > len(records) and named.issuperset(_TOKENS):
            rank = ("request_model" in named or "response_model" in named, "start_time" in named, -path.count("."))
            best = max(best or (rank, path), (rank, path))
    return best[1] if best else None


def _name(theirs: str, values: dict[int, Any]) -> str | None:
    found = field_of(theirs, [*values.values()])
    return found[0] if found and found[1] < 90 else None


def _calls_of(draft: _Draft, items: list[Record]) -> list[Record]:
    """The records that are calls, as they have token counts, and a condition that tells them from the others."""
    paths = _paths(items)
    counted = {number for theirs, values in paths.items() if _name(theirs, values) in _TOKENS for number in values}
    others = {*range(len(items))} - counted
    if not counted or not others:
        return items
    kinds = sorted(
        (theirs.count("."), theirs) for theirs in paths if "_".join(words(theirs.rpartition(".")[2])) in _KINDS
    )
    for _, theirs in kinds:
        values = paths[theirs]
        if any(not isinstance(value, str) for value in values.values()):
            continue
        if any(_FAILED.search(str(values.get(one))) for one in others):
            continue
        inside, outside = ({values.get(one) for one in part} for part in (counted, others))
        if None not in inside and outside != {None} and len(inside) <= 3 and inside.isdisjoint(outside):
            wanted = sorted(str(value) for value in inside)
            draft.document["where"] = {theirs: wanted[0] if len(wanted) == 1 else wanted}
            draft.notes.append(f"the records whose {theirs} is not {' or '.join(wanted)} were taken as no calls")
            return [items[number] for number in sorted(counted)]
    return items


def _fields(draft: _Draft, paths: dict[str, dict[int, Any]], total: int, around: dict[str, list[Record]]) -> None:
    """Fill `fields` with the best path for each of ours: filled in most records, then surest by name."""
    candidates: dict[str, list[tuple[int, int, str, dict[int, Any]]]] = {}
    for theirs, values in paths.items():
        if (found := field_of(theirs, [*values.values()])) is None:
            continue
        currency = foreign_currency(theirs, [*values.values()]) if found[0] == "logged_cost_usd" else None
        if currency is not None:
            draft.notes.append(f"{theirs} is in {currency}: add logged_cost_usd with its currency and scale (dollars)")
            continue
        candidates.setdefault(found[0], []).append((found[1], theirs.count("."), theirs, values))
    drop_running_sums(candidates, draft.notes, draft.used)
    sizes = dict.fromkeys(candidates, total)
    for prefix, parents in around.items():
        for theirs, values in _paths(parents).items():
            found = field_of(theirs, [*values.values()])
            if found and found[0] in _OF_PARENTS and found[0] not in candidates:
                candidates[found[0]] = [(found[1], theirs.count("."), prefix + theirs, values)]
                sizes[found[0]] = len(parents)
    fields: dict[str, Any] = {}
    draft.document["fields"] = fields
    for ours in sorted(candidates, key=_order):
        most = max(len(values) for *_, values in candidates[ours])
        full = (one for one in candidates[ours] if len(one[3]) >= 0.95 * most)
        rank, _, theirs, values = min(full, key=_surest)
        fields[ours] = _rule(draft, ours, theirs, [*values.values()], paths)
        seen, chosen = {*values}, [theirs]
        alternatives = sorted(candidates[ours], key=_surest) if isinstance(fields[ours], str) else []
        for _, _, other, more in alternatives:
            if len(seen) < sizes[ours] and seen.isdisjoint(more):
                chosen.append(other)
                seen |= {*more}
        if len(chosen) > 1:
            fields[ours] = chosen
            draft.notes.append(f"{ours} is in {' or '.join(chosen)}: are all of them meant alike?")
        draft.used.update(chosen)
        if rank >= 50 and ours in _TOKENS:
            draft.notes.append(f"{theirs} was taken as {ours}")
        if len(seen) < sizes[ours] and ours in _NEEDED:
            draft.notes.append(
                f"{' and '.join(chosen)} is missing in {sizes[ours] - len(seen)} of {sizes[ours]} records"
            )
    parts = sides_of_cost(paths) if "logged_cost_usd" not in fields else []
    if parts:
        scale = scale_of(parts[0])
        fields["logged_cost_usd"] = {"sum": parts} if scale is None else {"sum": parts, "scale": scale}
        draft.used.update(parts)
        draft.notes.append(f"{' and '.join(parts)} were added up and taken as US dollars")
    if "request_model" not in fields and "response_model" in fields:
        fields["request_model"] = fields.pop("response_model")
    for needed in _NEEDED:
        if needed not in fields:
            draft.notes.append(f"no path looks like {needed}: add it under fields, or a constant")
    _cache(draft, fields, paths)


def _surest(one: tuple[int, int, str, dict[int, Any]]) -> tuple[int, int, str]:
    return one[:3]


def _order(ours: str) -> tuple[int, str]:
    first = ("start_time", "end_time", "duration_ms", "time_to_first_chunk_ms", "request_model", "response_model",
             "provider_name", "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
             "output_tokens", "reasoning_output_tokens", "total_tokens", "logged_cost_usd")  # fmt: skip
    return (first.index(ours), ours) if ours in first else (len(first), ours)


def _cache(draft: _Draft, fields: dict[str, Any], paths: dict[str, dict[int, Any]]) -> None:
    """Say whether the counts of input and output hold cache and reasoning, where the records tell."""

    def column(ours: str) -> list[float]:
        found = {number: value for one in _paths_of(fields.get(ours)) for number, value in paths.get(one, {}).items()}
        return [_count(found.get(number)) for number in range(size)]

    size = 1 + max((number for values in paths.values() for number in values), default=0)
    asked, made, total = column("input_tokens"), column("output_tokens"), column("total_tokens")
    read, written = column("cache_read_input_tokens"), column("cache_creation_input_tokens")
    cached = [one + other for one, other in zip(read, written, strict=True)]
    thought = column("reasoning_output_tokens")
    for key, whole, parts, rest in (("cache", asked, cached, made), ("reasoning", made, thought, asked)):
        if key == "cache" and any(
            "detail" in one.lower() for name in _CACHED for one in _paths_of(fields.get(name))
        ):  # details of a count are parts of it
            draft.document[key] = "inside"
            continue
        told = [row for row in zip(whole, parts, rest, total, strict=True) if row[1]]
        if not told or not any(whole):
            continue
        if any(part > one for one, part, _, _ in told):
            draft.document[key] = "outside"
            draft.notes.append(f"{key} is above the count that might hold it in a record: {key}: outside")
        elif all(in_all and in_all == one + part + other for one, part, other, in_all in told):
            draft.document[key] = "outside"
        elif key == "cache" or not all(in_all and in_all == one + other for one, _, other, in_all in told):
            held = "input" if key == "cache" else "output"
            draft.notes.append(f"does the {held} count hold the {key} tokens? Say {key}: inside or outside")


def _paths_of(rule: Any) -> list[str]:
    return [rule] if isinstance(rule, str) else rule if isinstance(rule, list) else []


def _count(value: Any) -> float:
    try:
        return float(number(value, "$", whole=True) or 0)
    except BadRecordError:
        return 0.0


def _rule(draft: _Draft, ours: str, theirs: str, values: list[Any], paths: dict[str, dict[int, Any]]) -> Any:
    """The rule for a field, with a note where the values leave something open."""
    if ours in ("start_time", "end_time"):
        return _time_rule(draft, theirs, values, paths)
    if ours in ("duration_ms", "time_to_first_chunk_ms"):
        unit = unit_of(theirs)
        if unit is None:
            sizes = sorted(_count(value) for value in values if is_number(value))
            middle = sizes[len(sizes) // 2] if sizes else 0
            # an answer takes from a fifth of a second to a quarter of an hour
            unit = "ns" if middle >= 1e9 else "us" if middle >= 1e6 else "ms" if middle >= 200 else "s"
            draft.notes.append(f"{theirs} was taken as {unit}")
        return theirs if unit == "ms" else {"path": theirs, "unit": unit}
    scale = scale_of(theirs) if ours.endswith(("_tokens", "_usd")) else None
    if scale is not None:
        draft.notes.append(f"{theirs} was multiplied by {scale:g}")
        return {"path": theirs, "scale": scale}
    if ours == "logged_cost_usd":
        if unit_of(theirs) == "cents":
            return {"path": theirs, "unit": "cents"}
        if not {*words(theirs)} & {"usd", "dollars"}:
            draft.notes.append(f"{theirs} was taken as US dollars")
    if ours.endswith(("_tokens", "_usd")) and "decimal" not in draft.document:
        texts = [value for value in values if isinstance(value, str)]
        if any(_refused(value) for value in texts) and not any(_refused(value, ",") for value in texts):
            draft.document["decimal"] = ","
            draft.notes.append(f"the numbers of {theirs} were taken as written with a decimal comma")
    if ours in ("request_model", "provider_name"):
        names = [text for text, _ in Counter(map(str, values)).most_common(20)]
        odd = [text for text in names if text[:1] == '"' or ("." in text and text[:1].isupper())]
        if odd:
            draft.notes.append(f"write the provider's names in {ours}")
            return {"path": theirs, "values": {text: text for text in odd}}
    if ours == "score" and any(is_number(value) and not 0 <= _count(value) <= 1 for value in values):
        draft.notes.append(f"{theirs} must end up between 0 and 1")
        return {"path": theirs, "scale": 0.01}
    return theirs


def _refused(text: str, decimal: Any = None) -> bool:
    try:
        number(text.strip(" \u00a0$€£"), "$", decimal=decimal, whole=True)
    except BadRecordError:
        return True
    return False


def _time_rule(draft: _Draft, theirs: str, values: list[Any], paths: dict[str, dict[int, Any]]) -> Any:
    first = values[0]
    if isinstance(first, str) and re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", first.strip()):
        for other, clocks in paths.items():
            if all(isinstance(clock, str) and re.match(r"\d{1,2}:\d\d", clock) for clock in clocks.values()):
                draft.used.add(other)
                draft.notes.append(f"{theirs} and {other} were put together; they name no zone: set timezone")
                return {"join": [theirs, other]}
    orders = [order for order in (None, True, False) if all(_reads(value, order) for value in values)]
    if orders and orders[0] is None:
        unit = unit_of(theirs)
        if isinstance(first, str) and time_us(first, theirs)[1] == "assumed_tz":
            draft.notes.append(f"the times of {theirs} name no zone: set timezone")
        return {"path": theirs, "unit": unit} if unit in ("ms", "us", "ns") and is_number(first) else theirs
    if orders:
        draft.document["day_first"] = orders[0]
        shown = "day first" if orders[0] else "month first"
        draft.notes.append(f"the dates of {theirs} were taken as {shown}{', but both fit' if len(orders) > 1 else ''}")
        return theirs
    for layout in _FORMATS:
        if all(isinstance(value, str) and _has_layout(value, layout) for value in values):
            draft.notes.append(f"the times of {theirs} were taken as {layout}: check it, and set timezone")
            return {"path": theirs, "format": layout}
    draft.notes.append(f"{theirs}: not a time: {str(first)[:40]!r}; name its unit, origin or format")
    return theirs


def _reads(value: Any, day_first: bool | None) -> bool:
    try:
        time_us(value if not hasattr(value, "isoformat") else value.isoformat(), "$", day_first=day_first)
    except BadRecordError:
        return False
    return True


def _has_layout(text: str, layout: str) -> bool:
    try:
        datetime.strptime(text.strip(), layout)
    except ValueError:
        return False
    return True


def _key(draft: _Draft, paths: dict[str, dict[int, Any]], total: int) -> None:
    """What identifies a call: an id that every record has and none repeats."""
    ranked = sorted((rank, theirs.count("."), theirs) for theirs in paths if (rank := key_rank(theirs)) is not None)
    for _, _, theirs in ranked:
        values = [*paths[theirs].values()]
        if any(isinstance(value, dict | list) for value in values):
            continue
        if len(values) < total:
            continue
        if len({str(value) for value in values}) < total:
            draft.notes.append(f"{theirs} repeats in the sample: no key")
            continue
        if total == 1:
            draft.notes.append(f"{theirs} was taken as the key of a call from one record: it must not repeat")
        draft.document = {**_before(draft.document, "fields"), "key": theirs, "fields": draft.document["fields"]}
        draft.used.add(theirs)
        return


def _contents(draft: _Draft, paths: dict[str, dict[int, Any]]) -> None:
    """Where the messages, the answer and the tools are."""
    best: dict[str, tuple[int, int, str]] = {}
    for theirs, values in paths.items():
        if theirs not in draft.used and (found := content_of(theirs, [*values.values()])) is not None:
            one = (found[1], theirs.count("."), theirs)
            best[found[0]] = min(best.get(found[0], one), one)
    for section in ("messages", "response", "tools"):
        if section in best:
            draft.document[section] = best[section][2]
            draft.used.add(best[section][2])


def _before(document: dict[str, Any], last: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != last}


def _window(draft: _Draft, calls: list[Record]) -> None:
    """Warn where a record has more input than its model can take: then it is a sum over calls."""
    fields = draft.document["fields"]
    given = fields.get("input_tokens")
    if given is None:
        return
    if isinstance(given, dict):  # a number in another unit
        return
    count = getter(given if isinstance(given, str) else given[0])
    model = fields.get("request_model", fields.get("response_model"))
    named = getter(model) if isinstance(model, str) and not model.startswith(("$.", "^.")) else None
    largest: dict[str, float] = {}
    for call in calls:
        name = str(named((call,)) if named else "")
        largest[name] = max(largest.get(name, 0), _count(count((call,))))
    for name, tokens in sorted(largest.items(), key=lambda one: -one[1]):
        window = _window_of(name) or _UNKNOWN_WINDOW
        if tokens > window:
            draft.notes.append(
                f"a record has {tokens:,.0f} input tokens, more than {name or 'a model'} can take ({window:,}): "
                f"it may be a sum over calls; see `rows`, or `weight`"
            )
            return


def _window_of(model: str) -> int | None:
    """The context window of a model in the price catalogue, in tokens; None where it is not known."""
    if not model:
        return None
    from genai_prices import data_snapshot

    try:
        return data_snapshot.get_snapshot().find_provider_model(model, None, None, None)[1].context_window
    except LookupError:
        return None
