"""Shadow runs through the real OpenAI client: the budget holds to the cent, and nothing is paid for twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from analysis.ledger import ledger
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.run import run as replay
from replay.shadow import judge, run
from replay.strategy.schema import parse

MODEL, JUDGE = "gpt-4o-mini", "gpt-4o"
PRICES = {MODEL: (150_000, 600_000), JUDGE: (2_500_000, 10_000_000)}  # pico-dollars per token


class Endpoint:
    """A compatible server that bills what it answers. `trouble(n)` may return a status for its n-th request."""

    def __init__(self) -> None:
        self.billed = 0
        self.answered: Counter[str] = Counter()
        self.requests = 0
        self.trouble: Any = lambda _n: None
        self.delay = 0.0
        self.quality = 0.8
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with owner.lock:
                    owner.requests += 1
                    status = owner.trouble(owner.requests)
                if status == "drop":
                    owner.answer(body)
                    self.close_connection = True
                    self.connection.close()
                    return
                if status:
                    self.reply(status, {"error": {"message": "busy", "type": "x"}}, {"retry-after": "0"})
                    return
                time.sleep(owner.delay)
                self.reply(200, owner.answer(body), {})

            def reply(self, status: int, document: Any, headers: dict[str, str]) -> None:
                data = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = sum(len(message["content"]) // 4 + 4 for message in body["messages"])
        text = body["messages"][-1]["content"]
        if body["model"] == JUDGE:
            candidate_first = "<answer_A>\nshort answer" in text
            scores = (10 * self.quality, 9.0)
            first, second = scores if candidate_first else scores[::-1]
            content, wrote = json.dumps({"A": min(first + 0.5, 10), "B": second}), 12  # it favours what comes first
        else:
            content, wrote = "short answer", min(30, body["max_tokens"])
        with self.lock:
            self.answered[json.dumps(body["messages"])] += 1
            read, write = PRICES[body["model"]]
            self.billed += prompt * read + wrote * write
        return {
            "id": f"c{self.requests}", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": wrote, "total_tokens": prompt + wrote},
        }  # fmt: skip


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    yield found
    found.server.shutdown()
    found.server.server_close()


def log(path: Path, count: int = 60) -> Store:
    lines = []
    for number in range(count):
        lines.append(
            json.dumps(
                {
                    "hindcast": 1,
                    "call_id": f"c{number}",
                    "start_time": f"2026-03-01T{number // 60:02}:{number % 60:02}:00Z",
                    "provider_name": "openai",
                    "request_model": "gpt-4o",
                    "agent": "writer",
                    "task": ("summary", "draft")[number % 2],
                    "input_tokens": 60,
                    "output_tokens": 40,
                    "input_messages": [
                        {"role": "system", "content": "You write."},
                        {"role": "user", "content": f"Text number {number}, in some words of its own."},
                    ],
                    "output_messages": [{"role": "assistant", "content": f"The logged answer number {number}."}],
                }
            )
        )
    lines.append(json.dumps({"hindcast": 1, "start_time": "2026-03-01T09:00:00Z", "request_model": "gpt-4o",
                             "input_tokens": 9, "output_tokens": 3}))  # no text: cannot be asked again  # fmt: skip
    (path / "log.jsonl").write_text("\n".join(lines) + "\n")
    store = Store(path / "s.duckdb")
    ingest(store, [path / "log.jsonl"])
    ledger.update(store)
    return store


def client(endpoint: Endpoint) -> openai.OpenAI:
    return openai.OpenAI(base_url=endpoint.url, api_key="none", max_retries=0, timeout=5.0)


def go(store: Store, endpoint: Endpoint, journal: Path, *, budget: int = 10**12, calls: int = 8, **more: Any) -> Any:
    chosen = run.plan(store, MODEL, calls=calls, judge_model=more.pop("judged_by", JUDGE), seed=1)
    waits: list[float] = []
    result = run.run(store, chosen, client(endpoint), journal, budget=budget, pause=waits.append, **more)
    return result, waits


def test_paired_scores_are_stored_and_change_the_verdict(tmp_path: Path, endpoint: Endpoint):
    store = log(tmp_path)
    strategy = parse("name: x\nroute: [{default: gpt-4o-mini}]\nquality: {floor: 0.8}")
    assert replay(store, [strategy]).strategies[0].quality["verdict"] == "unknown"
    result, _ = go(store, endpoint, tmp_path / "j.jsonl", calls=12)
    assert (result.answered, result.judged, result.lost, result.failed, result.stopped) == (12, 12, 0, 0, None)
    assert result.plan.skipped == 1
    # the judge's half point for the first place is averaged away
    assert result.candidate.mean == pytest.approx(0.825)
    assert result.logged.mean == pytest.approx(0.925)
    assert result.length_ratio == pytest.approx(30 / 40)
    found = replay(store, [strategy]).strategies[0].quality
    assert found["verdict"] == "passes"
    assert found["mean_ratio"] == pytest.approx(0.825 / 0.925, abs=1e-6)
    endpoint.quality = 0.3
    go(store, endpoint, tmp_path / "k.jsonl", calls=12)
    assert replay(store, [strategy]).strategies[0].quality["verdict"] == "fails"


@pytest.mark.parametrize("cents", [0.01, 0.05, 0.2, 1.0])
def test_the_budget_is_never_exceeded_and_the_account_is_exact(tmp_path: Path, endpoint: Endpoint, cents: float):
    store = log(tmp_path)
    budget = int(cents * 10**10)
    result, _ = go(store, endpoint, tmp_path / "j.jsonl", budget=budget, calls=30)
    assert result.spent == endpoint.billed <= budget
    if cents < 1.0:
        assert result.stopped


def test_a_budget_too_small_for_one_call_asks_nothing(tmp_path: Path, endpoint: Endpoint):
    result, _ = go(log(tmp_path), endpoint, tmp_path / "j.jsonl", budget=1000)
    assert (result.answered, endpoint.requests, result.spent) == (0, 0, 0)
    assert result.stopped


def test_rate_limits_and_errors_are_retried_politely(tmp_path: Path, endpoint: Endpoint):
    endpoint.trouble = lambda n: {1: 429, 2: 529, 4: 503, 7: 429}.get(n)
    result, waits = go(log(tmp_path), endpoint, tmp_path / "j.jsonl", calls=5)
    assert (result.answered, result.judged, result.failed) == (5, 5, 0)
    assert len(waits) == 4
    assert waits == [0.0] * 4  # as the endpoint's retry-after asks
    assert max(endpoint.answered.values()) == 1
    assert result.spent == endpoint.billed


def test_a_request_that_is_refused_for_good_costs_nothing(tmp_path: Path, endpoint: Endpoint):
    endpoint.trouble = lambda n: 400 if n == 1 else None
    result, waits = go(log(tmp_path), endpoint, tmp_path / "j.jsonl", calls=5)
    assert (result.answered, result.failed, waits) == (4, 1, [])
    assert result.spent == endpoint.billed


def test_a_wrong_key_or_address_stops_at_once_and_can_be_mended(tmp_path: Path, endpoint: Endpoint):
    store, journal = log(tmp_path), tmp_path / "j.jsonl"
    endpoint.trouble = lambda _n: 401
    with pytest.raises(InputError, match="the endpoint refuses: 401"):
        go(store, endpoint, journal)
    assert endpoint.requests == 1
    endpoint.trouble = lambda _n: None
    nowhere = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0)
    chosen = run.plan(store, MODEL, calls=8, judge_model=JUDGE, seed=1)
    with pytest.raises(InputError, match="cannot be reached"):
        run.run(store, chosen, nowhere, journal, budget=10**12, pause=lambda _s: None)
    result, _ = go(store, endpoint, journal)
    assert (result.answered, result.lost, result.spent) == (8, 0, endpoint.billed)


def test_an_answer_lost_on_the_way_counts_as_paid_and_is_not_asked_again(tmp_path: Path, endpoint: Endpoint):
    endpoint.trouble = lambda n: "drop" if n == 1 else None
    result, _ = go(log(tmp_path), endpoint, tmp_path / "j.jsonl", calls=5)
    assert (result.lost, result.answered) == (1, 4)
    assert max(endpoint.answered.values()) == 1
    assert result.spent >= endpoint.billed


def test_a_finished_run_repeated_asks_nothing_more(tmp_path: Path, endpoint: Endpoint):
    store = log(tmp_path)
    first, _ = go(store, endpoint, tmp_path / "j.jsonl")
    asked = endpoint.requests
    second, _ = go(store, endpoint, tmp_path / "j.jsonl")
    assert endpoint.requests == asked
    assert second.spent == first.spent == endpoint.billed
    with store.read() as con:
        assert con.execute("SELECT count(*) FROM scores").fetchall()[0][0] == 16


def test_a_larger_budget_goes_on_where_the_smaller_one_stopped(tmp_path: Path, endpoint: Endpoint):
    store, journal = log(tmp_path), tmp_path / "j.jsonl"
    first, _ = go(store, endpoint, journal, budget=15 * 10**8)
    assert first.stopped
    assert first.spent <= 15 * 10**8
    second, _ = go(store, endpoint, journal)
    assert (second.answered, second.stopped) == (8, None)
    assert second.spent == endpoint.billed
    assert max(endpoint.answered.values()) == 1


@pytest.mark.slow
def test_a_killed_run_resumes_without_paying_twice(tmp_path: Path, endpoint: Endpoint):
    store, journal = log(tmp_path), tmp_path / "j.jsonl"
    endpoint.delay = 0.03
    command = [
        sys.executable, "-m", "cli.app", "shadow", "--model", MODEL, "--judge", JUDGE, "--budget", "0.05", "--calls",
        "20", "--base-url", endpoint.url, "--journal", str(journal), "--yes", "--json", "--store", str(store.path),
    ]  # fmt: skip
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = endpoint.requests
        while endpoint.requests < before + 7 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    assert max(endpoint.answered.values()) == 1  # no question was answered, and billed, twice
    assert told["lost"] <= 2
    spent = round(float(told["spent_usd"]) * 10**12)
    assert endpoint.billed <= spent <= 5 * 10**10
    assert told["answered"] >= 18


def test_another_plan_does_not_take_over_a_journal(tmp_path: Path, endpoint: Endpoint):
    store, journal = log(tmp_path), tmp_path / "j.jsonl"
    go(store, endpoint, journal, calls=3)
    with pytest.raises(InputError, match="another run"):
        go(store, endpoint, journal, calls=4)


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path: Path, endpoint: Endpoint):
    store, journal = log(tmp_path), tmp_path / "j.jsonl"
    first, _ = go(store, endpoint, journal, calls=3)
    with journal.open("ab") as handle:
        handle.write(b'{"key": "answer:1", "co')
    again, _ = go(store, endpoint, journal, calls=3)
    assert again.spent == first.spent


def test_nobody_is_charged_without_agreeing(tmp_path: Path, endpoint: Endpoint):
    store = log(tmp_path)
    command = [sys.executable, "-m", "cli.app", "shadow", "--model", MODEL, "--budget", "1", "--base-url", endpoint.url]
    done = subprocess.run(
        [*command, "--store", str(store.path)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        env={**os.environ}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "without a terminal nobody can confirm it" in done.stderr
    assert re.search(r"Expected \$[\d.]+, at most \$[\d.]+", done.stderr)
    assert endpoint.requests == 0


def test_a_model_without_a_price_is_refused_before_anything_is_asked(tmp_path: Path):
    with pytest.raises(InputError, match="has no price"):
        run.plan(log(tmp_path), "in-house-model-7")


def test_the_judge_reads_only_real_verdicts():
    assert judge.verdict('Sure: {"A": 7, "B": 9.5}.') == (0.7, 0.95)
    for reply in ('{"A": 7, "B": true}', '{"A": "7", "B": 8}', '{"A": NaN, "B": 8}', '{"A":1,"B":2} {"A":2,"B":1}'):
        assert judge.verdict(reply) is None
    for reply in ("", "A is better", '{"A": 7}', '{"A": 11, "B": 3}', '{"A": "x", "B": 1}', "{A: 1}"):
        assert judge.verdict(reply) is None
