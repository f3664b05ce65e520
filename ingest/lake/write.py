"""Fifth stage: the calls of a task that stay, with their final numbers and their costs, as parts of the lake."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ingest.lake.deduplicate import columns_of_patches, staged_of, verdicts
from ingest.lake.job import Job
from ingest.lake.number import SHARED, begin_of, kept_rows
from ingest.lake.objects import read_table, write_table
from ingest.lake.parse import SEGMENT_NUMBERS, result
from ingest.lake.prices import load_prices
from ingest.staging.deduplicate import ID_USED_AGAIN
from ingest.staging.publish import insert_calls
from ingest.store.lake_commits import Part
from ingest.store.lake_parts import COLUMNS, COMPLETED, SPREAD
from ingest.store.memory import MemoryStore

_BESIDE = ("by_line", "replaces", "printed", "source", "source_row", "hi", "lo", SPREAD)


class Written(msgspec.Struct):
    """The parts that a task made."""

    parts: list[Part]
    scores: int
    issues: int


def write(job: Job, task: int) -> Written:
    """Make a task's parts, and what the small tables get from it."""
    return _Write(job, task).run()


class _Write:
    def __init__(self, job: Job, task: int) -> None:
        self.job, self.task = job, task
        self.parsed = result(job, task)
        self.token = job.plan.tasks[task].token
        self.kept = kept_rows(job, task, self.parsed.calls)
        begin = begin_of(job)
        self.first = begin.calls[task]
        self.scaleless = set(begin.scaleless)
        self.ids = {kind: self._ids(kind) for kind in SHARED if getattr(self.parsed, kind)}

    def run(self) -> Written:
        calls = self._calls()
        parts = [self._shared(kind, kind, self.ids[kind][1]) for kind in self.ids]
        if "contents" in self.ids:
            parts.append(self._shared("contents", COMPLETED, self.ids["contents"][2]))
        scores, issues = self._scores(calls), self._issues()
        self._tokens()
        self._extra("scores", scores)
        self._extra("issues", issues)
        parts.append(self._priced(calls))
        return Written([part for part in parts if part is not None], len(scores), len(issues))

    # -- calls -----------------------------------------------------------------------------------------------------

    def _calls(self) -> pa.Table:
        calls = read_table(self.job.place, f"run/parse/{self.token}/calls.parquet")
        calls = _with(calls, verdicts(self.job, self.task, "renamed"), ("hi", "lo"))
        calls = _with(calls, verdicts(self.job, self.task, "patched"), columns_of_patches())
        calls = calls.take(pa.array(self.kept)).combine_chunks()
        for name in ("messages", *SEGMENT_NUMBERS):
            if name in calls.column_names:
                ids, *_ = self.ids["keys" if name.startswith("key_") else "contents"]
                calls = calls.set_column(calls.schema.get_field_index(name), name, _renumbered(calls[name], ids))
        if self.scaleless and "score" in calls.column_names:
            other = np.isin(calls["source"].to_numpy(), list(self.scaleless))
            values = calls["score"].to_numpy(zero_copy_only=False)
            score = pa.array(values, pa.float64(), mask=other | np.isnan(values))
            calls = calls.set_column(calls.schema.get_field_index("score"), "score", score)
        return calls

    def _priced(self, calls: pa.Table) -> Part | None:
        if not len(calls):
            return None
        staged = staged_of(self.job)
        bases = staged.bases[self.task]
        source = calls["source"].to_numpy()
        base = np.array([bases.get(number, 0) for number in range(max(bases, default=0) + 1)], np.int64)
        rows = calls["source_row"].to_numpy() + base[np.minimum(source, len(base) - 1)] * (source < len(base))
        ids = _source_ids(self.job)
        placed = calls.drop_columns([name for name in _BESIDE if name in calls.column_names])
        placed = placed.append_column("row", pa.array(rows)).append_column("source_id", pa.array(ids[source]))
        with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
            store = MemoryStore(Path(folder) / "part.duckdb")
            with store.write() as con:
                load_prices(self.job, con, Path(folder))
                insert_calls(con, placed, calls["hi"].to_numpy(), calls["lo"].to_numpy(), self.first)
            self.job.pricing().update(store)
            with store.read() as con:
                con.register(
                    "beside",
                    calls.select(["hi", "lo", SPREAD]).append_column(
                        "call_no", pa.array(self.first + np.arange(len(calls)))
                    ),
                )
                names = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in COLUMNS["calls"].items())
                whole = con.sql(
                    f"""SELECT {names} FROM beside JOIN costs USING (call_no)
                         ORDER BY {SPREAD} // {65536 // self.job.plan.buckets}, call_no"""
                ).to_arrow_table()
        return self._part("calls", whole)

    # -- what calls share ------------------------------------------------------------------------------------------

    def _ids(self, kind: str) -> tuple[Any, Any, Any]:
        """By local number: the number in the lake, whether this task writes it, whether it completes a known one."""
        told = read_table(self.job.place, f"run/{self.job.run}/numbers/{self.task}-{kind}.parquet")
        local = told["local"].to_numpy()
        size = int(local.max(initial=-1)) + 1
        ids, fresh, completes = np.full(size, -1, np.int32), np.zeros(size, bool), np.zeros(size, bool)
        ids[local] = told["id"].to_numpy()
        fresh[local] = told["fresh"].to_numpy()
        completes[local] = told["completes"].to_numpy()
        return ids, fresh, completes

    def _shared(self, kind: str, part: str, written: Any) -> Part | None:
        ids, *_ = self.ids[kind]
        new = np.flatnonzero(written)
        if not len(new):
            return None
        table = read_table(self.job.place, f"run/parse/{self.token}/{kind}.parquet").take(pa.array(new))
        columns = {SHARED[kind]: pa.array(ids[new]), **{name: table[name] for name in table.column_names}}
        columns["bare"] = pa.array(_bare(table, self.parsed.hashed))
        types = {"VARCHAR": pa.string(), "INTEGER": pa.int32()}
        for name, of in COLUMNS[kind].items():
            if name not in columns:
                columns[name] = pa.nulls(len(new), types[of])
        return self._part(part, pa.table({name: columns[name] for name in COLUMNS[kind]}))

    def _tokens(self) -> None:
        """Token counts that the log gives with a text, or that are taken before the text is dropped."""
        path = f"run/parse/{self.token}/content_tokens.parquet"
        if "contents" not in self.ids or self.job.place.size(path) is None:
            return
        table = read_table(self.job.place, path)
        ids, *_ = self.ids["contents"]
        local = table["content"].to_numpy()
        content = np.where(local < len(ids), ids[np.minimum(local, len(ids) - 1)], -1)
        table = table.drop_columns(["content"]).append_column("content_id", pa.array(content))
        if "blocks" not in table.column_names:
            table = table.append_column("blocks", pa.nulls(len(table), pa.list_(pa.int64())))
        self._extra("content_tokens", table.filter(pa.array(content >= 0)))

    # -- small tables ----------------------------------------------------------------------------------------------

    def _scores(self, calls: pa.Table) -> pa.Table:
        """As `ingest.staging.publish` stores them: the call's own answer's, then other models'."""
        names, places = {"call_no": pa.int64(), "model": pa.string(), "score": pa.float64()}, self._places()
        rows: list[tuple[int, str, float]] = []
        if "score" in calls.column_names:
            own = zip(calls["model"].to_pylist(), calls["score"].to_pylist(), strict=True)
            rows = [(self.first + n, m, s) for n, (m, s) in enumerate(own) if m is not None and s is not None]
        path = f"run/parse/{self.token}/scores.parquet"
        if self.job.place.size(path) is not None:
            have = {(call, model) for call, model, _ in rows}
            source = calls["source"].to_numpy()
            given = []
            for one in read_table(self.job.place, path).to_pylist():
                place = places.get(one["call"])
                if place is None or source[place] in self.scaleless:
                    continue
                if (self.first + place, one["model"]) not in have:
                    given.append((self.first + place, one["model"], one["score"]))
            rows += sorted(given, key=lambda row: row[:2])
        return _table(names, rows)

    def _issues(self) -> pa.Table:
        names, places = {"call_no": pa.int64(), "code": pa.string(), "detail": pa.string()}, self._places()
        rows: list[tuple[int, str, str]] = []
        path = f"run/parse/{self.token}/issues.parquet"
        if self.job.place.size(path) is not None:
            for one in read_table(self.job.place, path).to_pylist():
                if one["call"] in places:
                    rows.append((self.first + places[one["call"]], one["code"], one["detail"]))
        again = verdicts(self.job, self.task, "again")
        for at in again["place"].to_pylist() if again is not None else ():
            rows.append((self.first + places[at], ID_USED_AGAIN, "another call has its id"))
        patched = verdicts(self.job, self.task, "patched")
        if patched is not None:  # a fuller row says what was not read before
            told = zip(patched["place"].to_pylist(), patched["output_tokens"].to_pylist(), strict=True)
            whole = {self.first + places[at] for at, tokens in told if tokens is not None}
            rows = [row for row in rows if row[0] not in whole or row[1] not in ("partial_usage", "usage_not_read")]
        return _table(names, sorted(rows))

    def _places(self) -> dict[int, int]:
        return {at: place for place, at in enumerate(self.kept.tolist())}

    # -- objects ---------------------------------------------------------------------------------------------------

    def _part(self, kind: str, table: pa.Table) -> Part:
        name = f"{kind}/{self.job.run}-{self.task:06}.parquet"
        size = write_table(self.job.place, name, table.replace_schema_metadata(None))
        return Part(kind, name, len(table), size)

    def _extra(self, name: str, table: pa.Table) -> None:
        if len(table):
            write_table(self.job.place, f"run/{self.job.run}/{name}/{self.task:06}.parquet", table)


