"""A segment of parsed calls as columns, written beside the store until one short publish takes it in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ingest.contents import tokenizer
from ingest.contents.cache_keys import POLICIES, RequestKeys, tenant
from ingest.contents.messages import OUTPUT, TOOLS, Contents, Measures
from ingest.records.call import PENDING, Bucket, Call, Claimed, Skip
from ingest.staging.arrow_files import Block, hash_columns, merged, write_table
from ingest.staging.call_completion import complete
from ingest.staging.segment import (
    PRINTED,
    USAGE_REPORT,
    ContentRules,
    FileCounts,
    LeftOut,
    Quarantined,
    Segment,
    without_values,
)
from ingest.store.schema import CALL_COLUMNS

_ARROW: dict[str, pa.DataType] = {
    "BIGINT": pa.int64(), "INTEGER": pa.int32(), "SMALLINT": pa.int16(), "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(), "VARCHAR": pa.string(), "VARCHAR[]": pa.list_(pa.string()),
}  # fmt: skip
# columns of `calls` that are not simply a field of Call
_MADE = {
    "call_no", "call_key", "source_id", "source_row", "start_time", "end_time", "model", "logged_cost_usd", "weight",
    "tool_count", "message_ids", "tools_id", "output_id", "input_words", "content_state", "has_images",
    "pending_tool_calls", *(f"key_{policy}" for policy in POLICIES),
}  # fmt: skip
FIELD_COLUMNS = tuple(name for name in CALL_COLUMNS if name not in _MADE)
_PLACED = (
    "source", "source_row", "identity", "by_line", "messages", "tools", "output", "tool_count",
    *(f"key_{policy}" for policy in POLICIES),
)  # fmt: skip
EXCERPT_CHARS = 200
_CODE = re.compile(r"[\w.:/\-]{1,80}")  # of an error: anything else may be a sentence
_NO_KEYS = (None,) * len(POLICIES)
_CALL_FIELDS = tuple(field.name for field in msgspec.structs.fields(Call))


class Batch:
    """Collects the outcomes of one segment's rows and stages them."""

    def __init__(self, rules: ContentRules, folder: Path, before: Contents | None = None) -> None:
        self.rules = rules
        self.segment = Segment(folder)
        key = rules.hash_key if rules.keep == "hashes" else None
        redact = rules.redact.redact_bytes if rules.redact else None
        self.contents = Contents(Measures(hash_key=key, redact=redact), before)
        self.keys = RequestKeys(hash_key=key)
        self._calls: list[Call] = []
        self._placed: list[tuple[Any, ...]] = []  # beside each call, what `_PLACED` names
        self._blocks: list[Block] = []  # other calls, as columns

    def __len__(self) -> int:
        return len(self._calls) + sum(len(block.table) for block in self._blocks)

    def singles(self) -> int:
        """How many calls came one by one."""
        return len(self._calls)

    def counts_of(self, source: int) -> FileCounts:
        """The counts of the file with this number."""
        found = self.segment.counts.get(source)
        if found is None:
            found = self.segment.counts[source] = FileCounts()
        return found

    def skip(self, source: int, outcome: Skip, claims: Claimed) -> None:
        """Count a row that is no call of its own, and the usage that is lost with it."""
        counts = self.counts_of(source)
        counts.rows += 1
        if outcome.duplicate:
            counts.duplicates += 1
        else:
            counts.skipped[outcome.reason] += 1
        if any(claims):
            counts.left_out.setdefault(outcome.reason, LeftOut()).add(claims)

    def bucket(self, source: int, bucket: Bucket) -> None:
        """Keep a row of a provider's usage report."""
        counts = self.counts_of(source)
        counts.rows += 1
        counts.skipped[USAGE_REPORT] += 1
        if self.rules.redact:
            for name in ("provider", "model", "line_item", "token_kind", "project", "api_key", "service_tier"):
                setattr(bucket, name, self.rules.redact.redact_text(getattr(bucket, name)))
        counts.buckets.append(bucket)

    def quarantine(self, source: int, bad: Quarantined) -> None:
        """Keep a row that cannot be used, without its text where texts are not kept."""
        counts = self.counts_of(source)
        counts.rows += 1
        if self.rules.keep != "text":
            bad.excerpt = None
            bad.reason = without_values(bad.reason)
            if self.rules.keep == "none":
                bad.sha256 = None  # anyone who guesses the row could compare it
        elif self.rules.redact:
            bad.reason = self.rules.redact.redact_excerpt(bad.reason)
            bad.path = self.rules.redact.redact_text(bad.path)
            if bad.excerpt is not None:
                bad.excerpt = self.rules.redact.redact_excerpt(bad.excerpt)
        if bad.excerpt is not None:
            bad.excerpt = bad.excerpt[:EXCERPT_CHARS]
        counts.quarantined.append(bad)

    def call(self, call: Call, source: int, row: int, key: bytes, *, by_line: bool) -> None:
        """Take in one call. `key` is its 16-byte identity. Raises BadRecordError, and then nothing of it is kept."""
        keep = self.rules.keep
        complete(call, self.rules.hash_key if keep == "hashes" else None, stored=keep != "none")
        if keep != "text" and call.error_type and not _CODE.fullmatch(call.error_type):
            call.error_type = "error"  # a provider's message may quote the prompt
        messages = tools = output = numbers = None
        words = call.input_words
        state = call.content_state
        if keep != "none" and (call.messages or call.output or call.tools):
            messages, tools, output, words, state, numbers = self._store_contents(call)
        if call.printed:
            call.issue(PRINTED, "what a tool printed of a run")
        if call.issues:
            clean = self.rules.redact.redact_text if self.rules.redact else str
            self.segment.issues.extend((len(self._calls), code, clean(detail)) for code, detail in call.issues)
            self.counts_of(source).flagged.update({code for code, _ in call.issues})
        call.input_words = words
        call.content_state = state or "absent"
        counts = self.counts_of(source)
        counts.rows += 1
        counts.calls += 1
        count = call.tool_count or (len(call.tools) if call.tools else None)
        call.messages = call.output = call.tools = call.params = None  # free the texts
        self._calls.append(call)
        self._placed.append((source, row, key, by_line, messages, tools, output, count, *(numbers or _NO_KEYS)))

    def block(self, table: pa.Table, first: int) -> None:
        """Take in plain calls of one piece as columns; its other calls are the single ones from number `first` on."""
        self._blocks.append(Block(first, len(self._calls), table))

    def _store_contents(self, call: Call) -> tuple[Any, ...]:
        add = self.contents.add
        messages: Sequence[int] | None = None
        numbers = tools = output = None
        words = call.input_words
        hashed = False
        if call.messages:
            found = self.contents.add_all(call.messages, "$.messages")
            messages, exact, masked, raw, counted, images, bare, _ = zip(*found, strict=True)
            hashed = True in bare
            if words is None and not hashed:
                words = sum(counted)
            elif words is None and all(self.contents.words(n) is not None for n in messages):
                words = sum(self.contents.words(n) or 0 for n in messages)
            if call.has_images is None:
                call.has_images = True in images
        tool_content = add(call.tools, TOOLS, "$.tools") if call.tools else None
        if tool_content is not None:
            tools = tool_content.number
        if call.output:
            # several choices or content blocks are one answer
            value = call.output[0] if len(call.output) == 1 else {"role": "assistant", "choices": call.output}
            answer = add(value, OUTPUT, "$.output")
            output = answer.number
            if call.pending_tool_calls is None and len(call.output) == 1:
                call.pending_tool_calls = call.finish_reason in PENDING or answer.measured.asks
            hashed = hashed or answer.hashed
        if messages is not None:
            materials = b"".join(exact), b"".join(masked), b"".join(raw)
            numbers = self.keys.numbers(*materials, tool_content, self.keys.parameters(call.params), tenant(call))
        state = "hashed" if hashed or self.rules.keep == "hashes" else call.content_state
        if state is None:
            state = "redacted" if self.rules.redact else "full" if messages is not None else "absent"
        return messages, tools, output, words, state, numbers

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self) -> Segment:
        """Write the segment's tables and return it."""
        segment = self.segment
        segment.calls = len(self)
        segment.hashed = self.rules.keep == "text" and any(one.text is None for one in self.contents.measured)
        if segment.calls:
            segment.folder.mkdir(mode=0o700)  # fails where the ingest it belongs to is over
            table, places = self._all_calls()
            segment.issues = [(int(places[call]), code, detail) for call, code, detail in segment.issues]
            write_table(table, segment.folder, "calls")
            if len(self.contents):
                write_table(self._content_table(), segment.folder, "contents")
            if self.keys.hashes:
                write_table(pa.table(hash_columns(self.keys.hashes)), segment.folder, "keys")
            scores = self.scores()
            if scores:
                calls, models, values = zip(*scores, strict=True)
                table = pa.table({"call": pa.array(places[list(calls)], pa.int64()), "model": models, "score": values})
                write_table(table, segment.folder, "scores")
            counted = self._token_table()
            if counted is not None:
                write_table(counted, segment.folder, "content_tokens")
        return segment

    def _all_calls(self) -> tuple[pa.Table, Any]:
        """All calls in order, and the places among them of those that came one by one."""
        if not self._blocks:
            return self.call_table(), np.arange(len(self._calls))
        return merged(self.call_table() if self._calls else None, self._blocks)

    def scores(self) -> list[tuple[int, str, float]]:
        """(call, model, score) of every score that a single call brings."""
        name = self.rules.redact.redact_text if self.rules.redact else str
        return [
            (number, name(model), score)
            for number, call in enumerate(self._calls)
            if call.scores
            for model, score in call.scores.items()
        ]

    def call_table(self) -> pa.Table:
        """The single calls as columns, in order."""
        size = len(self._calls)
        fields = dict(zip(_CALL_FIELDS, zip(*map(msgspec.structs.astuple, self._calls), strict=True), strict=True))
        placed = dict(zip(_PLACED, zip(*self._placed, strict=True), strict=True))
        columns: dict[str, Any] = hash_columns(placed["identity"])
        columns["source"] = pa.array(placed["source"], pa.int32())
        columns["by_line"] = pa.array(placed["by_line"], pa.bool_())
        columns["replaces"] = pa.array(fields["replaces"], pa.bool_())
        columns["printed"] = pa.array(fields["printed"], pa.bool_())
        columns["source_row"] = pa.array(placed["source_row"], pa.int64())
        for name in ("start_us", "end_us", "cost_pico", "weight_micro"):
            columns[name] = _column(fields["logged_cost_pico" if name == "cost_pico" else name], pa.int64(), size)
        requested = fields["request_model"]
        served = [answered or asked for answered, asked in zip(fields["response_model"], requested, strict=True)]
        columns["model"] = self._redacted(pa.array(served, pa.string()))
        columns["tool_count"] = _column(placed["tool_count"], pa.int16(), size)
        for name in ("input_words", "content_state", "has_images", "pending_tool_calls", *FIELD_COLUMNS):
            columns[name] = self._redacted(_column(fields[name], _ARROW[CALL_COLUMNS[name]], size))
        columns["messages"] = _column(placed["messages"], pa.list_(pa.int32()), size)
        for name in ("tools", "output", *(f"key_{policy}" for policy in POLICIES)):
            columns[name] = _column(placed[name], pa.int32(), size)
        return pa.table(columns)

    def _redacted(self, column: Any) -> Any:
        if self.rules.redact is None:
            return column
        if column.type == pa.list_(pa.string()):
            flat = self._redacted(pa.array([text for texts in column.to_pylist() for text in texts or ()], pa.string()))
            sizes = [None if texts is None else len(texts) for texts in column.to_pylist()]
            return _lists(flat, sizes)
        if column.type != pa.string():
            return column
        coded = column.dictionary_encode()
        clean = pa.array([self.rules.redact.redact_text(text) for text in coded.dictionary.to_pylist()], pa.string())
        return pa.DictionaryArray.from_arrays(coded.indices, clean).cast(pa.string())

    def _token_table(self) -> pa.Table | None:
        """Counts that the log gives for texts it keeps to itself and, where texts are dropped here, their own."""
        found: list[tuple[int, str, int, list[int] | None]] = [(*given, None) for given in self.contents.given_tokens]
        if self.rules.keep == "hashes":
            kinds = self.contents.kinds
            texts = [(number, one.text) for number, one in enumerate(self.contents.measured) if one.text is not None]
            numbers = [number for number, _ in texts]
            items = [(text.decode(), kinds[number]) for number, text in texts]
            for encoding in tokenizer.ENCODINGS:
                measured = tokenizer.measure(items, encoding, self.rules.hash_key)
                found.extend((n, encoding, count, blocks) for n, (count, blocks) in zip(numbers, measured, strict=True))
        if not found:
            return None
        numbers_, encodings, counts, blocks_ = zip(*found, strict=True)
        return pa.table(
            {
                "content": pa.array(numbers_, pa.int32()),
                "encoding": pa.array(encodings, pa.string()),
                "tokens": pa.array(counts, pa.int32()),
                "blocks": pa.array(blocks_, pa.list_(pa.int64())),
            }
        )

    def _content_table(self) -> pa.Table:
        measured = self.contents.measured
        kept = self.rules.keep == "text"
        return pa.table(
            {
                **hash_columns([one[0] for one in measured]),
                "kind": pa.array(self.contents.kinds, pa.string()),
                "role": self._redacted(pa.array([one[5] for one in measured], pa.string())),
                "text": pa.array([one[4] if kept else None for one in measured], pa.binary()).view(pa.string()),
                "chars": pa.array([one[6] for one in measured], pa.int32()),
                "words": pa.array([one[7] for one in measured], pa.int32()),
            }
        )


def _column(values: Sequence[Any], kind: pa.DataType, size: int) -> Any:
    """An Arrow array; the many columns that a format does not fill cost one scan."""
    if values.count(None) == size:
        return pa.nulls(size, kind)
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # a reader let through a value of another type: keep what fits, never lose the row
        return pa.array([_fit(value, kind) for value in values], kind)


def _lists(flat: Any, sizes: Sequence[int | None]) -> Any:
    """A list array of these values, cut into lists of these sizes; None makes a null."""
    ends = np.cumsum([0, *(size or 0 for size in sizes)])
    starts = pa.array([None if size is None else start for size, start in zip(sizes, ends[:-1].tolist(), strict=True)])
    offsets = pa.concat_arrays([starts.cast(pa.int32()), pa.array([ends[-1]], pa.int32())])
    return pa.ListArray.from_arrays(offsets, flat)


def _fit(value: Any, kind: pa.DataType) -> Any:
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError):
        return str(value) if kind == pa.string() and value is not None else None
