"""A first mapping file for a log of one's own: paths of its first records, matched to our fields by name and value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ingest.detect.draft_amounts import drop_running_sums, foreign_currency, scale_of, sides_of_cost
from ingest.detect.draft_document import TOKENS, Draft, Record
from ingest.detect.draft_records import add_later, calls_of, later_calls, paths_of, rows_path
from ingest.detect.draft_rules import count_of, rule_for
from ingest.detect.field_names import content_of, field_of, key_rank
from ingest.detect.file_format import later_sample, sample
from ingest.errors import InputError
from ingest.files import line_files
from ingest.records.json_paths import getter, rows_at

_NEEDED = ("start_time", "request_model", "input_tokens", "output_tokens")
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")
_OF_PARENTS = {"start_time", "request_model", "provider_name", "agent", "task", "conversation_id", "user_id"}
_UNKNOWN_WINDOW = 1_050_000  # input tokens that no call of an unknown model is likely to exceed
_SAMPLE = 50  # records in a row, in which sums that run on and keys that repeat can be seen


def draft_mapping(path: Path) -> str:
    """The text of a mapping file for `path`, with a comment where something has to be checked."""
    kind = line_files.file_kind(path)
    if kind.shape in ("empty", "binary", "sse", "vcr"):
        raise InputError("no records to draft a mapping from", where=str(path))
    records = [record for record in sample(path, kind, _SAMPLE) if isinstance(record, dict)]
    if not records:
        raise InputError("no whole record in it", where=str(path))
    name = re.sub(r"[^\w.-]+", "-", path.name.split(".")[0]).strip("-") or "custom"
    draft = Draft({"name": name[:60], "timezone": "UTC"})
    rows = rows_path(records)
    if rows is not None:
        draft.document["rows"] = rows
        draft.notes.append(f"each element of {rows} was taken as a call, as they have token counts")
        scopes = [scope for record in records for scope in rows_at(rows)((record,)) if isinstance(scope[-1], dict)]
        bare = sum(next(rows_at(rows)((record,)), None) is None for record in records)
        if bare:
            draft.notes.append(f"{bare} of {len(records)} documents have no {rows}: they are no calls")
        calls = calls_of(draft, [scope[-1] for scope in scopes])
        parents = [scope[-2] for scope in scopes if len(scope) > 2 and isinstance(scope[-2], dict)]
        around = {"$.": records, "^.": parents}
    else:
        calls, around = calls_of(draft, records), {}
    paths = paths_of(calls)
    add_later(paths, later_calls(draft, later_sample(path, kind, len(records)), rows), len(calls))
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


def _fields(draft: Draft, paths: dict[str, dict[int, Any]], total: int, around: dict[str, list[Record]]) -> None:
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
        for theirs, values in paths_of(parents).items():
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
        fields[ours] = rule_for(draft, ours, theirs, [*values.values()], paths)
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
        if rank >= 50 and ours in TOKENS:
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


def _cache(draft: Draft, fields: dict[str, Any], paths: dict[str, dict[int, Any]]) -> None:
    """Say whether the counts of input and output hold cache and reasoning, where the records tell."""

    def column(ours: str) -> list[float]:
        found = {number: value for one in _named_by(fields.get(ours)) for number, value in paths.get(one, {}).items()}
        return [count_of(found.get(number)) for number in range(size)]

    size = 1 + max((number for values in paths.values() for number in values), default=0)
    asked, made, total = column("input_tokens"), column("output_tokens"), column("total_tokens")
    read, written = column("cache_read_input_tokens"), column("cache_creation_input_tokens")
    cached = [one + other for one, other in zip(read, written, strict=True)]
    thought = column("reasoning_output_tokens")
    for key, whole, parts, rest in (("cache", asked, cached, made), ("reasoning", made, thought, asked)):
        if key == "cache" and any(
            "detail" in one.lower() for name in _CACHED for one in _named_by(fields.get(name))
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


def _named_by(rule: Any) -> list[str]:
    return [rule] if isinstance(rule, str) else rule if isinstance(rule, list) else []


def _key(draft: Draft, paths: dict[str, dict[int, Any]], total: int) -> None:
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


def _contents(draft: Draft, paths: dict[str, dict[int, Any]]) -> None:
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


def _window(draft: Draft, calls: list[Record]) -> None:
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
        largest[name] = max(largest.get(name, 0), count_of(count((call,))))
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
