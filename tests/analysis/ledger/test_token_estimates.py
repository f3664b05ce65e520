"""Calls without usage: exact for OpenAI's chat format, calibrated for others, never guessed where thought is hidden."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import socket
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger.ledger import update
from analysis.ledger.token_estimates import Estimates, estimate
from ingest.contents.tokenizer import count, encoding, fastokens_encoder
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

ROOT = Path(__file__).resolve().parents[3]
WORDS = ["cost", "spike", "the", "of", "cache", "naïve", "日本語", "tokens", "4.5", "\n", "()", "agent"]


def line(number: int, model: str, **columns: Any) -> dict[str, Any]:
    rng = random.Random(number)
    prompt = " ".join(rng.choices(WORDS, k=rng.randrange(5, 60)))
    answer = " ".join(rng.choices(WORDS, k=rng.randrange(5, 30)))
    return {
        "hindcast": 1, "call_id": f"{model}-{number}", "start_time": f"2024-06-01T00:{number % 60:02d}:00Z",
        "provider_name": columns.pop("provider", "openai"), "request_model": model,
        "input_messages": [{"role": "system", "content": "You count."}, {"role": "user", "content": prompt}],
        "output_messages": [{"role": "assistant", "content": answer}], **columns,
    }  # fmt: skip


def store_of(tmp_path: Path, lines: list[dict[str, Any]]) -> Store:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(item) + "\n" for item in lines))
    store = MemoryStore(tmp_path / "s.duckdb")
    ingest(store, [log])
    return store


def found(store: Store) -> dict[str, tuple[Any, ...]]:
    with store.read() as con:
        rows = con.execute(
            """SELECT model, guess.input_tokens, guess.output_tokens, method, spread, cost_status, cost_usd
               FROM costs LEFT JOIN estimated_usage guess USING (call_no) ORDER BY call_no"""
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


def cookbook(item: dict[str, Any], name: str) -> int:
    """The cookbook's count: 3 per message, the role and the content, 3 to prime the answer."""
    return 3 + sum(3 + count(m["role"], name) + count(m["content"], name) for m in item["input_messages"])


def test_an_openai_call_is_counted_as_the_cookbook_counts(tmp_path: Path) -> None:
    items = [line(1, "gpt-4-turbo"), line(2, "gpt-4o")]
    store = store_of(tmp_path, items)
    result = estimate(store)
    update(store)
    assert (result.exact, result.estimated, result.unknown) == (2, 0, 0)
    for item, name in zip(items, ("cl100k_base", "o200k_base"), strict=True):
        tokens_in, tokens_out, method, spread, status, cost = found(store)[item["request_model"]]
        assert tokens_in == cookbook(item, name)
        assert tokens_out == count(item["output_messages"][0]["content"], name)
        assert (method, spread, status) == ("exact_tokenizer", 0.0, "priced_estimated")
        assert cost is not None


def test_without_asking_a_call_without_usage_has_no_cost(tmp_path: Path) -> None:
    store = store_of(tmp_path, [line(1, "gpt-4-turbo")])
    update(store)
    with store.read() as con:
        assert con.execute("SELECT cost_status, cost_usd FROM ledger").fetchall() == [("no_usage", None)]


def test_another_vendor_is_calibrated_on_the_users_own_calls(tmp_path: Path) -> None:
    items = []
    for number in range(40):
        item = line(number, "claude-3-5-sonnet-20240620", provider="anthropic")
        base = cookbook(item, "o200k_base")
        items.append({**item, "input_tokens": round(base * (1.2 if number % 2 else 1.3)), "output_tokens": 9})
    items.append(line(99, "claude-3-5-sonnet-20240620", provider="anthropic"))
    store = store_of(tmp_path, items)
    result = estimate(store)
    (factor,) = result.factors
    assert factor.calls == 40
    assert factor.factor == pytest.approx(1.25, abs=0.02)
    assert 0.02 < factor.spread < 0.08
    update(store)
    tokens_in, _, method, spread, status, _ = found(store)["claude-3-5-sonnet-20240620"]
    assert tokens_in == round(cookbook(items[-1], "o200k_base") * factor.factor)
    assert (method, status) == ("estimated", "priced_estimated")
    assert spread == factor.spread


