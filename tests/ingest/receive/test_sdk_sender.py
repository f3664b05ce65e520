"""A program under OpenLLMetry's instrumentation of the OpenAI SDK: its calls arrive, priced, with their agents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger import ledger
from ingest.pipeline.run import ingest
from ingest.receive.journal import Journal, inbox_of
from ingest.receive.late_names import name_calls
from ingest.receive.otlp_server import receive_into
from ingest.store.database import Store

CALLS = 20
NUMBERS = count()


class Model(BaseHTTPRequestHandler):
    """A model server that answers with counts of its own."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        number = next(NUMBERS)
        body = json.dumps({
            "id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes"}}],
            "usage": {"prompt_tokens": 1_000 + number, "completion_tokens": 50, "total_tokens": 1_050 + number},
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def test_calls_of_an_instrumented_program_arrive_once_and_priced(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.instrumentation.openai")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    store = Store(tmp_path / "s.duckdb")
    journal = Journal(inbox_of(store.path))
    server = receive_into(journal, "127.0.0.1:0")
    try:
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("sdk_sender.py")), f"http://127.0.0.1:{server.port}",
             f"http://127.0.0.1:{model.server_port}/v1", str(CALLS)],
            check=True, timeout=120, cwd=tmp_path, env={**os.environ, "OTEL_SEMCONV_STABILITY_OPT_IN": ""},
        )  # fmt: skip
        ingest(store, [journal.folder], workers=1)
        with store.write() as con:
            assert name_calls(con, server.traces.take_names()) == []
        ledger.update(store)
        with store.read() as con:
            found = con.execute(
                """SELECT count(*), count(cost_usd), count(DISTINCT response_id), sum(input_tokens), sum(output_tokens),
                          count(*) FILTER (agent = 'writer'), count(*) FILTER (agent = 'editor'),
                          list(DISTINCT service_name), list(DISTINCT model) FROM costs"""
            ).fetchall()
        tokens = sum(range(1_000, 1_000 + CALLS))
        half = CALLS // 2
        assert found == [
            (CALLS, CALLS, CALLS, tokens, 50 * CALLS, half, half, ["articles"], ["gpt-4o-mini-2024-07-18"])
        ]
        assert not any(b"s3cret" in path.read_bytes() for path in journal.files())
    finally:
        server.stop()
        journal.close()
        model.shutdown()
        model.server_close()
