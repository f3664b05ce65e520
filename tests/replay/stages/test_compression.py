"""Compression counts what it really saves, loses nothing it calls lossless, and says what it cannot measure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contents import tokenizer
from replay import compressors
from replay.compressors.dedup_paragraphs import expand
from replay.compressors.json_minify import minify
from replay.compressors.whitespace import squeeze
from replay.message_text import texts
from replay.stages import compression
from replay.strategy import schema
from replay.traffic.prompts import KINDS, Contents, Prompts

Message = dict[str, Any]
encode = msgspec.json.Encoder(order="sorted").encode


def prompts_of(requests: Sequence[Sequence[Message | list[Any] | str]], encoding: str = "cl100k_base") -> Prompts:
    """Prompts from message objects and tool lists; a plain string is a content of which only the hash is stored."""
    numbers: dict[tuple[str, str], int] = {}
    ids, offsets = [], [0]
    for request in requests:
        for message in request:
            kind = "tools" if isinstance(message, list) else message["role"] if isinstance(message, dict) else "user"
            text = message if isinstance(message, str) else encode(message).decode()
            ids.append(numbers.setdefault((kind, text), len(numbers)))
        offsets.append(len(ids))
    stored = {i: text for (_, text), i in numbers.items() if text.startswith(("{", "["))}
    measured = tokenizer.measure(
        [(text, "tools" if kind == "tools" else "message") if i in stored else ("{}", "message")
         for (kind, text), i in numbers.items()], encoding,
    )  # fmt: skip
    tokens = np.array([t if i in stored else 40 for i, (t, _) in enumerate(measured)], np.int32)
    words = [
        sum(len(t.split()) for t in texts(json.loads(stored[i]))) if i in stored else 7 for i in range(len(numbers))
    ]
    sizes = np.array([len(b) for _, b in measured], np.int64)
    contents = Contents(
        content_id=np.arange(len(numbers), dtype=np.int32),
        kind=np.array([KINDS.index(kind) for kind, _ in numbers], np.int8),
        words=np.array(words, np.int32),
        tokens={encoding: tokens},
        block_offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        block_hashes=np.array([b for _, bs in measured for b in bs], np.int64),
        texts=stored,
    )
    return Prompts(np.array(offsets, np.int64), np.array(ids, np.int32), contents)


def calls(
    prompts: Prompts, group: Sequence[int] | None = None, agent: Sequence[str] | None = None
) -> compression.Calls:
    n = len(prompts)
    tokens = prompts.contents.tokens["cl100k_base"].astype(np.int64)[prompts.ids]
    sums = np.concatenate([[0], np.cumsum(tokens)])
    return compression.Calls(
        group=np.array(group or [0] * n, np.int64),
        encoding=np.zeros(n, np.int8),
        encodings=("cl100k_base",),
        input_tokens=sums[prompts.offsets[1:]] - sums[prompts.offsets[:-1]],
        frame=lambda _columns: pl.DataFrame({"agent": agent or ["a"] * n}),
    )


def run(spec: str, requests: Sequence[Sequence[Any]], **facts: Any) -> compression.Compressed:
    prompts = prompts_of(requests)
    chosen = schema.parse(f"name: x\ncompress: {spec}")
    return compression.compress(prompts, chosen.compress, calls(prompts, **facts))


def request(result: compression.Compressed, i: int) -> list[Any]:
    prompts = result.prompts
    return [json.loads(prompts.contents.texts[n]) for n in prompts.ids[prompts.offsets[i] : prompts.offsets[i + 1]]]


def say(text: str, role: str = "user") -> Message:
    return {"role": role, "content": text}


LONG = "The quick brown fox jumps over the lazy dog again and again until the sun sets. " * 3
OTHER = "Pack my box with five dozen liquor jugs, then ship it to the far side of the moon, please. " * 3


# -- lossless compressors ----------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 1, 4]))
def test_minified_json_parses_back_to_the_same_document(value: Any, indent: int | None):
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    small = minify(text)
    assert json.loads(small) == value
    assert len(small) <= len(text)


def test_minify_keeps_numbers_and_repeated_keys_as_they_were_written():
    assert minify('{"a": 1.10,\n "a": 1e400, "b": "x  y"}') == '{"a":1.10,"a":1e400,"b":"x  y"}'
    assert minify('Look:\n{"a":  1}\nand [1, 2 as well') == 'Look:\n{"a":1}\nand [1, 2 as well'
    assert minify('```json\n{ "a": 1 }\n```') == '```json\n{"a":1}\n```'
    assert minify("no json { here") == "no json { here"


@given(st.text(alphabet=st.sampled_from("ab \t\n`x"), max_size=120))
def test_squeezing_keeps_every_word_in_order(text: str):
    small = squeeze(text)
    assert small.split() == text.split()
    assert len(small) <= len(text)
    assert squeeze(small) == small


def test_squeezing_keeps_indentation_and_code():
    assert squeeze("def f():\n    return  1  \n\n\n\nx") == "def f():\n    return 1\n\nx"
    code = "```\nx  =  1   \n\n\n\ny\n```"
    assert squeeze(code) == code


paragraph = st.sampled_from(["short", LONG.strip(), OTHER.strip(), LONG[:130], LONG[:60] + OTHER[:90], "x" * 200])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.lists(paragraph, min_size=1, max_size=4), min_size=1, max_size=4), min_size=1, max_size=4))
def test_deduplicated_requests_expand_to_what_they_were(conversations: list[list[list[str]]]):
    requests = [[say("\n\n".join(message)) for message in request_] for request_ in conversations]
    result = run("[dedup_paragraphs]", requests)
    for i, original in enumerate(requests):
        short = [message["content"] for message in request(result, i)]
        assert expand(short) == [message["content"] for message in original]
    assert (result.input_token_delta <= 0).all()
    assert not result.lossy.any()


def test_a_repeated_paragraph_is_said_once_and_the_prefix_stands():
    first = [say(LONG), say("ok", "assistant")]
    result = run("[dedup_paragraphs]", [first, [*first, say(f"{LONG}\n\nNow shorten it.")]])
    assert result.input_token_delta[0] == 0
    assert result.input_token_delta[1] < -25
    assert request(result, 1)[:2] == request(result, 0)
    assert request(result, 1)[2]["content"].startswith('[as above: "The quick brown fox')
    assert result.prefix_stable


# -- measuring ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.lists(
            st.sampled_from([say(LONG + " \n\n\n\n"), say('{"a":  [1, 2]}'), say(OTHER, "assistant"), [{"name": "f"}]]),
            min_size=1, max_size=5,
        ),
        min_size=1, max_size=6),
    st.lists(st.sampled_from(["whitespace", "json_minify", "dedup_paragraphs", "filler", "{history_window: 2}"]),
             min_size=1, max_size=4, unique=True),
)  # fmt: skip
def test_the_delta_is_what_tokenising_every_request_again_gives(requests: list[Any], names: list[str]):
    before = prompts_of(requests)
    result = run(f"[{', '.join(names)}]", requests)
    after = prompts_of([request(result, i) for i in range(len(requests))])
    old, new = calls(before).input_tokens, calls(after).input_tokens
    assert result.input_token_delta.tolist() == (new - old).tolist()
    assert result.measured.all()
    words = [np.add.reduceat(np.append(p.contents.words[p.ids], 0), p.offsets[:-1]) for p in (before, after)]
    assert result.words_delta.tolist() == (words[1] - words[0]).tolist()


def test_only_changed_texts_are_tokenised_again(monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []
    measure = tokenizer.measure
    monkeypatch.setattr(tokenizer, "measure", lambda items, *rest: seen.extend(items) or measure(items, *rest))
    prompts = prompts_of([[say("a  b"), say(f"clean {i}")] for i in range(500)])
    seen.clear()
    result = compression.compress(prompts, schema.parse("name: x\ncompress: [whitespace]").compress, calls(prompts))
    assert len(seen) == 1 == result.changed_texts
    assert (result.input_token_delta <= 0).all()


def test_texts_that_become_equal_become_one_content():
    result = run("[whitespace]", [[say("a  b")], [say("a b")], [say("a   b")]])
    assert len(set(result.prompts.ids.tolist())) == 1


def test_the_loaded_prompts_stay_as_they_were():
    prompts = prompts_of([[say("a  b"), say(LONG)], [say(LONG), say(LONG)]])
    copies = (prompts.ids.copy(), prompts.offsets.copy())
    chosen = schema.parse("name: x\ncompress: [whitespace, dedup_paragraphs, {history_window: 1}]")
    compression.compress(prompts, chosen.compress, calls(prompts))
    assert prompts.ids.tolist() == copies[0].tolist()
    assert prompts.offsets.tolist() == copies[1].tolist()


def test_a_compressor_keeps_to_its_agents():
    result = run("[{whitespace: {match: {agent: b}}}]", [[say("x   y")], [say("x   y")]], agent=["a", "b"])
    assert result.input_token_delta[0] == 0
    assert result.input_token_delta[1] < 0
    assert request(result, 0)[0]["content"] == "x   y"


def test_filler_is_lossy_and_leaves_quotations_alone():
    result = run("[filler]", [[say('Could you please list them? He said "please stay".')], [say("List them.")]])
    assert request(result, 0)[0]["content"] == 'list them? He said "please stay".'
    assert result.lossy.tolist() == [True, False]


# -- history -----------------------------------------------------------------------------------------------------------


def _window(messages: list[Message], size: int) -> list[Message]:
    """What history_window says, read plainly."""
    fixed = [m for m in messages if m["role"] in ("system", "developer")]
    rest = [m for m in messages if m["role"] not in ("system", "developer")]
    last = rest[-size:] if size else []
    if len(last) < len(rest):
        while last and last[0]["role"] == "tool":
            last = last[1:]
    return [m for m in messages if any(m is f for f in fixed) or any(m is k for k in last)]


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])


@settings(deadline=None)
@given(st.lists(st.lists(ROLES, max_size=12), min_size=1, max_size=5),
       st.integers(0, 6))  # fmt: skip
def test_the_window_keeps_instructions_and_the_last_messages(roles: list[list[str]], size: int):
    requests = [[say(f"{i}", role) for i, role in enumerate(row)] for row in roles]
    result = run(f"[{{history_window: {size}}}]", requests)
    for i, original in enumerate(requests):
        kept = request(result, i)
        assert kept == _window(original, size)
        assert bool(result.lossy[i]) == (len(kept) < len(original))
    assert not result.prefix_stable


def test_a_window_works_where_only_hashes_and_counts_are_kept():
    result = run("[{history_window: 1}]", [["h1", "h2", "h3"]])
    assert result.input_token_delta.tolist() == [-80]
    assert result.measured.all()


# -- no text -----------------------------------------------------------------------------------------------------------


def test_calls_without_text_take_the_ratio_of_their_agent_and_task():
    with_text = [[say(f"{LONG}{' ' * (i * 7)}\n\n\n\n{i}")] for i in range(40)]
    result = run("[whitespace]", [*with_text, ["hash1"], ["hash2"]], group=[0] * 41 + [1])
    assert result.measured[:40].all()
    assert not result.measured[40:].any()
    assert result.input_token_delta[40] < 0
    assert result.delta_error[40] > 0
    low, mid, high = (int(result.delta(bound)[40]) for bound in ("low", "mid", "high"))
    assert low <= mid <= high
    # group 1 has no call with text: nothing is claimed and that is said
    assert result.input_token_delta[41] == 0
    lines = list(result.limits(np.ones(42, bool)))
    assert any("estimated" in line for line in lines)
    assert any("no saving is claimed" in line for line in lines)


def test_the_estimated_ratio_lies_in_its_own_interval():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(60):
        pads = rng.integers(0, 60, 400)
        requests = [[say(LONG + " " * int(pad) + ("\n" * int(pad % 7)) + "end")] for pad in pads]
        prompts = prompts_of(requests)
        chosen = schema.parse("name: x\ncompress: [whitespace]").compress
        whole = compression.compress(prompts, chosen, calls(prompts))
        blind = rng.random(400) < 0.8
        hidden = prompts_of(
            [[f"h{i}"] if hide else request_ for i, (request_, hide) in enumerate(zip(requests, blind, strict=True))]
        )
        facts = calls(prompts)
        result = compression.compress(hidden, chosen, facts)
        low, high = (int(result.delta(bound)[blind].sum()) for bound in ("low", "high"))
        inside += low - 200 <= int(whole.input_token_delta[blind].sum()) <= high + 200
    assert inside >= 50


def test_a_lossy_compressor_is_risky_for_calls_it_cannot_see():
    result = run("[filler]", [["hash"]])
    assert result.lossy.tolist() == [True]
    assert run("[whitespace]", [["hash"]]).lossy.tolist() == [False]


def test_every_compressor_is_found_and_says_what_it_is():
    assert {"whitespace", "json_minify", "dedup_paragraphs", "filler", "history_window"} <= set(compressors.names())
    assert [name for name in compressors.names() if compressors.find(name).lossless] >= [
        "dedup_paragraphs",
        "json_minify",
    ]
