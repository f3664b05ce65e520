"""Cassettes: the same exchange in every layout and packing in which suites record it is the same call."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
import zstandard
from builder import in_memory

from ingest.pipeline.run import ingest

REQUEST = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})
ANSWER = json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1772409600, "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
})  # fmt: skip
URL = "https://api.openai.com/v1/chat/completions"
RAW = zlib.compressobj(wbits=-15)
BARE = RAW.compress(ANSWER.encode()) + RAW.flush()


def vcrpy(body: Any, coding: str = "") -> str:
    headers = {"Date": ["Mon, 02 Mar 2026 00:00:00 GMT"], **({"Content-Encoding": [coding]} if coding else {})}
    one = {"request": {"body": REQUEST, "method": "POST", "uri": URL},
           "response": {"body": body, "headers": headers, "status": {"code": 200, "message": "OK"}}}  # fmt: skip
    return yaml.safe_dump({"interactions": [one], "version": 1})


def go_vcr() -> str:
    one = {"id": 0, "request": {"body": REQUEST, "url": URL, "method": "POST"},
           "response": {"body": ANSWER, "headers": {"Date": ["Mon, 02 Mar 2026 00:00:00 GMT"]}, "status": "200 OK",
                        "code": 200, "duration": "1s"}}  # fmt: skip
    return "---\nversion: 2\n" + yaml.safe_dump({"interactions": [one]})


@pytest.mark.parametrize(
    "text",
    [
        vcrpy({"string": ANSWER}),
        vcrpy({"string": gzip.compress(ANSWER.encode())}, "gzip"),
        vcrpy({"string": gzip.compress(ANSWER.encode())}),
        vcrpy({"string": zlib.compress(ANSWER.encode())}, "deflate"),
        vcrpy({"string": BARE}, "deflate"),
        vcrpy({"string": zstandard.ZstdCompressor().compress(ANSWER.encode())}, "zstd"),
        vcrpy({"string": pa.compress(ANSWER.encode(), codec="brotli", asbytes=True)}, "br"),
        vcrpy({"base64_string": base64.b64encode(ANSWER.encode()).decode()}),
        vcrpy(None).replace("body: null", f"parsed_body: {ANSWER}"),
        go_vcr(),
    ],
    ids=["text", "gzip", "gzip untold", "zlib", "bare deflate", "zstd", "brotli", "base64", "parsed", "go-vcr"],
)
def test_an_exchange_is_one_call_however_it_was_recorded(text: str, tmp_path: Path) -> None:
    path = tmp_path / "cassette.yaml"
    path.write_text(text)
    report = ingest(in_memory(tmp_path / "s.duckdb"), [path], workers=1)
    assert (report.calls, report.quarantined, report.skipped) == (1, 0, 0)
    with in_memory(tmp_path / "s.duckdb").read() as con:
        found = con.execute("SELECT model, input_tokens, output_tokens, http_status FROM calls").fetchall()
    assert found == [("gpt-4o", 11, 3, 200)]
