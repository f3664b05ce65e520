"""Drafts of mapping files: what they read of logs whose own reader is known, and what they leave to be checked."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.detect.draft_mapping import draft_mapping
from ingest.detect.field_names import field_of, words
from ingest.detect.file_format import recognise
from ingest.errors import InputError
from ingest.mapping_file import parse_mapping
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore

SAMPLES = Path(__file__).resolve().parents[3] / "sample_logs" / "formats"
LOGS = sorted(path for path in SAMPLES.iterdir() if path.suffix in (".jsonl", ".json", ".csv"))
# logs of which a draft reads every call as their own reader does
READ_RIGHT = {
    "bedrock", "bifrost", "braintrust", "cloudflare", "cohere", "envoy", "gemini", "helicone", "hindcast", "langfuse",
    "langsmith", "litellm", "litellm_spend", "ollama", "openai_agents", "openai_batch", "openai_chat",
    "openai_responses", "openhands", "openrouter", "opik", "phoenix", "portkey", "posthog", "vertex", "inspect_ai",
    "editor_tokens",
}  # fmt: skip


def calls(folder: Path, source: Path, text: str | None = None) -> tuple[Counter[tuple[Any, ...]], IngestReport]:
    """(model without its path, input, output) of each call, by the log's own reader or by a mapping."""
    mapping = None
    if text is not None:
        mapping = folder / "mapping.yaml"
        mapping.write_text(text)
    store = MemoryStore(folder / ("mapped.duckdb" if text else "own.duckdb"))
    report = ingest(store, [source], mapping=mapping, workers=1)
    with store.read() as con:
        found = con.execute("SELECT split_part(model, '/', -1), input_tokens, output_tokens FROM calls").fetchall()
    return Counter(found), report


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_a_draft_reads_a_known_log_as_its_own_reader_does_or_says_what_to_check(tmp_path: Path, path: Path) -> None:
    text = draft_mapping(path)
    assert parse_mapping(text, path.name).fields or "# CHECK" in text
    if path.stem not in READ_RIGHT:
        assert "# CHECK" in text
        return
    assert recognise(path).name
    mapped, report = calls(tmp_path, path, text)
    assert report.quarantined == 0
    assert mapped == calls(tmp_path, path)[0]


@pytest.mark.parametrize(
    ("path", "values", "ours"),
    [
        ("Request tokens", [12, 5], "input_tokens"), ("TokensIn", ["1,200"], "input_tokens"),
        ("usage.promptTokens", [3], "input_tokens"), ("input_token_count", [3], "input_tokens"),
        ("attributes.llm.token_count.prompt", [3], "input_tokens"), ("n_completion_tok", [3], "output_tokens"),
        ("GeneratedTokens", [3], "output_tokens"), ("candidatesTokenCount", [3], "output_tokens"),
        ("cachedContentTokenCount", [3], "cache_read_input_tokens"), ("cache.input", [3], "cache_read_input_tokens"),
        ("prompt_cache_hit_tokens", [3], "cache_read_input_tokens"),
        ("tokens.cache.write", [3], "cache_creation_input_tokens"),
        ("cache_creation.ephemeral_1h_input_tokens", [3], "cache_creation_1h_input_tokens"),
        ("usage.completion_tokens_details.reasoning_tokens", [3], "reasoning_output_tokens"),
        ("totalTokens", [3], "total_tokens"), ("timestamp_ms", [1780000000000], "start_time"),
        ("request_timestamp", ["2026-06-01 10:00"], "start_time"), ("Created At", ["6/1/2026"], "start_time"),
        ("finished_at", [1780000000], "end_time"), ("price_per_example", [0.1], "logged_cost_usd"),
        ("totalCostUSD", ["$0.10"], "logged_cost_usd"), ("Elapsed time", [1.5], "duration_ms"),
        ("responseTime", [1.5], "duration_ms"), ("ttft_ms", [15], "time_to_first_chunk_ms"),
        ("gen_ai.request.model", ["gpt-4o"], "request_model"), ("gen_ai.response.model", ["gpt-4o"], "response_model"),
        ("modelID", ["gpt-4o"], "request_model"), ("session.id", ["s"], "conversation_id"),
    ],
)  # fmt: skip
def test_names_of_fields(path: str, values: list[Any], ours: str) -> None:
    found = field_of(path, values)
    assert found is not None
    assert found[0] == ours


@pytest.mark.parametrize(
    ("path", "values"),
    [("max_tokens", [4096]), ("input_cost", [0.1]), ("tokens_per_second", [3]), ("cached", [True]), ("model", [3]),
     ("cache_miss_tokens", [5]), ("usage.prompt_tokens_details", [{"audio": 1}]), ("rate_limit_tokens", [3]),
     ("response.usage.seconds_total", ["x"]), ("model", ["long " * 60]), ("input_tokens", ["many"])],
)  # fmt: skip
def test_names_of_no_field(path: str, values: list[Any]) -> None:
    assert field_of(path, values) is None


def test_words_of_names() -> None:
    names = ("costUSD", "Request tokens", "cachedContentTokenCount", "contexttokens", "1h")
    assert [words(name) for name in names] == [
        ("cost", "usd"), ("request", "tokens"), ("cached", "content", "token", "count"), ("context", "tokens"), ("1h",)
    ]  # fmt: skip


