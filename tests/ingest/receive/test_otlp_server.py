"""What is sent to `--listen` is kept once, or refused in one line that says whether to send it again."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.receive import otlp_server
from ingest.receive.journal import Journal, inbox_of
from ingest.receive.late_names import name_calls
from ingest.receive.otlp_server import TOKEN, OtlpServer, address_of, receive_into
from ingest.store.database import Store

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


class Receiver:
    """A running server, its journal and a store."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.store = Store(folder / "s.duckdb")
        self.journal = Journal(inbox_of(self.store.path))
        if options:
            self.server = OtlpServer(self.journal, "127.0.0.1", 0, **options)
            self.server.start()
        else:
            self.server = receive_into(self.journal, "127.0.0.1:0")

    def post(
        self, path: str, body: bytes, kind: str = JSON, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request("POST", path, body, {"content-type": kind, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def calls(self, columns: str) -> list[tuple[Any, ...]]:
        ingest(self.store, [self.journal.folder], workers=1)
        with self.store.write() as con:
            name_calls(con, self.server.traces.take_names())
        with self.store.read() as con:
            return con.execute(f"SELECT {columns} FROM calls ORDER BY start_time, input_tokens").fetchall()

    def close(self) -> None:
        self.server.stop()
        self.journal.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    found = Receiver(tmp_path)
    yield found
    found.close()


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]


def log(*events: dict[str, Any], at: int) -> dict[str, Any]:
    records = [{"timeUnixNano": str(at + n * 10**9), "attributes": attributes(one)} for n, one in enumerate(events)]
    return {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": [{"logRecords": records}]}]}


def codex(tokens: int) -> dict[str, Any]:
    return {"event.name": "codex.sse_event", "event.kind": "response.completed", "model": "gpt-5",
            "input_token_count": str(tokens), "output_token_count": "10", "conversation.id": "c"}  # fmt: skip


def span(span_id: str, parent: str, values: dict[str, Any], at: int, name: str = "chat") -> dict[str, Any]:
    one = {"traceId": "0" * 31 + "1", "spanId": span_id, "parentSpanId": parent, "name": name,
           "startTimeUnixNano": str(at), "endTimeUnixNano": str(at + 10**9),
           "attributes": attributes(values)}  # fmt: skip
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "x"}, "spans": [one]}]}]}


USED = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 5}
CHAT = {"gen_ai.operation.name": "chat", **USED}
NOW = 1_790_000_000_000_000_000
LOGS = json.dumps(log(codex(100), at=NOW)).encode()


def protobuf(signal: str, document: dict[str, Any]) -> bytes:
    module = pytest.importorskip(f"opentelemetry.proto.collector.{signal}.v1.{'trace' if signal == 'trace' else 'logs'}"
                                 "_service_pb2")  # fmt: skip
    from google.protobuf.json_format import ParseDict

    name = "ExportTraceServiceRequest" if signal == "trace" else "ExportLogsServiceRequest"
    return ParseDict(document, getattr(module, name)()).SerializeToString()


def test_an_export_counts_once_however_often_and_in_whatever_encoding_it_is_sent(receiver: Receiver) -> None:
    document = log(codex(100), codex(100), {"event.name": "codex.user_prompt", "prompt": "ZEBRA"}, at=NOW)
    body = json.dumps(document, indent=1).encode()
    packed = protobuf("logs", document)
    zipped = {"content-encoding": "gzip"}
    answers = [
        receiver.post("/v1/logs", body),
        receiver.post(
            "/v1/logs", gzip.compress(body[:50]) + gzip.compress(body[50:]), JSON + "; charset=utf-8", zipped
        ),
        receiver.post("/v1/logs", packed, PROTOBUF),
        receiver.post("/v1/logs", gzip.compress(packed), PROTOBUF, zipped),
    ]
    assert [(status, answer) for status, answer, _ in answers] == [(200, b"{}"), (200, b"{}"), (200, b""), (200, b"")]
    assert receiver.calls("model, input_tokens") == [("gpt-5", 100), ("gpt-5", 100)]  # two calls, a second apart
    assert receiver.server.counts.kept["logs"] == 8
    assert receiver.server.counts.left_out["logs"] == 4
    assert not any(b"ZEBRA" in path.read_bytes() for path in receiver.journal.files())


