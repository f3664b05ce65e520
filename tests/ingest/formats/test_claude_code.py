"""Claude Code: which rows are one call, what `claude -p` prints, and Qwen Code, which writes the same envelope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.records.provider_names import claude_host
from ingest.store.database import Store

MODEL = "claude-opus-4-8"
COUNTS = "input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens"


def usage(fresh: int, read: int, written: int, output: int, **more: Any) -> dict[str, Any]:
    return {"input_tokens": fresh, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
            "output_tokens": output, **more}  # fmt: skip


def answer(counts: dict[str, Any], number: int = 1, *, message: str = "msg_1", request: str | None = "req_1",
           second: int = 0, **more: Any) -> dict[str, Any]:  # fmt: skip
    row = {"type": "assistant", "sessionId": "s", "uuid": f"a{number}", "timestamp": f"2026-09-15T10:00:{second:02}Z",
           "message": {"id": message, "role": "assistant", "model": MODEL, "usage": counts, **more}}  # fmt: skip
    return row if request is None else {**row, "requestId": request}


def ask(number: int) -> dict[str, Any]:
    return {"type": "user", "sessionId": "s", "uuid": f"u{number}", "timestamp": "2026-09-15T10:00:00Z",
            "message": {"role": "user", "content": "go on"}}  # fmt: skip


@pytest.fixture(params=[True, False], ids=["texts", "no texts"])
def keep(request: pytest.FixtureRequest) -> str:
    """With texts a transcript is read row by row, without them as columns."""
    return "text" if request.param else "none"


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def read(tmp_path: Path, records: list[dict[str, Any]], keep: str = "text", name: str = "a.jsonl") -> list[Any]:
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, [write(tmp_path / name, records)], metadata_only=keep == "none", workers=1)
    assert report.quarantined == 0
    assert report.rows == report.calls + report.duplicates + report.skipped
    with store.read() as con:
        return con.execute(f"SELECT {COUNTS} FROM calls ORDER BY start_time, output_tokens").fetchall()


# -- rows of one call --------------------------------------------------------------------------------------------------

PARTIAL = [usage(1, 0, 0, 50), usage(1, 30000, 2000, 1), usage(9, 30000, 2000, 50)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after another"])
def test_of_the_rows_of_a_call_the_one_with_the_largest_total_counts(
    tmp_path: Path, keep: str, order: tuple[int, ...], together: bool
) -> None:
    rows = [answer(PARTIAL[place]) for place in order]
    if together:
        assert read(tmp_path, rows, keep) == [(32009, 30000, 2000, 50)]
        return
    for number in range(len(rows)):
        found = read(tmp_path, [rows[number]], keep, f"{number}.jsonl")
    assert found == [(32009, 30000, 2000, 50)]


LONG = [{"type": "text", "text": "word " * 400}]


@pytest.mark.parametrize(
    ("counts", "content", "output", "flagged"),
    [
        ([1], LONG, None, 1),  # the count with which the stream began, and no row after it
        ([1, 1], LONG, None, 1),
        ([1, 480], LONG, 480, 0),
        ([480, 1], LONG, 480, 0),
        ([1], [{"type": "text", "text": "Yes."}], 1, 0),
        ([3], [{"type": "tool_use", "id": "t", "name": "run", "input": {"command": "x" * 2000}}], 3, 0),
    ],
)
def test_a_count_that_the_text_cannot_have_is_no_output_count(
    tmp_path: Path, keep: str, counts: list[int], content: list[Any], output: int | None, flagged: int
) -> None:
    rows = [answer(usage(10, 0, 0, made), n, second=n, content=content) for n, made in enumerate(counts)]
    assert read(tmp_path, [ask(1), *rows], keep) == [(10, 0, 0, output)]
    with Store(tmp_path / "s.duckdb").read() as con:
        found = con.execute("SELECT count(*) FROM import_issues WHERE code = 'partial_usage'").fetchall()[0][0]
    assert found == flagged


def test_a_count_that_was_not_the_last_is_made_whole_when_the_file_has_grown(tmp_path: Path, keep: str) -> None:
    begun = [ask(1), answer(usage(10, 0, 0, 1), 1, content=LONG)]
    assert read(tmp_path, begun, keep) == [(10, 0, 0, None)]
    assert read(tmp_path, [*begun, answer(usage(10, 0, 0, 480), 2, second=5, content=LONG)], keep) == [(10, 0, 0, 480)]
    with Store(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT count(*) FROM import_issues").fetchall() == [(0,)]
        assert con.execute("SELECT tokens_source FROM calls").fetchall() == [("reported",)]


def test_one_id_for_every_answer_of_a_proxy_is_no_identity(tmp_path: Path, keep: str) -> None:
    rows = [answer(usage(100 * turn, 0, 0, 7), turn, message="msg_x", request=None, second=turn) for turn in (1, 2, 3)]
    found = read(tmp_path, [ask(1), rows[0], ask(2), rows[1], rows[1], ask(3), rows[2]], keep)
    assert [one[0] for one in found] == [100, 200, 300]


def test_blocks_of_one_answer_with_tool_results_between_are_one_call(tmp_path: Path, keep: str) -> None:
    rows = [answer(usage(5, 900, 0, out), out, request=None) for out in (3, 40, 40)]
    assert read(tmp_path, [rows[0], ask(1), rows[1], ask(2), rows[2]], keep) == [(905, 900, 0, 40)]


@pytest.mark.parametrize(("five", "hour"), [(2000, 0), (0, 2000), (500, 1500)])
def test_a_zero_beside_a_filled_split_of_cache_writes_is_their_sum(
    tmp_path: Path, keep: str, five: int, hour: int
) -> None:
    split = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    assert read(tmp_path, [answer(usage(10, 0, 0, 5, cache_creation=split))], keep) == [(2010, 0, 2000, 5)]
    with Store(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT cache_creation_1h_input_tokens FROM calls").fetchall() == [(hour,)]


@pytest.mark.parametrize(
    ("model", "host"),
    [
        ("claude-opus-4-8", "anthropic"), ("anthropic.claude-opus-4-8", "aws.bedrock"),
        ("jp.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws.bedrock"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws.bedrock"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-8", "aws.bedrock"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1:1:application-inference-profile/x", "aws.bedrock"),
        ("claude-anthropic.x", "anthropic"), (None, "anthropic"),
    ],
)  # fmt: skip
def test_the_host_of_a_model_is_told_by_its_id(model: str | None, host: str) -> None:
    assert claude_host(model) == host


# -- claude -p ---------------------------------------------------------------------------------------------------------


def printed(counts: dict[str, Any], message: str = "msg_1") -> dict[str, Any]:
    inner = {"id": message, "role": "assistant", "model": MODEL, "content": [], "usage": counts}
    return {"type": "assistant", "session_id": "s", "uuid": message, "parent_tool_use_id": None, "message": inner}


def result(models: dict[str, tuple[int, int, int, int]], cost: float = 0.5, turns: int = 1) -> dict[str, Any]:
    names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens")
    total = [sum(column) for column in zip(*models.values(), strict=True)]
    return {"type": "result", "subtype": "success", "is_error": False, "session_id": "s", "num_turns": turns,
            "duration_ms": 1500, "total_cost_usd": cost, "usage": usage(*total),
            "modelUsage": {model: {**dict(zip(names, counts, strict=True)), "costUSD": cost / len(models)}
                           for model, counts in models.items()}}  # fmt: skip


INIT = {"type": "system", "subtype": "init", "session_id": "s", "model": MODEL, "cwd": "/home/dev/atlas", "uuid": "0"}


def test_answers_that_add_up_to_the_result_are_the_calls(tmp_path: Path) -> None:
    records = [INIT, printed(usage(10, 20, 5, 7)), printed(usage(40, 60, 0, 8), "msg_2"),
               result({MODEL: (50, 80, 5, 15)}, turns=2)]  # fmt: skip
    assert read(tmp_path, records) == [(35, 20, 5, 7), (100, 60, 0, 8)]
    with Store(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT DISTINCT task, conversation_id FROM calls").fetchall() == [("atlas", "s")]


def test_answers_with_partial_counts_and_helpers_give_way_to_the_result(tmp_path: Path) -> None:
    records = [INIT, printed(usage(10, 20, 5, 1)), printed(usage(40, 60, 0, 1), "msg_2"),
               result({MODEL: (50, 80, 5, 900), "claude-haiku-4-5": (300, 0, 0, 11)}, turns=2)]  # fmt: skip
    assert read(tmp_path, records) == [(300, 0, 0, 11), (135, 80, 5, 900)]
    with Store(tmp_path / "s.duckdb").read() as con:
        codes = con.execute("SELECT code, count(*) FROM import_issues GROUP BY 1 ORDER BY 1").fetchall()
    assert codes == [("printed_run", 2), ("sum_of_calls", 2), ("time_of_file", 2)]


def test_the_results_of_one_session_are_running_totals(tmp_path: Path) -> None:
    records = [result({MODEL: (50, 80, 5, 900)}), result({MODEL: (70, 80, 5, 990)}), result({MODEL: (6, 0, 0, 4)})]
    assert sorted(read(tmp_path, records)) == [(6, 0, 0, 4), (20, 0, 0, 90), (135, 80, 5, 900)]


def test_a_run_without_a_result_has_its_answers(tmp_path: Path) -> None:
    assert read(tmp_path, [INIT, printed(usage(10, 20, 5, 7)), printed(usage(10, 20, 5, 9))]) == [(35, 20, 5, 9)]


def test_an_answer_that_a_transcript_has_too_is_counted_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    counts = usage(10, 20, 5, 7)
    transcript = write(tmp_path / "t.jsonl", [answer(counts)])
    run = write(tmp_path / "run.jsonl", [INIT, printed(counts), result({MODEL: (10, 20, 5, 7)})])
    assert ingest(store, [transcript, run], workers=1).calls == 1


# -- Qwen Code ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 2], ids=["user", "assistant", "telemetry"])
def test_a_chat_of_qwen_code_is_not_taken_for_a_transcript(tmp_path: Path, keep: str, first: int) -> None:
    common = {"sessionId": "q", "timestamp": "2026-09-15T10:00:00Z", "cwd": "/home/dev/atlas"}
    counts = {"promptTokenCount": 500, "candidatesTokenCount": 20, "thoughtsTokenCount": 4, "totalTokenCount": 524,
              "cachedContentTokenCount": 100}  # fmt: skip
    records = [
        {**common, "uuid": "1", "type": "user", "message": {"role": "user", "parts": [{"text": "x"}]}},
        {**common, "uuid": "2", "type": "assistant", "model": "qwen3-coder-plus", "usageMetadata": counts,
         "message": {"role": "model", "parts": [{"text": "y"}]}},
        {**common, "uuid": "3", "type": "system", "subtype": "ui_telemetry", "systemPayload": {}},
    ]  # fmt: skip
    assert read(tmp_path, records[first:] + records[:first], keep) == [(500, 100, None, 24)]


def test_a_transcript_may_hold_rows_of_qwen_code(tmp_path: Path, keep: str) -> None:
    row = {"sessionId": "q", "timestamp": "2026-09-15T10:00:09Z", "uuid": "2", "type": "assistant", "model": "coder",
           "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
           "message": {"role": "model", "parts": []}}  # fmt: skip
    assert read(tmp_path, [answer(usage(10, 0, 0, 7)), row], keep) == [(10, 0, 0, 7), (5, None, None, 2)]