def test_hidden_reasoning_is_never_guessed(tmp_path: Path) -> None:
    store = store_of(tmp_path, [line(1, "o3"), line(2, "gpt-4o", status="error")])
    assert estimate(store) == Estimates(exact=1, estimated=0, unknown=1, factors=[])
    update(store)
    rows = found(store)
    assert rows["o3"][1] is None
    assert rows["o3"][4:] == ("no_usage", None)
    assert rows["gpt-4o"][0] is None  # a failed call was perhaps not billed at all


def test_real_prompts_of_gpt_3_5_are_counted_to_the_token(data: Path, tmp_path: Path) -> None:
    """Take the usage away from real calls and get it back."""
    store = MemoryStore(tmp_path / "s.duckdb")
    ingest(store, [data / "chatdev_calls.jsonl.zst"], mapping=ROOT / "sample_logs" / "mappings" / "chatdev.yaml")
    with store.write() as con:
        con.execute("CREATE TABLE truth AS SELECT call_no, input_tokens AS billed FROM calls")
        con.execute("UPDATE calls SET input_tokens = NULL WHERE model = 'gpt-3.5-turbo'")
    estimate(store)
    with store.read() as con:
        exact, close, calls = con.execute(
            """SELECT count(*) FILTER (guess.input_tokens = billed),
                      count(*) FILTER (abs(guess.input_tokens - billed) <= 0.02 * billed), count(*)
               FROM truth JOIN estimated_usage guess USING (call_no) JOIN calls USING (call_no)
               WHERE model = 'gpt-3.5-turbo'"""
        ).fetchall()[0]
    assert calls == 1256
    assert exact >= 985
    assert close >= 0.94 * calls  # the log left parts of some prompts out


FUZZ = 6000


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_token_ids_equal_tiktokens_on_a_fuzz_without_a_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6,000 strings in each encoding, sockets blocked. The peer is tiktoken's own definition, which checks the hash of
    the rank file that it is given: so our ranks and our pattern are OpenAI's."""
    import tiktoken
    import tiktoken_ext.openai_public as public

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    for part in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, part, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    packed = resources.files("bpe_openai").joinpath(f"data/{name}.tiktoken.gz").read_bytes()
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(gzip.decompress(packed))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    reference = tiktoken.Encoding(**getattr(public, name)())
    encoding.cache_clear()
    ours = encoding(name)
    rng = random.Random(6000)
    for text in (fuzz(rng) for _ in range(FUZZ)):
        expected = reference.encode_ordinary(text)
        assert ours.encode_ordinary(text) == expected
        assert count(text, name) == len(expected)


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_the_fast_extra_gives_the_same_tokens(name: str) -> None:
    encode = fastokens_encoder(name)
    if encode is None:
        pytest.skip("the [fast] extra is not installed")
    reference = encoding(name)
    rng = random.Random(6001)
    for text in (fuzz(rng) for _ in range(FUZZ)):
        assert list(encode(text)) == reference.encode_ordinary(text)


def fuzz(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return "".join(
            chr(c)
            for c in (rng.randrange(1, 0x10FFFF) for _ in range(rng.randrange(1, 40)))
            if not 0xD800 <= c < 0xE000
        )
    if kind == 1:
        return "".join(rng.choice(" \t\n\r\u00a0\u3000\u2028a") for _ in range(rng.randrange(1, 60)))
    if kind == 2:
        return " ".join(rng.choice(["I'm", "don't", "WE'LL", "it's", "O'Neil", "’twas", "x'RE"]) for _ in range(12))
    if kind == 3:
        return rng.choice("a=1日é.") * rng.randrange(1, 300)
    if kind == 4:
        return f"{rng.choice(WORDS)}<|endoftext|>{rng.choice(WORDS)}<|fim_prefix|>"
    return " ".join(rng.choices(WORDS, k=rng.randrange(1, 50))) + str(rng.randrange(10**12))