def test_a_span_is_one_call_in_both_encodings(receiver: Receiver) -> None:
    packed = span("AAAAAAAAAAs=", "", CHAT, NOW)  # ids of JSON-mapped protobuf are base64
    packed["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "AAAAAAAAAAAAAAAAAAAAAQ=="
    assert receiver.post("/v1/traces", protobuf("trace", packed), PROTOBUF)[0] == 200
    assert receiver.post("/v1/traces", json.dumps(span("000000000000000b", "", CHAT, NOW)).encode())[0] == 200
    assert receiver.calls("model, trace_id, span_id") == [("gpt-4o", "0" * 31 + "1", "000000000000000b")]


@pytest.mark.parametrize(
    ("path", "body", "kind", "encoding", "status", "words"),
    [
        ("/v1/logs", LOGS[:-9], JSON, "", 400, "not JSON"),
        ("/v1/logs", b"[1]", JSON, "", 400, "not an OTLP export of logs"),
        ("/v1/logs", b'{"a": 1}', JSON, "", 400, "no resourceLogs"),
        ("/v1/logs", b'{"resourceLogs": [7]}', JSON, "", 400, "not an OTLP export of logs"),
        ("/v1/logs", b"[" * 100_000, JSON, "", 400, "not JSON"),
        ("/v1/traces", LOGS, JSON, "", 400, "an export of logs was sent to /v1/traces"),
        ("/v1/logs", gzip.compress(LOGS)[:-9], JSON, "gzip", 400, "cut short"),
        ("/v1/logs", LOGS, JSON, "gzip", 400, "not gzip"),
        ("/v1/logs", gzip.compress(bytes(70 << 20), 1), JSON, "gzip", 413, "MiB"),
        ("/v1/logs", LOGS, JSON, "zstd", 415, "use gzip"),
        ("/v1/logs", LOGS, "text/plain", "", 415, "content type"),
        ("/v1/logs", b"\xff\xff\xff", PROTOBUF, "", 400, "protobuf export of logs"),
        ("/v1/other", LOGS, JSON, "", 404, "/v1/logs"),
    ],
)  # fmt: skip
def test_what_can_never_be_kept_is_refused_in_one_line(
    receiver: Receiver, path: str, body: bytes, kind: str, encoding: str, status: int, words: str
) -> None:
    found, answer, headers = receiver.post(path, body, kind, {"content-encoding": encoding} if encoding else None)
    assert (found, headers.get("retry-after")) == (status, None)
    assert words in answer.decode()
    assert "\n" not in answer.decode().strip()
    assert receiver.journal.files() == []


def test_the_other_signal_in_protobuf_is_refused(receiver: Receiver) -> None:
    logs = protobuf("logs", log(codex(100), at=NOW))
    traces = protobuf("trace", span("000000000000000b", "", CHAT, NOW))
    assert receiver.post("/v1/traces", logs, PROTOBUF)[0] == 400
    assert receiver.post("/v1/logs", traces, PROTOBUF)[0] == 400
    assert receiver.post("/v1/logs", logs[:-7], PROTOBUF)[0] == 400


def test_metrics_are_answered_and_not_kept(receiver: Receiver) -> None:
    status, answer, _ = receiver.post("/v1/metrics", b'{"resourceMetrics": []}')
    assert status == 200
    assert "metrics are not kept" in json.loads(answer)["partialSuccess"]["errorMessage"]
    assert receiver.server.counts.requests["metrics", 200] == 1


def test_a_page_of_a_browser_or_a_rebound_name_is_refused(receiver: Receiver) -> None:
    assert receiver.post("/v1/logs", LOGS, JSON, {"origin": "http://evil.example"})[0] == 403
    assert receiver.post("/v1/logs", LOGS, JSON, {"host": "evil.example:4318"})[0] == 403
    assert receiver.post("/v1/logs", LOGS, JSON, {"host": "localhost:4318"})[0] == 200


def test_a_token_of_the_environment_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "s3cret")
    receiver = Receiver(tmp_path)
    try:
        assert receiver.post("/v1/logs", LOGS)[0] == 401
        assert receiver.post("/v1/logs", LOGS, JSON, {"authorization": "Bearer s3cret"})[0] == 200
        assert not any(b"s3cret" in path.read_bytes() for path in receiver.journal.files())
    finally:
        receiver.close()


def test_a_full_journal_asks_to_send_again_later(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, most_waiting=10)
    try:
        assert receiver.post("/v1/logs", LOGS)[0] == 200
        deadline = time.monotonic() + 10
        status, answer, headers = receiver.post("/v1/logs", LOGS)
        while status == 200 and time.monotonic() < deadline:  # its size is looked at once a second
            status, answer, headers = receiver.post("/v1/logs", LOGS)
        assert (status, headers["retry-after"]) == (503, "30")
        assert b"later" in answer
    finally:
        receiver.close()