def _bare(contents: pa.Table, hashed: bool) -> Any:
    """Which contents have no text although the lake keeps texts."""
    if not hashed:
        return np.zeros(len(contents), bool)
    return np.asarray(contents["text"].is_null()) if "text" in contents.column_names else np.ones(len(contents), bool)


def _table(names: dict[str, pa.DataType], rows: list[Any]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table({n: pa.array(values, kind) for (n, kind), values in zip(names.items(), columns, strict=True)})


def _with(calls: pa.Table, told: pa.Table | None, names: tuple[str, ...]) -> pa.Table:
    """The calls with the values that `told` gives some of them."""
    if told is None:
        return calls
    take = np.full(len(calls), -1, np.int64)
    take[told["place"].to_numpy()] = np.arange(len(told))
    for name in names:
        given = told[name].combine_chunks()
        if name in calls.column_names:
            own = calls[name].combine_chunks()
            both = pa.concat_arrays([own, given.cast(own.type)])
            order = np.where(take < 0, np.arange(len(calls)), len(calls) + take)
            calls = calls.set_column(calls.schema.get_field_index(name), name, both.take(pa.array(order)))
        elif given.null_count < len(given):
            calls = calls.append_column(name, given.take(pa.array(take, mask=take < 0)))
    return calls


def _renumbered(column: Any, ids: Any) -> pa.Array:
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(found.type):
        values = found.flatten().to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(found.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))])
        flat = pa.array(ids[values] if len(values) else np.zeros(0, np.int32), pa.int32())
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat, mask=found.is_null())
    local = found.fill_null(-1).to_numpy(zero_copy_only=False)
    if not len(ids):
        return pa.nulls(len(local), pa.int32())
    return pa.array(ids[np.maximum(local, 0)], pa.int32(), mask=local < 0)


def _source_ids(job: Job) -> Any:
    """By number of the file: its number in `sources` (int32)."""
    told = msgspec.json.decode(job.place.read(f"run/{job.run}/sources.json"), type=dict[int, int])
    ids = np.full(max(told, default=0) + 1, -1, np.int32)
    for number, source in told.items():
        ids[number] = source
    return ids
