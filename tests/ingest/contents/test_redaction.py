"""What must not be in the store is not in the store, and what replays need still is."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ingest.contents.redaction import Redactor
from ingest.contents.tokenizer import blocks, count_content, encoding, plain_text
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store

SECRET = "tangerine-moonlight-cartographer"
TEXT = f"The plan called {SECRET} starts at noon. " + "Every boat leaves the harbour. " * 60


def _log(path: Path) -> Path:
    def record(number: int, **fields: Any) -> str:
        return json.dumps({
            "hindcast": 1, "call_id": f"c{number}", "start_time": f"2026-03-02T10:00:{number:02}Z",
            "request_model": "gpt-4o", "input_tokens": 400, "output_tokens": 7,
            "input_messages": [{"role": "system", "content": TEXT}, {"role": "user", "content": f"Item {number % 3}"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": SECRET}}],
            "output_messages": [{"role": "assistant", "content": f"About {SECRET}."}], **fields,
        })  # fmt: skip

    lines = [record(n) for n in range(9)]
    lines.append(record(90, start_time=f"at {SECRET}"))
    lines.append(record(91)[:-30])
    path.write_text("\n".join(lines))
    return path


def _every_text(store: Store) -> str:
    """All character data of all tables, however they are compressed on disk."""
    found = []
    with store.read() as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            found.append(str(con.execute(f"SELECT * FROM {table}").fetchall()))
    return "\n".join(found)


def _every_byte(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_text_leaves_no_trace_of_a_text(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.jsonl")
    folder = tmp_path / "store"
    store = Store(folder / "s.duckdb")
    report = ingest(store, [log], text=False, workers=1)
    assert (report.calls, report.quarantined) == (9, 2)
    for word in (SECRET, "harbour", "Item 1"):
        assert word not in _every_text(store)
        assert word.encode() not in _every_byte(folder)
    assert SECRET not in json.dumps(report.to_json()["files"][0]["bad_rows"])


def test_no_text_keeps_what_replays_need(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.jsonl")
    open_, closed = Store(tmp_path / "a" / "s.duckdb"), Store(tmp_path / "b" / "s.duckdb")
    ingest(open_, [log], workers=1)
    ingest(closed, [log], text=False, workers=1)
    shape = """SELECT call_no, key_canonical, key_masked, key_litellm, key_helicone, key_portkey, message_ids, tools_id,
                      output_id, input_words, input_tokens FROM calls ORDER BY call_no"""
    sizes = "SELECT content_id, kind, role, chars, words FROM contents ORDER BY content_id"
    for query in (shape, sizes):
        with open_.read() as one, closed.read() as other:
            assert one.execute(query).fetchall() == other.execute(query).fetchall()
    with open_.read() as con:
        texts = con.execute("SELECT content_id, text, kind FROM contents ORDER BY content_id").fetchall()
    with closed.read() as con:
        counted = {
            (number, name): (tokens, len(parts))
            for number, name, tokens, parts in con.execute(
                "SELECT content_id, encoding, tokens, blocks FROM content_tokens"
            ).fetchall()
        }
        assert con.execute("SELECT DISTINCT content_state FROM calls").fetchall() == [("hashed",)]
    for number, text, kind in texts:
        for name in ("cl100k_base", "o200k_base"):
            tokens, parts = counted[number, name]
            assert tokens == count_content(text, kind, name)
            assert parts == -(-len(encoding(name).encode_ordinary(plain_text(text, kind))) // 128)


def test_the_hashes_are_worth_nothing_without_the_key(tmp_path: Path) -> None:
    log = _log(tmp_path / "log.jsonl")
    first, second, third = (Store(tmp_path / name / "s.duckdb") for name in "abc")
    ingest(first, [log], text=False, workers=1)
    ingest(second, [log], text=False, workers=1)
    ingest(third, [log], text=False, hash_key=tmp_path / "a" / "s.duckdb.key", workers=1)

    def hashes(store: Store) -> list[Any]:
        with store.read() as con:
            return con.execute("SELECT hash FROM contents ORDER BY content_id").fetchall()

    assert hashes(first) == hashes(third) != hashes(second)
    assert stat.S_IMODE((tmp_path / "a" / "s.duckdb.key").stat().st_mode) == 0o600


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hello")
    with pytest.raises(InputError, match="not a key file"):
        ingest(Store(tmp_path / "s.duckdb"), [_log(tmp_path / "log.jsonl")], text=False, hash_key=tmp_path / "key")


def test_keyed_blocks_chain_like_plain_ones() -> None:
    tokens = encoding("o200k_base").encode_to_numpy("word " * 1000, disallowed_special=())
    plain, keyed = blocks(tokens), blocks(tokens, b"k" * 32)
    assert len(plain) == len(keyed) == -(-len(tokens) // 128)
    assert not set(plain) & set(keyed)
    assert blocks(tokens[:256]) == plain[:2]  # a prefix has a prefix of the hashes


PLANTED = {
    "email": "ada.lovelace@example.org",
    "api-key": "sk-proj-abcdefghijklmnop1234567890",
    "card": "4111 1111 1111 1111",
    "phone": "+44 20 7946 0958",
    "bearer": "Bearer abcdefghijklmnop.qrstuv",
    "user": "ACME-4711",
}


def test_redaction_happens_before_anything_is_stored(tmp_path: Path) -> None:
    text = "Please write to " + ", or ".join(PLANTED.values()) + ". Order 4111 1111 1111 1112 stays."
    record = {"hindcast": 1, "call_id": "c", "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-4o",
              "input_tokens": 4, "output_tokens": 1, "user_id": PLANTED["email"], "tags": ["team:x"],
              "input_messages": [{"role": "user", "content": text}]}  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(record) + "\n" + json.dumps(record)[:-5])
    folder = tmp_path / "store"
    store = Store(folder / "s.duckdb")
    report = ingest(store, [log], redact=[r"ACME-\d+"], workers=1)
    assert report.calls == 1
    everything = _every_text(store)
    for kind, secret in PLANTED.items():
        assert secret not in everything, kind
        assert secret.encode() not in _every_byte(folder), kind
        assert f"[redacted:{kind}]" in everything, kind
    assert "4111 1111 1111 1112" in everything  # its check digit is wrong: an order number, not a card


def test_a_wrong_pattern_is_told() -> None:
    with pytest.raises(InputError, match="not a regular expression"):
        Redactor(("(",))
