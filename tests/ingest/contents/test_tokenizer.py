"""Token counts without a network, and the blocks that prefix caches compare."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contents import tokenizer
from ingest.contents.tokenizer import (
    ENCODINGS,
    blocks,
    count,
    count_content,
    encoding,
    ensure_counted,
    fastokens_encoder,
    has_fastokens,
)
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store

# token ids published with OpenAI's tokenizers
KNOWN = [
    ("cl100k_base", "hello world", [15339, 1917]),
    ("o200k_base", "hello world", [24912, 2375]),
    ("cl100k_base", "tiktoken is great!", [83, 1609, 5963, 374, 2294, 0]),
]


@pytest.mark.parametrize(("name", "text", "ids"), KNOWN)
def test_the_encodings_are_the_published_ones(name: str, text: str, ids: list[int]) -> None:
    assert encoding(name).encode_ordinary(text) == ids


def test_counting_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    encoding.cache_clear()
    assert [count("hello world", name) for name in ENCODINGS] == [2, 2]


@given(st.text())
def test_every_text_survives_its_tokens(text: str) -> None:
    clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    for name in ENCODINGS:
        assert encoding(name).decode(encoding(name).encode_ordinary(clean)) == clean


def test_an_unknown_encoding_is_told() -> None:
    with pytest.raises(InputError, match="o200k_base"):
        encoding("o200k_bse")


@given(st.integers(0, 700), st.integers(0, 700))
def test_blocks_agree_exactly_as_far_as_the_tokens_do(shared: int, more: int) -> None:
    one = np.arange(shared + more, dtype=np.uint32)
    other = np.concatenate([one[:shared], one[shared:] + 1_000_000])
    first, second = blocks(one), blocks(other)
    same = sum(1 for a, b in zip(first, second, strict=True) if a == b)
    assert same == (len(first) if more == 0 else shared // 128)


def test_each_text_is_counted_once_and_only_when_asked(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(
        json.dumps({"hindcast": 1, "call_id": str(n), "start_time": "2026-01-01T00:00:00Z", "request_model": "gpt-4o",
                    "input_tokens": 9, "output_tokens": 1, "tools": [{"name": "f"}],
                    "input_messages": [{"role": "user", "content": f"Question {n % 5}"}]}) + "\n" for n in range(20)
    ))  # fmt: skip
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log], workers=1)
    with store.read() as con:
        assert con.execute("SELECT count(*) FROM content_tokens").fetchall() == [(0,)]
    assert ensure_counted(store, ["o200k_base"]) == 6
    assert ensure_counted(store, ["o200k_base"]) == 0
    with store.read() as con:
        for text, kind, tokens, parts in con.execute(
            "SELECT text, kind, tokens, blocks FROM contents JOIN content_tokens USING (content_id)"
        ).fetchall():
            assert tokens == count_content(text, kind, "o200k_base")
            assert len(parts) == 1


def many_texts(folder: Path) -> Store:
    """A store with texts of every kind that tokenizers stumble over."""
    odd = [
        "<|endoftext|> and <|im_start|>", "naïve e\u0301 \u2028 \U0001f600\U0001f468\u200d\U0001f469", "  \n\n\t x  ",
        "12345.6789", "don't WE'LL I'D", "العربية 中文字符 हिन्दी", "def f(x):\n    return x**2\n", "",
    ]  # fmt: skip
    log = folder / "log.jsonl"
    log.write_text("".join(
        json.dumps({"hindcast": 1, "call_id": str(n), "start_time": "2026-01-01T00:00:00Z", "request_model": "gpt-4o",
                    "input_tokens": 9, "output_tokens": 1, "tools": [{"name": f"f{n}"}],
                    "input_messages": [
                        {"role": "user", "content": f"{odd[n % 8] * (n % 5)} {n} {odd[n % 3]}" * (n % 40)}],
                    "output_messages": [{"role": "assistant", "content": odd[n % 8], "tool_calls": [
                        {"function": {"name": "g", "arguments": json.dumps({"n": n})}}]}]}) + "\n" for n in range(300)
    ))  # fmt: skip
    store = Store(folder / "s.duckdb")
    ingest(store, [log], workers=1)
    return store


def counted(store: Store) -> list[Any]:
    with store.read() as con:
        return con.execute("SELECT * FROM content_tokens ORDER BY encoding, content_id").fetchall()


@pytest.mark.skipif(not has_fastokens(), reason="needs the [fast] extra")
@pytest.mark.parametrize("name", ENCODINGS)
def test_the_fast_extra_counts_and_hashes_blocks_as_tiktoken_does(tmp_path: Path, name: str) -> None:
    for folder in ("plain", "fast"):
        (tmp_path / folder).mkdir()
    plain, fast = many_texts(tmp_path / "plain"), many_texts(tmp_path / "fast")
    ensure_counted(plain, [name])  # far too little text for the extra
    fastokens_encoder.cache_clear()
    ensure_counted(fast, [name], fastokens_bytes=1)
    assert fastokens_encoder.cache_info().misses == 1
    assert counted(fast) == counted(plain)


def test_a_fast_tokenizer_that_counts_otherwise_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = many_texts(tmp_path)
    monkeypatch.setattr(tokenizer, "has_fastokens", lambda: True)
    monkeypatch.setattr(tokenizer, "fastokens_encoder", lambda _: lambda text: range(len(text)))
    ensure_counted(store, ["o200k_base"], fastokens_bytes=1)
    with store.read() as con:
        for text, kind, tokens in con.execute(
            "SELECT text, kind, tokens FROM contents JOIN content_tokens USING (content_id)"
        ).fetchall():
            assert tokens == count_content(text, kind, "o200k_base")


def test_counted_prompts_are_what_the_provider_counted(tmp_path: Path, data: Path) -> None:
    """OpenAI's own prompt counts against ours, where a request has neither tools nor images: 3 tokens start a reply."""
    mapping = Path(__file__).resolve().parents[3] / "sample_logs" / "mappings" / "chatdev.yaml"
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [data / "chatdev_calls.jsonl.zst"], mapping=mapping, workers=1)
    ensure_counted(store, ["cl100k_base"])
    with store.read() as con:
        exact, calls, ratio = con.execute(
            """SELECT count(*) FILTER (WHERE abs(counted + 3 - input_tokens) <= 1), count(*),
                      median((counted + 3) / input_tokens)
                 FROM (SELECT call_no, any_value(input_tokens) AS input_tokens, sum(tokens) AS counted
                         FROM (SELECT call_no, input_tokens, unnest(message_ids) AS content_id FROM calls
                                WHERE model LIKE 'gpt-3.5%' OR model = 'gpt-4') used
                         JOIN content_tokens USING (content_id) GROUP BY call_no)"""
        ).fetchall()[0]
    assert ratio == pytest.approx(1, abs=0.01), (exact, calls, ratio)