def test_too_much_at_once_is_asked_to_come_again(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_server, "IN_MEMORY_BYTES", len(LOGS) - 1)
    status, _, headers = receiver.post("/v1/logs", LOGS)
    assert (status, headers["retry-after"]) == (429, "1")
    monkeypatch.setattr(otlp_server, "IN_MEMORY_BYTES", 8 * len(LOGS))
    assert [receiver.post("/v1/logs", LOGS)[0] for _ in range(20)] == [
        200
    ] * 20  # what is answered is not held any more


def test_a_body_that_does_not_come_is_not_waited_for(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_server, "BODY_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", receiver.server.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                           b"content-length: 500\r\n\r\n{")  # fmt: skip
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in answer
    assert receiver.post("/v1/logs", LOGS)[0] == 200


def test_a_full_disk_keeps_whole_lines_and_asks_to_send_again(receiver: Receiver) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    bodies = [json.dumps(log(codex(n), at=NOW + n)).encode() for n in range(60)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # of a file, which fails as a full disk does
        answers = [receiver.post("/v1/logs", body) for body in bodies]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    refused = [headers["retry-after"] for status, _, headers in answers if status == 503]
    assert 0 < len(refused) < len(bodies)
    assert set(refused) == {"30"}
    kept = [n for n, (status, _, _) in enumerate(answers) if status == 200]
    assert receiver.calls("input_tokens") == [(n,) for n in kept]
    for body in bodies:
        assert receiver.post("/v1/logs", body)[0] == 200
    assert len(receiver.calls("input_tokens")) == len(bodies)


def test_a_parent_sent_later_neither_counts_again_nor_loses_its_name(receiver: Receiver) -> None:
    inner, step, outer = "000000000000000a", "000000000000000b", "000000000000000c"
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer", **USED}
    for document in (
        span(inner, step, CHAT, NOW),
        span(step, outer, {"http.url": "https://x/?key=ZEBRA"}, NOW, "step"),
        span(outer, "", agent, NOW, "invoke_agent writer"),
    ):
        receiver.post("/v1/traces", json.dumps(document).encode())
    receiver.post("/v1/traces", json.dumps(span("000000000000000d", outer, CHAT, NOW + 10**10)).encode())
    assert receiver.calls("span_id, agent, agent_source") == [
        (inner, "writer", "ancestor"), ("000000000000000d", "writer", "ancestor")
    ]  # fmt: skip
    assert not any(b"ZEBRA" in path.read_bytes() for path in receiver.journal.files())


def test_traces_received_before_a_restart_are_known_after_it(tmp_path: Path) -> None:
    inner, outer = "000000000000000a", "000000000000000c"
    receiver = Receiver(tmp_path)
    receiver.post("/v1/traces", json.dumps(span(inner, outer, CHAT, NOW)).encode())
    receiver.close()
    receiver = Receiver(tmp_path)
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer", **USED}
    receiver.post("/v1/traces", json.dumps(span(outer, "", agent, NOW)).encode())
    assert receiver.calls("span_id, agent") == [(inner, "writer")]
    receiver.close()


def test_a_line_torn_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    receiver.post("/v1/logs", LOGS)
    receiver.close()
    (path,) = receiver.journal.files()
    with path.open("ab") as handle:
        handle.write(path.read_bytes()[:200])
    receiver = Receiver(tmp_path)
    assert receiver.calls("input_tokens") == [(100,)]
    with receiver.store.read() as con:
        assert con.execute("SELECT count(*) FROM quarantine").fetchall() == [(0,)]
    receiver.close()


def test_the_journal_is_its_owners_only_and_full_files_are_put_aside(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "inbox", rotate_bytes=100)
    for number in range(3):
        journal.append(b'{"n": %d, "x": "%s"}\n' % (number, b"x" * 90)).result(10)
    paths = journal.files()
    assert len(paths) == 3
    assert journal.complete() == paths[:2]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    old = time.time() - 3600
    os.utime(paths[0], (old, old))
    journal.remove(journal.complete())
    assert journal.files() == paths[1:]  # what came within the last minutes stays, for a restart
    journal.close()


def test_an_old_file_is_put_aside_and_removed_at_once_where_texts_are_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "inbox", rotate_seconds=0.0, kept_seconds=0.0)
    journal.append(b"{}\n").result(10)
    assert journal.complete() == []
    journal.put_old_aside()
    assert journal.complete() == journal.files() != []
    journal.remove(journal.complete())
    assert journal.files() == []
    journal.append(b"{}\n").result(10)
    journal.close()
    assert len(journal.complete()) == 1


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:4318", ("127.0.0.1", 4318)), (":9", ("127.0.0.1", 9)), ("[::1]:9", ("::1", 9)),
     ("localhost", ("localhost", 4318)), ("[::1]", ("::1", 4318)), ("9", ("127.0.0.1", 9))],
)  # fmt: skip
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address
