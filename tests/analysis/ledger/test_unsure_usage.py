"""Calls whose log does not tell what was billed: no cost, a status that says why, and a count beside every total."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger.ledger import update
from analysis.ledger.token_estimates import estimate
from analysis.reports.cost import cost
from analysis.reports.unsure_costs import unsure_costs
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

CLAUDE = "claude-sonnet-4-5"
TEXT = "a few plain words of an answer " * 40


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


def pair(response: Any, **request: Any) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 900, **request}
    return {"timestamp": "2026-03-02T10:00:00Z", "request": asked, "response": response}


def claude(*, end: bool, placeholder: int = 1) -> dict[str, Any]:
    usage = {"input_tokens": 20, "output_tokens": placeholder}
    opening = {"id": "m1", "type": "message", "role": "assistant", "model": CLAUDE, "content": [], "usage": usage}
    start = {"type": "message_start", "message": opening}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 280}}
    return pair(sse(start, text, *([last] if end else [])), model=CLAUDE)


def gemini(*, end: bool) -> dict[str, Any]:
    def chunk(count: int, **more: Any) -> dict[str, Any]:
        answer = {"content": {"role": "model", "parts": [{"text": "some words"}]}, **more}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": count, "totalTokenCount": 10 + count}
        return {"candidates": [answer], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}

    return pair(sse(chunk(2), chunk(9, **({"finishReason": "STOP"} if end else {}))), model="gemini-2.5-flash")


def whole(output_tokens: int, text: str) -> dict[str, Any]:
    body = {"id": "m1", "type": "message", "role": "assistant", "model": CLAUDE, "stop_reason": None,
            "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": 20, "output_tokens": output_tokens}}  # fmt: skip
    return pair(body, model=CLAUDE)


def span(**more: Any) -> dict[str, Any]:
    values = {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.request.model": CLAUDE,
              "gen_ai.usage.input_tokens": 3000, "gen_ai.usage.output_tokens": 100,
              "gen_ai.usage.cached_tokens": 2000, **more}  # fmt: skip
    attributes = [
        {"key": key, "value": {"stringValue" if isinstance(value, str) else "intValue": str(value)}}
        for key, value in values.items()
    ]
    one = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "chat", "startTimeUnixNano": "1772445600000000000",
           "endTimeUnixNano": "1772445601000000000", "attributes": attributes}  # fmt: skip
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "my.tracer"}, "spans": [one]}]}]}


def priced(folder: Path, record: dict[str, Any]) -> tuple[Store, tuple[Any, ...]]:
    path = folder / "log.jsonl"
    path.write_text(json.dumps(record) + "\n")
    store = MemoryStore(folder / "s.duckdb")
    assert ingest(store, [path], workers=1).calls == 1
    update(store)
    with store.read() as con:
        return store, con.execute("SELECT cost_status, cost_usd IS NULL, output_tokens FROM costs").fetchall()[0]


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (claude(end=False), "partial_usage"),
        (claude(end=False, placeholder=4), "partial_usage"),
        (gemini(end=False), "partial_usage"),
        (whole(1, TEXT), "partial_usage"),
        (span(), "ambiguous_usage"),
    ],
)
def test_what_the_log_cannot_tell_has_no_cost_and_is_counted_by_name(
    tmp_path: Path, record: dict[str, Any], status: str
) -> None:
    store, found = priced(tmp_path, record)
    assert found[:2] == (status, True)
    report = cost(store, ["model"])
    assert (report.total["unpriced_calls"], report.total["cost_usd"]) == (1, None)
    assert [row["cost_status"] for row in report.unpriced] == [status]
    assert update(store).unpriced_calls == 1


@pytest.mark.parametrize(
    ("record", "output"),
    [
        (claude(end=True), 280),
        (gemini(end=True), 9),
        (whole(280, TEXT), 280),
        (whole(1, "Yes."), 1),
        (span(**{"gen_ai.usage.total_tokens": 5100}), 100),
    ],
)
def test_what_the_log_tells_is_priced(tmp_path: Path, record: dict[str, Any], output: int) -> None:
    _, found = priced(tmp_path, record)
    assert found == ("priced", False, output)


def test_a_partial_count_is_estimated_from_the_text_on_request(tmp_path: Path) -> None:
    store, _ = priced(tmp_path, claude(end=False))
    assert estimate(store).estimated == 1
    update(store, rebuild=True)
    with store.read() as con:
        status, tokens = con.execute(
            "SELECT cost_status, guess.output_tokens FROM costs JOIN estimated_usage guess USING (call_no)"
        ).fetchall()[0]
    assert status == "priced_estimated"
    assert 200 < tokens < 400


def test_a_range_stands_beside_the_exact_bill(tmp_path: Path) -> None:
    store, _ = priced(tmp_path, span())
    found = unsure_costs(store)
    # 1,000 fresh and 2,000 cached, or 3,000 fresh and 2,000 cached, and 100 out, at 3, 0.30 and 15 dollars a million
    assert (found.calls, found.unknown) == (1, 0)
    assert (found.low_usd, found.high_usd) == (Decimal("0.0051"), Decimal("0.0111"))
    assert cost(store, ["model"]).total["cost_usd"] is None


def test_a_partial_answer_costs_at_least_its_text(tmp_path: Path) -> None:
    store, _ = priced(tmp_path, claude(end=False))
    found = unsure_costs(store)
    assert found.calls == 1
    assert found.low_usd is not None
    assert found.high_usd is not None
    assert Decimal("0.003") < found.low_usd < found.high_usd < Decimal("0.006")
    assert unsure_costs(store, where={"model": "other"}).calls == 0


def run_of(requests: int, prompt: int) -> dict[str, Any]:
    """What `gemini --output-format json` prints of a run of so many requests."""
    tokens = {"prompt": prompt, "candidates": 10_000, "cached": 100_000, "total": prompt + 10_000}
    models = {"gemini-2.5-pro": {"api": {"totalRequests": requests}, "tokens": tokens}}
    return {"session_id": f"s{requests}-{prompt}", "response": "done", "stats": {"models": models}}


def test_a_sum_beyond_a_long_prompt_has_a_range_and_no_price(tmp_path: Path) -> None:
    """Gemini 2.5 Pro costs twice as much for prompts of more than 200,000 tokens; the sum of several tells of none."""
    rows = [run_of(1, 300_000), run_of(5, 180_000), run_of(5, 900_000)]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = MemoryStore(tmp_path / "s.duckdb")
    ingest(store, [tmp_path / "runs.jsonl"])
    update(store)
    with store.read() as con:
        found = con.execute(
            "SELECT input_tokens, tokens_source, cost_status, cost_usd FROM costs ORDER BY input_tokens"
        ).fetchall()
    short, long, several = found
    assert short == (180_000, "sum_of_calls", "priced", Decimal("0.2125"))
    assert long == (300_000, "reported", "priced", Decimal("0.675"))
    assert several == (900_000, "sum_of_calls", "ambiguous_usage", None)
    unsure = unsure_costs(store)
    assert (unsure.calls, unsure.unknown) == (1, 0)
    assert (unsure.low_usd, unsure.high_usd) == (Decimal("1.1125"), Decimal("2.175"))
