"""Near-duplicates are found exactly where they are, and false hits are counted against the logged answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore
from replay.response_cache import semantic
from replay.response_cache.semantic import Asked
from replay.traffic import load_traffic
from replay.traffic.traffic import Traffic

WORDS = [f"word{number}" for number in range(400)]


def sentence(rng: np.random.Generator, length: int) -> list[str]:
    return [WORDS[number] for number in rng.integers(0, len(WORDS), length)]


def test_planted_near_duplicates_are_found_and_strangers_are_not():
    rng = np.random.default_rng(1)
    base = [sentence(rng, 200) for _ in range(300)]
    near = [[*one[:100], "changed", *one[101:]] for one in base]
    texts = tuple(" ".join(one) for one in [*base, *near])
    found = semantic.by_words(Asked(np.arange(600, dtype=np.int32), np.zeros(600, np.int32), texts), 0.8)
    for number in range(300):
        assert found.near[found.offsets[number] : found.offsets[number + 1]].tolist() == [number, number + 300]


def test_only_questions_of_one_scope_are_compared():
    rng = np.random.default_rng(2)
    text = " ".join(sentence(rng, 50))
    asked = Asked(np.arange(2, dtype=np.int32), np.array([0, 1], np.int32), (text, text + " more"))
    assert semantic.by_words(asked, 0.7).near.tolist() == [0, 1]
    assert semantic.by_vectors(asked, np.ones((2, 3), np.float32), 0.7).near.tolist() == [0, 1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 60), block=st.sampled_from([1, 7, 512]))
def test_vectors_are_searched_exactly_in_any_block_size(seed, n, block):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    scope = rng.integers(0, 3, n).astype(np.int32)
    found = semantic.by_vectors(Asked(np.arange(n, dtype=np.int32), scope, ("",) * n), vectors, 0.5, block=block)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for one in range(n):
        expected = [o for o in range(n) if o == one or (scope[o] == scope[one] and float(unit[o] @ unit[one]) >= 0.5)]
        listed = found.near[found.offsets[one] : found.offsets[one + 1]].tolist()
        borderline = {o for o in range(n) if abs(float(unit[o] @ unit[one]) - 0.5) < 1e-5}
        assert set(listed) ^ set(expected) <= borderline


def log(folder, rows: list[tuple[str, str]]) -> Traffic:
    """One call a minute of (question, answer)."""
    lines = [
        {
            "hindcast": 1,
            "call_id": f"c{number}",
            "start_time": f"2024-11-05T{9 + number // 60:02}:{number % 60:02}:00Z",
            "provider_name": "openai",
            "request_model": "gpt-4o",
            "task": "faq",
            "input_tokens": 1000,
            "output_tokens": 100,
            "status": "ok",
            "input_messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}],
            "output_messages": [{"role": "assistant", "content": answer}],
        }
        for number, (question, answer) in enumerate(rows)
    ]
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = MemoryStore(folder / "s.duckdb")
    ingest(store, [path])
    from analysis.ledger.ledger import update

    update(store)
    return load_traffic.load(store)


def test_false_hits_are_measured_against_the_logged_answers(tmp_path):
    rng = np.random.default_rng(3)
    rows = []
    for number in range(40):
        question = sentence(rng, 60)
        other = [*question[:30], "please", *question[31:]]
        answer = " ".join(sentence(rng, 20))
        rows += [(" ".join(question), answer), (" ".join(other), answer if number % 4 else f"{answer} 17 not")]
    loose, exact = semantic.measure(log(tmp_path, rows), thresholds=(0.8,))
    assert (loose.hits, loose.exact, loose.compared, loose.wrong) == (40, 0, 40, 10)
    assert loose.low < 0.25 < loose.high
    assert (exact.hits, exact.low, exact.high) == (0, None, None)
    assert semantic.choose([loose, exact], 0.05) is None
    assert loose.saved == 40 * (1000 * 2_500_000 + 100 * 10_000_000)


def test_a_cache_is_sequential_so_a_hit_does_not_store_its_own_text(tmp_path):
    """A chain of small changes drifts away from the one stored answer, and must then ask again."""
    rng = np.random.default_rng(4)
    words = sentence(rng, 100)
    rows = []
    for number in range(30):
        words = [*words]
        words[(number * 7) % 100] = f"new{number}"
        rows.append((" ".join(words), "the answer"))
    row = semantic.measure(log(tmp_path, rows), thresholds=(0.8,))[0]
    assert 15 < row.hits < 29


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("Yes.", "yes", True),
        ("Positive", "Negative", False),
        ("The total is 14 apples in the big box", "The total is 15 apples in the big box", False),
        ("We ship the parcel within two days to any place", "We ship the parcel within two days to every place", True),
    ],
)
def test_answers_agree_in_words_and_numbers(left, right, same):
    assert semantic.agree(left, right) is same


def test_the_interval_is_wilsons():
    low, high = semantic.interval(1, 20, 0.95)
    assert (round(low, 4), round(high, 4)) == (0.0089, 0.2361)


def test_the_lowest_threshold_that_surely_keeps_the_target_is_chosen():
    def row(threshold: float, high: float | None) -> semantic.Threshold:
        return semantic.Threshold(threshold, 100, 10, 0, 0, 10, 0, 0.0, high)

    rows = [row(0.7, 0.3), row(0.8, 0.04), row(0.9, 0.02), row(1.0, 0.01)]
    assert semantic.choose(rows, 0.05).threshold == 0.8
    assert semantic.choose([row(0.8, 0.01), row(0.9, 0.2)], 0.05) is None


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible embeddings endpoint whose vectors are letter counts."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        rows = [
            {"object": "embedding", "index": number, "embedding": [float(text.count(c)) for c in "abcdef"]}
            for number, text in enumerate(asked)
        ]
        body = {"object": "list", "data": rows[::-1], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        pass


def test_vectors_come_from_an_openai_compatible_endpoint_in_the_order_asked():
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        found = semantic.embed(["aab", "fed", "ccc"], model="m", base_url=url, batch=2)
        assert found.tolist() == [[2, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 3, 0, 0, 0]]
        with pytest.raises(InputError, match="embeddings endpoint"):
            semantic.embed(["a"], model="m", base_url="http://127.0.0.1:9/v1")
    finally:
        server.shutdown()


def test_the_same_comparison_made_again_narrows_no_interval() -> None:
    once, often = semantic.interval(1, 20, 0.95), semantic.interval(10, 200, 0.95, effective=20)
    assert often == pytest.approx(once)
    assert semantic.interval(10, 200, 0.95)[1] < once[1]
