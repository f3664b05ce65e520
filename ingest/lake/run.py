"""An ingest into a lake, from the files to the commit. Until the commit nothing of it counts."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

import ingest
from ingest.errors import InputError, StoreBusyError, StoreError
from ingest.formats import format_named
from ingest.lake import log_files, plan
from ingest.lake.deduplicate import Staged, deduplicate
from ingest.lake.executors import Executor, Here, OnDask, Processes
from ingest.lake.job import Job, Pricing
from ingest.lake.log_files import Found
from ingest.lake.number import SHARED, Begin, Settled, number, settle
from ingest.lake.objects import read_table
from ingest.lake.parse import Parsed, parse, result
from ingest.lake.part_costs import share_costs
from ingest.lake.prices import settle_prices
from ingest.lake.replaced_calls import Replaced, forget_calls, take_out
from ingest.lake.write import write
from ingest.pipeline.report import IngestReport
from ingest.pipeline.workers import PARALLEL_BYTES
from ingest.places.place import is_url
from ingest.progress import Progress
from ingest.records.policy_in_force import IMPOSSIBLE_SCORE
from ingest.staging.publish import publish_counts
from ingest.staging.segment import Segment
from ingest.staging.source_files import SourceFile
from ingest.store import lake_commits
from ingest.store.lake import LakeStore
from ingest.store.lake_commits import LakeState, Part
from ingest.store.lake_parts import COMPLETED, define_views

BUCKET_BYTES: Final = 3_500_000_000  # of the log: about a million calls
_TASK_MEMORY: Final = 250_000_000  # bytes of a worker that judges repeats, and for each call of its bucket
_CALL_MEMORY: Final = 1200
TRIES: Final = 5  # commits that others may make meanwhile
_LOG = r"format || ':' || regexp_replace(path, '[^/\\]*$', '')"


def ingest_into_lake(
    store: LakeStore,
    paths: Iterable[str | Path],
    executor: Executor,
    pricing: Callable[[], Pricing],
    *,
    format: str | None = None,
    mapping: str | Path | None = None,
    keep: str = "text",
    hash_key: Path | None = None,
    redact: Sequence[str] | None = None,
    timezone: str = "UTC",
    progress: Progress | None = None,
    task_bytes: int = plan.TASK_BYTES,
    buckets: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> IngestReport:
    """Read logs into the lake, each call once, and price them; as `ingest.pipeline.run.ingest` in all else.

    `keep` is text, hashes or none, and the same for all of a lake. Calls that two tools logged are counted twice where
    no shared id tells. `buckets` are those of a lake that is made. `tell` is told what reading many objects costs.
    Raises InputError, StoreError; StoreBusyError where others kept committing meanwhile.
    """
    text = Path(mapping).read_text() if mapping is not None else ""
    chosen = None
    if mapping is not None:
        from ingest.mapping_file import load_mapping

        chosen = load_mapping(Path(mapping))
    forced = format_named(format) if format is not None else None
    key = _key(store, hash_key) if keep == "hashes" else None
    rules = plan.Rules(keep, _fingerprint(key), None if redact is None else list(redact), timezone, text)
    given = list(paths)
    for _ in range(TRIES):
        state = store.state()
        if state is not None:
            _same_privacy(store, state, rules)
        report = IngestReport()
        sources, found = log_files.find(
            store, given, report, mapping=chosen, forced=forced, tell=tell, task_bytes=task_bytes
        )
        if state is None:
            store.buckets = buckets or buckets_for(sum(one.log.size for one in found), executor)
            state = store.make()
            if state.commit.number:  # another writer was faster
                continue
        tell = None  # once
        run = _Run(store, state, rules, key, pricing, executor, sources, found, progress, task_bytes)
        if run.commit():
            run.tell(report)
            return report
    raise StoreBusyError(
        f"others have written to {store.address} each time this ingest was ready", remedy="Run the same command again."
    )


def buckets_for(size: int, executor: Executor) -> int:
    """How many buckets a lake is made with, for logs of this many bytes: a power of two."""
    wanted = max(size / BUCKET_BYTES, executor.workers if isinstance(executor, OnDask) else 1)
    return min(1 << max(0, ceil(log2(wanted))), lake_commits.MOST_BUCKETS)


def _key(store: LakeStore, path: Path | None) -> bytes:
    from ingest.contents.redaction import load_key

    if path is None and is_url(store.address):
        raise InputError(
            "--no-text needs one key for all who read into this lake, and it does not belong beside it",
            remedy="Name its file: --key FILE   (it is made where there is none)",
        )
    return load_key(path, Path(store.address))


def _fingerprint(key: bytes | None) -> str:
    return "" if key is None else hmac.digest(key, b"hindcast lake key", "sha256").hex()[:32]


def _same_privacy(store: LakeStore, state: LakeState, rules: plan.Rules) -> None:
    """Raise InputError where the lake keeps texts otherwise, or hashes with another key: its requests never meet."""
    kept = state.commit.keep
    words = {"text": "texts", "hashes": "keyed hashes (--no-text)", "none": "nothing of them (--metadata-only)"}
    if kept and kept != rules.keep:
        raise InputError(
            f"this lake keeps of messages {words[kept]}, this ingest would keep {words[rules.keep]}",
            where=store.address,
            remedy="Read with the same option as before, or into a lake of its own.",
        )
    if kept == "hashes" and state.commit.key != rules.key:
        raise InputError(
            "the texts of this lake are hashed with another key, so its requests and these would never meet",
            where=store.address,
            remedy="Name the file of that key: --key FILE",
        )


class _Run:
    """One try to read what is new and to commit it."""

    def __init__(
        self,
        store: LakeStore,
        state: LakeState,
        rules: plan.Rules,
        key: bytes | None,
        pricing: Callable[[], Pricing],
        executor: Executor,
        sources: list[SourceFile],
        found: list[Found],
        progress: Progress | None,
        task_bytes: int,
    ) -> None:
        self.store, self.before, self.state, self.progress = store, state, state, progress
        few = sum(one.log.size for one in found) < PARALLEL_BYTES
        self.executor: Executor = Here() if few and isinstance(executor, Processes) else executor
        self.sources = sources
        logs = [msgspec.structs.replace(one.log, number=place) for place, one in enumerate(found)]
        self.read = [one.source for one in found]
        self.plan = plan.cut(logs, rules, state.commit.buckets, _program(), task_bytes)
        self.run = plan.identity(self.plan, state.commit.number)
        self.job = Job(store.address, self.run, pricing, key)
        self.replaced = Replaced(state)
        self.unusable: dict[int, list[str]] = {}
        self.printed: list[int] = []

    def commit(self) -> bool:
        """Whether everything is in the lake now; False where another commit was faster."""
        if not self.plan.tasks:
            return True
        plan.save(self.store.place, self.run, self.plan)
        parsed = self._parse()
        self.replaced = self._take_out()
        self.state = self.replaced.state
        settled = self._judge(parsed)
        with self.store.change(self.state) as con:
            forget_calls(con, self.replaced)
            segments = [
                Segment(Path(), counts={one.file: one.told()}) for task in parsed for one in parsed[task].counts
            ]
            for one in settled.values():
                for file, calls in one.files.items():
                    self.read[file].found_new(calls)
            publish_counts(con, segments, self.read)
            ids = {place: file.source_id for place, file in enumerate(self.read) if file.source_id is not None}
            self._tell("sources.json", ids)
            begin = self._begin(con, settled, parsed)
            free = dict.fromkeys(SHARED, 0)
            for told in self.executor.map(partial(number, self.job), [0]):
                free = told
            self._prices(con, settled)
            parts = self._write(settled)
            self._small_tables(con, settled, parts, any(one.hashed for one in parsed.values()))
            parts, removed = self._conclude(con, parts)
            side = self.store.save_side(con, self.state.commit.number + 1)
        parts += [part for part in self.replaced.added if part.name not in removed] + self.known
        removed += self.replaced.removed
        rules = self.plan.rules
        commit = lake_commits.following(
            self.before, side=side, parts=parts, removed=removed, run=self.run, keep=rules.keep, key=rules.key,
            calls=begin.calls[-1], **free,
        )  # fmt: skip
        return lake_commits.add(self.store.place, self.before, commit) is not None

    # -- stages ----------------------------------------------------------------------------------------------------

    def _parse(self) -> dict[int, Parsed]:
        tasks = self.plan.tasks
        if self.progress:
            self.progress.total(sum(map(self.plan.bytes_of, tasks)))
        for place, _ in enumerate(self._map(parse, [task.number for task in tasks])):
            if self.progress:
                self.progress.advance(self.plan.bytes_of(tasks[place]))
        found = {task.number: result(self.job, task.number) for task in tasks}
        for one in found.values():
            for place, format in one.formats.items():
                self.read[place].format = format
            self.unusable |= one.problems
            self.printed += one.printed
        if len(self.unusable) == len(self.plan.files) == len(self.sources):
            raise InputError("no log was recognised", where=self.plan.files[0].path)
        return found

    def _take_out(self) -> Replaced:
        """Objects are written whole, so one that has another version now holds what it is to be known for."""
        anew = {
            source.source_id: source
            for place, source in enumerate(self.read)
            if source.url and source.mode == "reread" and source.source_id is not None and place not in self.unusable
        }
        replaced = take_out(self.job, self.store, self.state, sorted(anew), self.executor)
        for source_id in replaced.calls:
            anew[source_id].prior = {}
        return replaced

    def _judge(self, parsed: dict[int, Parsed]) -> dict[int, Settled]:
        bases: list[dict[int, int]] = []
        lines: dict[int, int] = {}
        for task in self.plan.tasks:
            one = parsed[task.number]
            bases.append({place: lines.get(place, 0) for place in one.formats})
            for counts in one.counts:
                lines[counts.file] = lines.get(counts.file, 0) + counts.lines
        tasks = [task for task in parsed if parsed[task].calls]
        known = self.state.of("identities")
        self._require_memory(sum(parsed[task].calls for task in tasks) + sum(part.rows for part in known))
        slots = [tasks] * self.plan.buckets
        formats = {place: name for one in parsed.values() for place, name in one.formats.items()}
        self._tell("staged.json", Staged(formats, slots, known, bases))
        self.known: list[Part] = []
        overtaken = 0
        for judged in self._map(deduplicate, list(range(self.plan.buckets)) if tasks else []):
            overtaken += judged.overtaken
            if judged.known is not None:
                self.known.append(judged.known)
        self.known.sort(key=lambda part: part.slot)
        if overtaken:
            raise StoreError(
                f"{overtaken:,} calls that were stored before have fuller counts in this log; a lake keeps calls "
                "as they were written, and nothing of this ingest was committed",
                where=self.store.address,
                remedy="Read logs of answers that are still being written into a DuckDB file, or when they are whole.",
            )
        return dict(zip(sorted(tasks), self._in_order(settle, sorted(tasks)), strict=True))

    def _require_memory(self, calls: int) -> None:
        """Raise StoreError where a bucket of so many calls in all does not fit a worker."""
        buckets, limit = self.plan.buckets, self.executor.memory
        needed = _TASK_MEMORY + calls // buckets * _CALL_MEMORY
        if not limit or needed <= limit:
            return
        enough = buckets
        while _TASK_MEMORY + calls // enough * _CALL_MEMORY > limit and enough < lake_commits.MOST_BUCKETS:
            enough *= 2
        raise StoreError(
            f"a bucket of {calls // buckets:,} calls needs about {needed / 1e6:,.0f} MB, and a worker has "
            f"{limit / 1e6:,.0f} MB; nothing was committed",
            where=self.store.address,
            remedy=f"More buckets: hindcast store split --buckets {enough} --store {self.store.address}   "
            "(or workers with more memory)",
        )

    def _begin(self, con: duckdb.DuckDBPyConnection, settled: dict[int, Settled], parsed: dict[int, Parsed]) -> Begin:
        commit = self.state.commit
        first = commit.calls
        calls = []
        for task in self.plan.tasks:
            calls.append(first)
            first += settled[task.number].calls if task.number in settled else 0
        staying = [task for task, one in settled.items() if one.calls]
        shared = [part for part in self.state.parts.values() if part.kind in (*SHARED, COMPLETED)]
        scaleless = self._scaleless(con, parsed)
        begin = Begin([*calls, first], commit.contents, commit.keys, shared, staying, scaleless)
        self._tell("begin.json", begin)
        return begin

    def _scaleless(self, con: duckdb.DuckDBPyConnection, parsed: dict[int, Parsed]) -> list[int]:
        """The files whose scores mean something else, as some of their log's lie outside 0..1: files of one format in
        one folder. As `ingest.staging.publish` judges it."""
        flagged = {one.file for task in parsed.values() for one in task.counts if one.flagged.get(IMPOSSIBLE_SCORE)}
        logs = {}
        for place, file in enumerate(self.read):
            named = {"format": file.format, "path": file.path_text}
            found = con.execute(f"SELECT {_LOG} FROM (SELECT $format AS format, $path AS path)", named)
            logs[place] = found.fetchall()[0][0]
        other = {logs[place] for place in flagged}
        code = {"code": IMPOSSIBLE_SCORE}
        if con.execute("SELECT 1 FROM import_issues WHERE code = $code LIMIT 1", code).fetchall():
            stored_logs = con.execute(
                f"""SELECT DISTINCT {_LOG} FROM import_issues JOIN calls USING (call_no)
                      JOIN sources USING (source_id) WHERE code = $code""",
                code,
            ).fetchall()
            other |= {log for (log,) in stored_logs}
        if other:
            stored = con.execute(
                f"""SELECT count(*) FROM calls JOIN sources USING (source_id)
                     WHERE score IS NOT NULL AND {_LOG} IN (SELECT unnest($logs))""",
                {"logs": sorted(other)},
            ).fetchall()[0][0]
            if stored:
                raise StoreError(
                    f"a score of this log lies outside 0..1, so that those of {stored:,} calls stored before mean "
                    "something else; a lake keeps calls as they were written, and nothing of this ingest was committed",
                    where=self.store.address,
                    remedy="Read the whole log into a lake of its own.",
                )
        return [place for place, log in logs.items() if log in other]

    def _prices(self, con: duckdb.DuckDBPyConnection, settled: dict[int, Settled]) -> None:
        found = [read_table(self.store.place, f"run/{self.run}/scopes/{task}.parquet") for task in settled]
        scopes = {tuple(one.values()) for table in found for one in table.to_pylist()}
        settle_prices(self.job, con, sorted(scopes, key=str))

    def _write(self, settled: dict[int, Settled]) -> list[Part]:
        tasks = [task for task, one in settled.items() if one.calls]
        return [part for one in self._in_order(write, tasks) for part in one.parts]

    def _conclude(self, con: duckdb.DuckDBPyConnection, parts: list[Part]) -> tuple[list[Part], list[str]]:
        """What all calls together tell of costs; the parts that are added then, and earlier ones that are removed."""
        whole = LakeState(self.state.commit, self.state.parts | {part.name: part for part in parts})
        define_views(con, self.store.place, whole)
        if not whole.of("calls"):
            return parts, []
        shared = share_costs(self.job, con, whole.of("calls"), self.executor)
        if shared:
            kept = {name: part for name, part in whole.parts.items() if name not in shared}
            whole = LakeState(self.state.commit, kept | {part.name: part for part in shared.values()})
            define_views(con, self.store.place, whole)
        self.job.pricing().conclude(con)
        added = [part for part in parts if part.name not in shared] + list(shared.values())
        return added, [name for name in shared if name in self.state.parts]

    def _small_tables(
        self, con: duckdb.DuckDBPyConnection, settled: dict[int, Settled], parts: list[Part], hashed: bool
    ) -> None:
        if hashed and not con.execute("SELECT 1 FROM meta WHERE key = 'hashed_contents'").fetchall():
            con.execute("INSERT INTO meta VALUES ('hashed_contents', '1')")
        for part in parts:
            if part.kind == COMPLETED:  # what the log said of a text is counted anew once the text is there
                con.register("given", read_table(self.store.place, part.name, ["content_id"]))
                con.execute(
                    """DELETE FROM content_tokens
                        WHERE blocks IS NULL AND content_id IN (SELECT content_id FROM given)"""
                )
                con.unregister("given")
        for name, query in (
            ("scores", "INSERT INTO scores SELECT call_no, model, score, 'log' FROM given"),
            ("issues", "INSERT INTO import_issues SELECT call_no, code, detail FROM given"),
            (
                "content_tokens",
                """INSERT INTO content_tokens (content_id, encoding, tokens, blocks)
                   SELECT content_id, encoding, min(tokens), any_value(blocks) FROM given g
                    WHERE NOT EXISTS (SELECT 1 FROM content_tokens t
                                       WHERE t.content_id = g.content_id AND t.encoding = g.encoding)
                    GROUP BY content_id, encoding ORDER BY content_id, encoding""",
            ),
        ):
            for task in settled:
                path = f"run/{self.run}/{name}/{task:06}.parquet"
                if self.store.place.size(path) is not None:
                    con.register("given", read_table(self.store.place, path))
                    con.execute(query)
                    con.unregister("given")

    # -- around them -----------------------------------------------------------------------------------------------

    def _map(self, work: Callable[[Job, int], Any], items: Sequence[int]) -> Iterator[Any]:
        yield from self.executor.map(partial(work, self.job), items)

    def _in_order(self, work: Callable[[Job, int], Any], items: Sequence[int]) -> list[Any]:
        """The results in the order of the items, whatever order they come in."""
        found = dict(self._map(partial(_numbered, work), items))
        return [found[item] for item in items]

    def _tell(self, name: str, what: object) -> None:
        self.store.place.write(f"run/{self.run}/{name}", msgspec.json.encode(what))

    def tell(self, report: IngestReport) -> None:
        """The counts of all files, and what could not be used."""
        for place, (what, _) in sorted(self.unusable.items()):
            report.passed_over.append(f"{self.plan.files[place].path}: {what}")
        for source in self.sources:
            if source.source_id is not None and source.source_id in self.replaced.calls:
                report.replaced[source.path_text] = self.replaced.calls[source.source_id]
        for place in self.printed:
            report.problems.append(InputError(log_files.PRINTED, where=self.plan.files[place].path))
        unusable = {id(self.read[place]) for place in (*self.unusable, *self.printed)}
        for source in self.sources:
            if id(source) in unusable:
                continue
            report.files.append(source.report())
            if source.problem:
                report.problems.append(
                    InputError(
                        source.problem, where=source.path_text, remedy="Everything before that place was stored."
                    )
                )


def _numbered(work: Callable[[Job, int], Any], job: Job, item: int) -> tuple[int, Any]:
    return item, work(job, item)


def _program() -> str:
    return ingest.__version__