def draft(tmp_path: Path, records: list[dict[str, Any]]) -> str:
    source = tmp_path / "log.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    return draft_mapping(source)


CALL = {"ts": "2026-06-01T10:00:00Z", "model": "gpt-4o", "input_tokens": 10, "output_tokens": 2}


def test_an_id_that_repeats_is_no_key_and_that_of_a_session_never(tmp_path: Path) -> None:
    text = draft(tmp_path, [{**CALL, "id": number // 2, "session": {"id": "s"}} for number in range(4)])
    assert "id repeats in the sample: no key" in text
    mapping = parse_mapping(text, "draft")
    assert mapping.key is None
    assert mapping.fields["conversation_id"].path == "session.id"


def test_a_record_that_no_model_could_take_is_remarked_on(tmp_path: Path) -> None:
    assert "can take" not in draft(tmp_path, [CALL])
    assert "410,000 input tokens, more than gpt-4o can take (128,000)" in draft(
        tmp_path, [{**CALL, "input_tokens": 410_000}]
    )
    assert "may be a sum over calls" in draft(tmp_path, [{**CALL, "model": "own", "input_tokens": 3_000_000}])


def test_the_path_that_most_records_fill_is_taken(tmp_path: Path) -> None:
    usage = {"ts": 1780000000, "model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 2}}
    text = draft(tmp_path, [usage, usage, usage, {**usage, "raw": {"input_tokens": 10, "output_tokens": 2}}])
    assert parse_mapping(text, "draft").fields["input_tokens"].path == "usage.prompt_tokens"


def test_a_number_or_a_flag_is_never_a_message(tmp_path: Path) -> None:
    text = draft(
        tmp_path, [{**CALL, "prompt": 12, "response": "7", "llm": {"prompt": [{"role": "user", "content": "x"}]}}]
    )
    mapping = parse_mapping(text, "draft")
    assert (mapping.messages, mapping.response) == ("llm.prompt", None)


def test_calls_within_documents_are_told_from_what_lies_beside_them(tmp_path: Path) -> None:
    event = {"event": "model", "timestamp": "2026-06-01T10:00:00Z", "usage": {"inputTokens": 5, "outputTokens": 1}}
    documents = [{"eval": {"model": "gpt-4o"}, "samples": [{"events": [event, {"event": "tool"}, event]}]}]
    text = draft(tmp_path, documents)
    mapping = parse_mapping(text, "draft")
    assert (mapping.rows, mapping.where) == ("samples.*.events", {"event": "model"})
    found, report = calls(tmp_path, tmp_path / "log.jsonl", text)
    assert found == {("gpt-4o", 5, 1): 2}
    assert report.skipped == 1


def test_dates_numbers_and_columns_of_a_spreadsheet(tmp_path: Path) -> None:
    source = tmp_path / "export.csv"
    source.write_text("Date;Time;Model;Prompt Tokens;Completion Tokens;Cost\n"
                      "13/06/2026;09:00;gpt-4o;1.234;5;0,50\n1/6/2026;10:00;gpt-4o;7;5;1,25\n")  # fmt: skip
    text = draft_mapping(source)
    mapping = parse_mapping(text, "draft")
    assert (mapping.decimal, mapping.fields["start_time"].join) == (",", ["Date", "Time"])
    assert "decimal comma" in text


@pytest.mark.parametrize(
    ("extra", "says"),
    [({"cached_tokens": 50}, "cache: outside"), ({"cached_tokens": 5}, "Say cache: inside or outside"),
     ({"cached_tokens": 5, "total_tokens": 17}, "cache: outside"), ({"reasoning_tokens": 9}, "reasoning: outside"),
     ({"reasoning_tokens": 1}, "Say reasoning: inside or outside"), ({"latency": 2.5}, "latency was taken as s"),
     ({"cost": 0.1}, "US dollars")],
)  # fmt: skip
def test_what_the_log_leaves_open_is_said(tmp_path: Path, extra: dict[str, Any], says: str) -> None:
    assert says in draft(tmp_path, [{**CALL, **extra}])


def test_a_file_without_records_has_no_draft(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError):
        draft_mapping(tmp_path / "empty.jsonl")


@pytest.mark.parametrize("packed", [False, True])
def test_a_field_that_is_empty_in_the_first_records_is_found_further_on(tmp_path: Path, packed: bool) -> None:
    """Of each call the cost is null until the 120th, and the output a text from there on."""
    same = {"at": "2026-03-02T10:00:00Z", "model": "gpt-5-mini", "tokens_in": 10}
    rows = [{**same, "id": n, "tokens_out": 5, "cost_usd": None} for n in range(120)]
    rows += [{**same, "id": n, "tokens_out": "1,005", "cost_usd": 0.25} for n in range(120, 200)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / ("log.jsonl.gz" if packed else "log.jsonl")
    path.write_bytes(gzip.compress(text) if packed else text)
    drafted = tmp_path / "draft.yaml"
    drafted.write_text(draft_mapping(path))
    store = MemoryStore(tmp_path / "s.duckdb")
    report = ingest(store, [path], mapping=drafted, workers=1)
    assert (report.calls, report.quarantined) == (200, 0)
    with store.read() as con:
        found = con.execute("SELECT sum(output_tokens), sum(logged_cost_usd) FROM calls").fetchone()
    assert found == (120 * 5 + 80 * 1005, 80 * Decimal("0.25"))
