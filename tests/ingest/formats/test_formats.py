"""Every format is recognised, and says the same about the same calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.formats import formats
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from sample_logs.formats.generate import SAMPLE_CALLS, write_samples
from sample_logs.formats.truth import TrueCall, true_calls
from sample_logs.formats.writers import WRITERS

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "sample_logs" / "formats"
GATEWAY = ROOT / "sample_logs" / "mappings" / "gateway.yaml"
# what the samples hold beside one call per true call
CALLS = {
    "azure": SAMPLE_CALLS + 1,
    "opencode": 1,
    "agent_sums": 1,
    "provider_usage": 0,
    "cohere": SAMPLE_CALLS + 1,
    "openai_media": 3,
}
# formats that tell no cache
CACHELESS = {"openai_agents", "ollama", "cohere", "azure_llm", "cloudflare", "aider", "editor_tokens"}
# formats that carry the whole truth about a call, under the response's id
FULL = (
    "hindcast", "openai_chat", "openai_responses", "litellm", "litellm_spend", "helicone", "portkey", "posthog",
    "langfuse", "langsmith", "otlp", "phoenix", "braintrust", "datadog_llm", "opik", "weave",
)  # fmt: skip


def run(tmp_path: Path, *paths: Path, **options: Any) -> tuple[Store, IngestReport]:
    store = MemoryStore(tmp_path / "s.duckdb")
    return store, ingest(store, paths, workers=1, **options)


def rows(store: Store, query: str) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(query).fetchall()


def test_there_are_at_least_22_formats_each_with_a_sample() -> None:
    names = {one.name for one in formats()}
    assert names == set(WRITERS)
    assert len(names) >= 22


def test_the_samples_are_what_the_writers_write(tmp_path: Path) -> None:
    for path in write_samples(tmp_path):
        assert path.read_bytes() == (SAMPLES / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", WRITERS)
def test_a_sample_is_recognised_and_every_row_is_accounted_for(tmp_path: Path, name: str) -> None:
    options = {"mapping": GATEWAY} if name == "mapping" else {}
    _, report = run(tmp_path, SAMPLES / WRITERS[name][0], **options)
    file = report.files[0]
    assert file["format"] == ("mapping:gateway" if name == "mapping" else name)
    assert report.calls == CALLS.get(name, SAMPLE_CALLS)
    assert report.quarantined == 0
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"opencode", "agent_sums", "provider_usage", "openai_media"}))
def test_tokens_of_a_sample_are_the_true_ones(tmp_path: Path, name: str) -> None:
    truth = true_calls(SAMPLE_CALLS)
    options = {"mapping": GATEWAY} if name == "mapping" else {}
    store, _ = run(tmp_path, SAMPLES / WRITERS[name][0], **options)
    found = rows(store, "SELECT input_tokens, output_tokens FROM calls WHERE tokens_source <> 'missing'")
    assert sorted(found) == sorted((call.input_tokens, call.output_tokens) for call in truth)
    if name not in CACHELESS:
        cached = rows(store, "SELECT sum(cache_read_input_tokens) FROM calls")[0][0]
        assert cached == sum(call.cached_tokens for call in truth)


def _tokens(store: Store) -> dict[int, tuple[Any, ...]]:
    found = rows(
        store,
        """SELECT start_time, model, input_tokens, cache_read_input_tokens, output_tokens, reasoning_output_tokens,
                  agent, task, conversation_id, provider_name FROM calls ORDER BY start_time""",
    )
    return {number: row[1:] for number, row in enumerate(found)}


@pytest.mark.parametrize("name", FULL)
def test_200_calls_are_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    truth = true_calls(200, seed=3)
    path = tmp_path / WRITERS[name][0]
    path.write_text(WRITERS[name][1](truth))
    store, report = run(tmp_path, path)
    assert report.calls == 200
    expected = {
        number: (call.model, call.input_tokens, call.cached_tokens, call.output_tokens, call.reasoning_tokens,
                 call.agent, call.task, call.session, "openai")
        for number, call in enumerate(truth)
    }  # fmt: skip
    assert _tokens(store) == expected


def test_all_formats_of_the_same_calls_together_are_200_calls(tmp_path: Path) -> None:
    truth: list[TrueCall] = true_calls(200, seed=3)
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in FULL:
        (folder / WRITERS[name][0]).write_text(WRITERS[name][1](truth))
    store, report = run(tmp_path, folder)
    assert report.calls == 200
    assert report.duplicates == 200 * (len(FULL) - 1)
    assert rows(store, "SELECT count(*), count(DISTINCT call_key) FROM calls") == [(200, 200)]


def test_costs_agree_between_formats(tmp_path: Path) -> None:
    ledger = pytest.importorskip("analysis.ledger.ledger")
    truth = true_calls(60, seed=5)
    totals = set()
    for name in ("openai_chat", "litellm", "langfuse", "otlp", "hindcast", "posthog", "langsmith", "phoenix"):
        path = tmp_path / f"{name}.log"
        path.write_text(WRITERS[name][1](truth))
        store = MemoryStore(tmp_path / f"{name}.duckdb")
        ingest(store, [path], workers=1)
        ledger.update(store)
        totals.add(rows(store, "SELECT sum(cost_usd) FROM costs")[0][0])
    assert len(totals) == 1


def test_a_file_may_mix_formats(tmp_path: Path) -> None:
    truth = true_calls(4, seed=9)
    path = tmp_path / "mixed.jsonl"
    text = "".join(WRITERS[name][1](truth[i : i + 1]) for i, name in enumerate(("litellm", "portkey", "hindcast")))
    path.write_text(text)
    _, report = run(tmp_path, path)
    assert (report.calls, report.quarantined) == (3, 0)


def test_usage_reports_become_buckets_and_never_calls(tmp_path: Path) -> None:
    store, _ = run(tmp_path, SAMPLES / "provider_usage.jsonl")
    again = ingest(store, [SAMPLES / "provider_usage.jsonl"])
    assert again.calls == 0
    truth = true_calls(SAMPLE_CALLS)
    found = rows(store, "SELECT token_kind, quantity FROM usage_buckets WHERE kind = 'usage' ORDER BY 1")
    assert [(kind, int(amount)) for kind, amount in found] == [
        ("input_cached_tokens", sum(call.cached_tokens for call in truth)),
        ("input_tokens", sum(call.input_tokens for call in truth)),
        ("output_tokens", sum(call.output_tokens for call in truth)),
    ]


def test_batch_calls_are_of_the_batch_tier(tmp_path: Path) -> None:
    names = ("openai_batch", "anthropic_batch", "gemini_batch", "bedrock_batch")
    store, report = run(tmp_path, *(SAMPLES / f"{name}.jsonl" for name in names))
    assert report.calls == len(names) * SAMPLE_CALLS
    assert rows(store, "SELECT DISTINCT service_tier, is_batch FROM calls") == [("batch", True)]
