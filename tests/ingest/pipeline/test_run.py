"""The way into the store: each row accounted for, each call once, nothing lost."""

from __future__ import annotations

import gzip
import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import GateError, InputError
from ingest.pipeline import parse_rows
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store


def line(number: int, **fields: Any) -> str:
    return json.dumps({
        "hindcast": 1, "call_id": f"c{number}", "start_time": f"2026-03-02T10:{number // 60 % 60:02}:{number % 60:02}Z",
        "request_model": "gpt-4o", "input_tokens": 100 + number, "output_tokens": 7,
        "input_messages": [{"role": "system", "content": "Be brief."},
                           {"role": "user", "content": f"Item {number % 9}"}],
        "output_messages": [{"role": "assistant", "content": "Fine."}], **fields,
    })  # fmt: skip


def run(tmp_path: Path, text: str | bytes, name: str = "log.jsonl", **options: Any) -> tuple[Store, IngestReport]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    store = Store(tmp_path / "s.duckdb")
    return store, ingest(store, [path], workers=1, **options)


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(query).fetchall()


def balanced(report: IngestReport) -> bool:
    return report.rows == report.calls + report.duplicates + report.quarantined + report.skipped


def test_a_call_keeps_what_its_log_says(tmp_path: Path) -> None:
    store, _ = run(tmp_path, line(1, logged_cost_usd=0.000123456789012, duration_ms=1500, tags=["a:b"], score=0.5,
                                  scores={"gpt-4o-mini": 0.25}, agent="writer", weight=2.5))  # fmt: skip
    assert rows(store, """SELECT input_tokens, output_tokens, logged_cost_usd, end_time - start_time, agent, weight,
                                 input_words, content_state, tags FROM calls""") == [
        (101, 7, Decimal("0.000123456789"), __import__("datetime").timedelta(seconds=1.5), "writer", Decimal("2.5"),
         4, "full", ["a:b"])
    ]  # fmt: skip
    assert rows(store, "SELECT model, score, source FROM scores ORDER BY model") == [
        ("gpt-4o", 0.5, "log"), ("gpt-4o-mini", 0.25, "log"),
    ]  # fmt: skip


def test_each_text_is_stored_once_in_order_of_appearance(tmp_path: Path) -> None:
    store, _ = run(tmp_path, "\n".join(line(n) for n in range(40)))
    found = rows(store, "SELECT content_id, kind, role, text FROM contents ORDER BY content_id")
    assert len(found) == 1 + 9 + 1
    assert found[0] == (0, "message", "system", '{"content":"Be brief.","role":"system"}')
    assert found[2][1:3] == ("output", "assistant")
    assert rows(store, "SELECT DISTINCT message_ids[1], output_id FROM calls") == [(0, 2)]


def test_a_text_that_was_known_by_its_hash_is_kept_when_it_turns_up(tmp_path: Path) -> None:
    message = {"role": "user", "content": "Say it twice"}
    sha = hashlib.sha256(b'{"content":"Say it twice","role":"user"}').hexdigest()
    hashed = {"role": "user", "sha256": sha, "tokens": 7, "words": 3, "encoding": "o200k_base"}
    store, _ = run(tmp_path, line(1, input_messages=[hashed], output_messages=[]))
    assert rows(store, "SELECT content_state, input_words FROM calls") == [("hashed", 3)]
    assert rows(store, "SELECT text, words FROM contents") == [(None, 3)]
    assert rows(store, "SELECT encoding, tokens FROM content_tokens") == [("o200k_base", 7)]
    run(tmp_path, line(2, input_messages=[message], output_messages=[]), "later.jsonl")
    assert rows(store, "SELECT text, words FROM contents") == [('{"content":"Say it twice","role":"user"}', 3)]
    assert rows(store, "SELECT count(DISTINCT key_canonical), count(*) FROM calls") == [(1, 2)]
    assert rows(store, "SELECT count(*) FROM content_tokens") == [(0,)]  # to be counted with its blocks
    run(tmp_path, line(3, input_messages=[hashed]) + "\n" + line(4, input_messages=[message]), "both.jsonl")
    assert rows(store, "SELECT count(*) FROM contents WHERE text IS NULL") == [(0,)]


