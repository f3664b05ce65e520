"""Recorded HTTP: VCR cassettes (YAML) with requests to a model provider, as test suites keep them.

Of vcrpy (`body: {string: ...}`, text or compressed bytes), of go-vcr (`body: text`, `url`, `code`), and of suites that
keep a `parsed_body`.
"""

from __future__ import annotations

import base64
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

import zstandard

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import BadRecordError, Skip
from ingest.wire.request_response import dialect_of, opened, read_pair

_BODY_LIMIT = 64 << 20  # inflated


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    interaction = record["interaction"]
    request = interaction.get("request") or {}
    response = interaction.get("response") or {}
    answer = opened(_body(response))
    if dialect_of(answer) is None and not (isinstance(answer, dict) and answer.get("error")):
        return Skip("no answer of a model")
    pair: dict[str, Any] = {"request": opened(_body(request)), "response": answer}
    uri = request.get("uri") or request.get("url")
    if isinstance(uri, str):
        pair["uri"] = uri
    status = response.get("status")
    code = status.get("code") if isinstance(status, dict) else response.get("code")
    if isinstance(code, int):
        pair["status_code"] = code
    time = _date(response.get("headers"))
    if time is not None:
        pair["timestamp"] = time
    return read_pair(pair, context)


def _body(message: dict[str, Any]) -> Any:
    """The body of a request or a response, inflated. Raises BadRecordError for one that cannot be."""
    body = message.get("body") or message.get("parsed_body")
    if isinstance(body, dict) and isinstance(body.get("base64_string"), str | bytes):
        body = base64.b64decode(body["base64_string"])
    elif isinstance(body, dict) and body.keys() <= {"string", "encoding"}:
        body = body.get("string")
    if not isinstance(body, bytes):
        return body
    coding = _header(message.get("headers"), "content-encoding").lower()
    for wbits in (47, -15) if body[:2] == b"\x1f\x8b" or coding in ("gzip", "deflate") else ():
        try:  # with the header of gzip or zlib, or the bare stream that some servers call deflate
            inflated = zlib.decompressobj(wbits=wbits).decompress(body, _BODY_LIMIT)
        except zlib.error:
            continue
        return inflated.decode("utf-8", "replace")
    if coding == "zstd" or body[:4] == b"\x28\xb5\x2f\xfd":
        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as stream:
                return stream.read(_BODY_LIMIT).decode("utf-8", "replace")
        except zstandard.ZstdError:
            raise BadRecordError("a body that is no zstd although its header says so", "$.body") from None
    if coding == "br":
        import pyarrow as pa

        try:  # Arrow brings the decoder along
            with pa.CompressedInputStream(pa.BufferReader(body), "brotli") as stream:
                return bytes(stream.read(_BODY_LIMIT)).decode("utf-8", "replace")
        except OSError:
            raise BadRecordError("a body that is no brotli although its header says so", "$.body") from None
    return body.decode("utf-8", "replace")


def _header(headers: Any, wanted: str) -> str:
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if str(name).lower() == wanted:
            return str(value[0] if isinstance(value, list) and value else value)
    return ""


def _date(headers: Any) -> str | None:
    try:
        return parsedate_to_datetime(_header(headers, "date")).isoformat()
    except (ValueError, TypeError):
        return None


FORMAT = Format(
    name="recorded_http",
    title="recorded HTTP (VCR cassette)",
    fingerprints=(frozenset({"interaction"}),),
    matches=lambda record: isinstance(record, dict) and record.keys() == {"interaction"},
    open=stateless(read),
    rank=2,
    splittable=False,
)