def test_equal_requests_have_equal_keys_whatever_the_order_of_their_fields(tmp_path: Path) -> None:
    one = [{"role": "user", "content": "Count 12 sheep"}]
    other = [{"content": "Count 12 sheep", "role": "user"}]
    third = [{"role": "user", "content": "Count 34 sheep"}]
    text = "\n".join(line(n, input_messages=m, request_model=f"m{n}") for n, m in enumerate((one, other, third)))
    store, _ = run(tmp_path, text)
    keys = rows(store, "SELECT key_canonical, key_masked, key_litellm, key_helicone FROM calls ORDER BY call_no")
    assert keys[0][0] == keys[1][0] != keys[2][0]  # canonical
    assert keys[0][1] == keys[1][1] == keys[2][1]  # masked
    assert keys[0][2] != keys[1][2]  # as logged: the order of fields counts
    assert keys[0][3] != keys[1][3]


def test_reading_again_changes_nothing(tmp_path: Path) -> None:
    text = "\n".join(line(n) for n in range(50)) + "\n{broken\n"
    store, first = run(tmp_path, text)
    before = rows(store, "SELECT * FROM calls ORDER BY call_no"), rows(store, "SELECT * FROM quarantine")
    again = ingest(store, [tmp_path / "log.jsonl"], workers=1)
    (tmp_path / "copy.jsonl").write_text(text)
    copy = ingest(store, [tmp_path / "copy.jsonl"], workers=1)
    assert (first.calls, again.calls, copy.calls) == (50, 0, 0)
    assert (again.duplicates, copy.duplicates, copy.quarantined) == (50, 50, 1)
    assert balanced(first)
    assert balanced(again)
    assert balanced(copy)
    assert rows(store, "SELECT * FROM calls ORDER BY call_no") == before[0]
    assert rows(store, "SELECT * FROM quarantine WHERE source_id = 0") == before[1]


def test_two_equal_lines_without_an_id_are_two_calls_also_across_pieces(tmp_path: Path) -> None:
    same = line(1, call_id=None)
    store, report = run(tmp_path, "\n".join([same] * 5 + [line(2, call_id=None)] + [same] * 2) + "\n")
    assert (report.calls, report.duplicates) == (8, 0)
    again = ingest(store, [tmp_path / "log.jsonl"], workers=1)
    assert (again.calls, again.duplicates) == (0, 8)


def test_a_file_that_grew_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    same = line(1, call_id=None)
    path.write_text(same + "\n" + line(2) + "\n" + line(3)[:40])
    store = Store(tmp_path / "s.duckdb")
    first = ingest(store, [path], workers=1)
    assert (first.calls, first.quarantined) == (2, 1)
    path.write_text(same + "\n" + line(2) + "\n" + line(3) + "\n" + same + "\n")
    second = ingest(store, [path], workers=1)
    assert (second.calls, second.quarantined) == (2, 0)
    assert rows(store, "SELECT rows, calls, duplicates, quarantined, skipped, complete FROM sources") == [
        (4, 4, 0, 0, 0, True)
    ]
    assert rows(store, "SELECT count(*) FROM quarantine") == [(0,)]
    assert rows(store, "SELECT source_row FROM calls ORDER BY call_no") == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_plain_and_compressed_files_read_the_same(tmp_path: Path, suffix: str) -> None:
    text = "".join(line(n) + "\n" for n in range(30)).encode()
    pack = {"": lambda b: b, ".gz": gzip.compress, ".zst": lambda b: zstandard.ZstdCompressor().compress(b)}[suffix]
    # two members one after the other, as rotated logs are joined
    store, report = run(tmp_path, pack(text[:1000]) + pack(text[1000:]), f"log.jsonl{suffix}")
    assert report.calls == 30
    assert rows(store, "SELECT sum(input_tokens) FROM calls") == [(sum(100 + n for n in range(30)),)]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_stream_that_breaks_off_keeps_what_came_before(tmp_path: Path, suffix: str) -> None:
    text = "".join(line(n, note=str(n * 7919)) + "\n" for n in range(3000)).encode()
    packed = gzip.compress(text, mtime=0) if suffix == ".gz" else zstandard.ZstdCompressor().compress(text * 8)
    store, report = run(tmp_path, packed[: len(packed) // 2], f"log.jsonl{suffix}")
    assert 0 < report.calls < 3000 or suffix == ".zst"
    assert len(report.problems) == 1
    assert "ends early" in str(report.problems[0])
    assert balanced(report)
    assert rows(store, "SELECT count(*) FROM quarantine WHERE reason LIKE '%ends early%'") == [(1,)]


def test_bad_rows_are_set_aside_with_place_and_reason(tmp_path: Path) -> None:
    text = "\n".join([line(1), line(2)[:30], "[1, 2]", line(3, input_tokens=-1), line(4, start_time=12),
                      line(5, start_time="1970-01-01T00:00:00Z"), "\udcff", line(6)])  # fmt: skip
    store, report = run(tmp_path, text.encode("utf-8", "surrogateescape"))
    assert (report.calls, report.quarantined) == (2, 6)
    found = rows(store, "SELECT source_row, json_path, reason FROM quarantine ORDER BY source_row")
    assert [row[:2] for row in found] == [
        (2, "$"), (3, "$"), (4, "$.input_tokens"), (5, "$.start_time"), (6, "$.start_time"), (7, "$"),
    ]  # fmt: skip
    assert "cut off" in found[0][2]
    assert "-1" in found[2][2]


def test_times_in_every_guise_mean_the_same_moment(tmp_path: Path) -> None:
    guises = ["2024-03-05T10:00:00Z", "2024-03-05 10:00:00", "2024-03-05T12:00:00+02:00", 1709632800, 1709632800000,
              "1709632800", "2024-03-05T10:00:00.000000000Z"]  # fmt: skip
    store, report = run(tmp_path, "\n".join(line(n, start_time=value) for n, value in enumerate(guises)))
    assert report.quarantined == 0
    assert rows(store, "SELECT DISTINCT epoch(start_time) FROM calls") == [(1709632800.0,)]
    assert rows(store, "SELECT count(*) FROM calls WHERE time_precision = 'assumed_tz'") == [(1,)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", b"", "empty"),
        ("blank.jsonl", b"\n\n", "empty"),
        ("noise.bin", bytes(range(256)) * 20, "not a log"),
        ("notes.txt", b"Dear diary,\nnothing happened.\n", "not a log"),
        ("foreign.jsonl", b'{"level":"INFO","msg":"hi"}\n' * 3, "no known format"),
        ("cut.jsonl.gz", gzip.compress(b"x", mtime=0)[:5], "nothing can be read"),
    ],
)
def test_a_file_that_is_no_log_is_told_in_one_clear_error(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        run(tmp_path, content, name)
    assert name in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        ingest(Store(tmp_path / "s.duckdb"), [tmp_path / "none.jsonl"])


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(line(1))
    (tmp_path / "bad.bin").write_bytes(bytes(500))
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, [tmp_path / "bad.bin", tmp_path / "good.jsonl"], workers=1)
    assert report.calls == 1
    assert len(report.problems) == 1


def test_an_unknown_format_names_the_nearest_and_what_it_lacks(tmp_path: Path) -> None:
    record = {"request_id": "1", "request_created_at": "2026-01-01T00:00:00Z", "model": "x"}
    with pytest.raises(InputError, match=r"Helicone.*missing: response_status"):
        run(tmp_path, json.dumps(record))


def test_the_bad_ratio_is_a_gate(tmp_path: Path) -> None:
    with pytest.raises(GateError) as caught:
        run(tmp_path, line(1) + "\n{bad\n", max_bad_ratio=0.4)
    assert caught.value.exit_code == 1
    assert rows(Store(tmp_path / "s.duckdb"), "SELECT count(*) FROM calls") == [(1,)]


_LINES = st.lists(
    st.one_of(
        st.integers(0, 20).map(line),
        st.integers(0, 20).map(lambda n: line(n)[: n * 9 + 1]),
        st.text(max_size=30),
        st.binary(max_size=30).map(lambda b: b.decode("latin-1")),
        st.sampled_from(["{}", "[]", "null", "7", '{"hindcast":1}', '{"hindcast":1,"request_model":5}', "{" * 3000]),
        st.dictionaries(
            st.sampled_from(["hindcast", "request_model", "start_time", "input_tokens", "input_messages", "tags",
                             "scores", "weight", "status", "tools", "request", "response", "usage", "choices"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
                max_leaves=5,
            ),
            max_size=8,
        ).map(json.dumps),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=_LINES)
def test_mangled_lines_never_crash_and_never_vanish(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("mangled")
    text = "\n".join([line(999), *lines])
    _, report = run(folder, text.encode("utf-8", "surrogatepass"))
    assert report.rows == sum(1 for row in text.encode("utf-8", "surrogatepass").split(b"\n") if row.strip())
    assert balanced(report)


def test_a_file_that_is_not_cut_into_ranges_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments end where they are full; the rows behind them are of the next one."""
    monkeypatch.setattr(parse_rows, "SEGMENT_CALLS", 10)
    _, report = run(tmp_path, f"[{', '.join(map(line, range(35)))}]", "log.json")
    assert (report.rows, report.calls) == (35, 35)
