"""Each compressor by itself: what it says is lossless reads back, and what it drops is what it says."""

from __future__ import annotations

import json
import string
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.contents import tokenizer
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay import compressors as compress
from replay.compressors import chunk_cap, few_shot_trim, filler, tool_schema_compact, tool_signatures
from replay.engine.run import run
from replay.evaluation.compressor_ablation import before_and_after, leave_one_out
from replay.strategy import schema as strategy
from replay.traffic.prompt_rewriting import Requests
from replay.traffic.prompts import KINDS, Contents, Prompts

FLIGHT_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "search_flights",
            "description": "Find flights between two airports on a day, cheapest first.",
            "parameters": {
                "type": "object",
                "properties": {
                    "origin": {"type": "string", "description": "IATA code of the airport to leave from."},
                    "destination": {"type": "string", "description": "IATA code of the airport to arrive at."},
                    "day": {"type": "string", "description": "The day of departure, as YYYY-MM-DD."},
                    "cabin": {"type": "string", "enum": ["economy", "business", "first"]},
                    "stops": {"type": "integer", "description": "At most so many changes.", "default": 1},
                },
                "required": ["origin", "destination", "day"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "book_seats",
            "description": "Book seats on one flight and pay with a stored method.",
            "parameters": {
                "type": "object",
                "properties": {
                    "flight": {"type": "string", "description": "The flight's number and day, as in AB123/2024-03-05."},
                    "passengers": {
                        "type": "array",
                        "description": "Everybody who travels.",
                        "items": {
                            "type": "object",
                            "properties": {
                                "name": {"type": "string", "description": "First and last name, as in the passport."},
                                "born": {"type": "string", "description": "Date of birth, as YYYY-MM-DD."},
                                "bags": {"type": "integer"},
                            },
                            "required": ["name", "born"],
                            "additionalProperties": False,
                        },
                    },
                    "insured": {"type": "boolean", "description": "Whether to add travel insurance."},
                },
                "required": ["flight", "passengers"],
            },
        },
    },
]


def tokens(tools: Any) -> int:
    return tokenizer.count(json.dumps(tools, separators=(",", ":"), sort_keys=True), "o200k_base")


# -- tools -------------------------------------------------------------------------------------------------------------

scalars = st.sampled_from(["string", "integer", "number", "boolean"])
names_ = st.text(max_size=5)
described = {"description": st.text(max_size=20)}
leaves = st.one_of(
    st.fixed_dictionaries({"type": scalars}, optional={**described, "default": st.integers() | st.text(max_size=5)}),
    st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(st.text(max_size=6), max_size=3)}, optional=described
    ),
    st.fixed_dictionaries({"type": st.just("object")}, optional=described),
    st.fixed_dictionaries({"type": st.just("array")}, optional=described),
    # more than a signature has words for
    st.fixed_dictionaries({"type": scalars, "pattern": st.text(max_size=4)}, optional=described),
    st.fixed_dictionaries(
        {"anyOf": st.lists(st.fixed_dictionaries({"type": scalars}), max_size=2)}, optional=described
    ),
    st.fixed_dictionaries({"type": st.lists(scalars, min_size=1, max_size=2)}, optional=described),
    st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(st.text(max_size=3), max_size=2), "title": names_}
    ),
)
names = st.from_regex(r"[a-z_][a-z0-9_-]{0,6}", fullmatch=True)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def required(schema: dict[str, Any], marks: list[bool] | None) -> dict[str, Any]:
        if marks is None:
            return schema
        return {**schema, "required": [n for n, m in zip(reversed(schema["properties"]), marks, strict=False) if m]}

    shape = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=4)},
        optional={**described, "additionalProperties": st.booleans()},
    )
    return st.builds(required, shape, st.none() | st.lists(st.booleans(), min_size=4, max_size=4))


schemas = st.recursive(leaves, lambda inner: objects(inner) | st.fixed_dictionaries(
    {"type": st.just("array"), "items": inner}, optional=described), max_leaves=8)  # fmt: skip
openai_tools = st.builds(
    lambda name, schema, note: {
        "type": "function", "function": {"name": name, "parameters": schema, **({"description": note} if note else {})}
    },
    names, objects(schemas), st.none() | st.text(min_size=1, max_size=30),
)  # fmt: skip
anthropic_tools = st.builds(
    lambda name, schema, note: {"name": name, "input_schema": schema, "description": note},
    names, objects(schemas), st.text(max_size=30),
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.lists(openai_tools | anthropic_tools | st.dictionaries(names, st.text(max_size=5), max_size=2), max_size=4))
def test_signatures_read_back_into_the_same_schemas(tools: list[Any]):
    assert tool_signatures.same(tool_signatures.expand(tool_signatures.apply(tools)), tools)


def test_stored_tools_have_sorted_keys_and_are_written_as_signatures_all_the_same():
    """A store keeps canonical JSON, whose properties come in another order than their `required` list."""
    stored = json.loads(json.dumps(FLIGHT_TOOLS, sort_keys=True))
    written = tool_signatures.apply(stored)
    assert all(isinstance(entry, str) for entry in written)
    assert tokens(written) == pytest.approx(tokens(tool_signatures.apply(FLIGHT_TOOLS)), rel=0.02)


def test_what_a_signature_has_no_words_for_stands_in_it_as_json():
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "when": {"type": "string", "format": "date", "description": "The day"},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["when"],
        "additionalProperties": False,
    }
    tool = {"name": "find", "description": "Find", "input_schema": schema}
    (written,) = tool_signatures.apply([tool])
    assert 'when: str # \'The day\' @{"format":"date"}' in written
    assert "limit?: @{" in written
    assert tool_signatures.expand([written]) == [tool]


def test_signatures_take_half_the_tokens_of_schemas():
    written = tool_signatures.apply(FLIGHT_TOOLS)
    assert all(isinstance(entry, str) for entry in written)
    assert "search_flights(origin: str # " in written[0]
    assert tokens(written) < 0.65 * tokens(FLIGHT_TOOLS)


def test_compact_schemas_keep_names_types_and_tool_descriptions():
    small = tool_schema_compact.apply(FLIGHT_TOOLS)
    assert tokens(small) < 0.8 * tokens(FLIGHT_TOOLS)
    assert small[0]["function"]["description"] == FLIGHT_TOOLS[0]["function"]["description"]
    assert "IATA" not in json.dumps(small)
    odd = [{"name": "x", "input_schema": {"type": "object", "properties": {"description": {"type": "string"}}}}]
    assert tool_schema_compact.apply(odd) == odd  # a parameter that is called description stays


# -- messages ----------------------------------------------------------------------------------------------------------


def test_few_shot_trim_keeps_the_first_examples_and_what_follows():
    text = "Sort it.\n\nExample 1:\na -> b\nExample 2:\nc -> d\nExample 3:\ne -> f\n\nNow yours: x"
    small = few_shot_trim.apply({"role": "user", "content": text}, examples=1)["content"]
    assert small == "Sort it.\n\nExample 1:\na -> b\n\nNow yours: x"
    assert few_shot_trim.apply({"role": "user", "content": text}, examples=3)["content"] == text
    tagged = "<example>a</example>\n<example>b</example>\n<example>c</example>\nGo."
    assert few_shot_trim.apply({"role": "user", "content": tagged}, examples=2)["content"].count("<example>") == 2


def requests_of(*asked: str) -> Requests:
    """Requests of single letters: upper case the system, lower case a user, digits an assistant."""
    kind = {**dict.fromkeys(string.ascii_uppercase, "system"), **dict.fromkeys(string.digits, "assistant")}
    letters = sorted(set("".join(asked)))
    texts = {n: json.dumps({"role": kind.get(one, "user"), "content": one}) for n, one in enumerate(letters)}
    kinds = np.array([KINDS.index(kind.get(one, "user")) for one in letters], np.int8)
    size = np.zeros(len(letters), np.int32)
    held = Contents(size, kinds, size, {}, np.zeros(len(letters) + 1, np.int64), np.zeros(0, np.int64), texts)
    ids = np.array([letters.index(one) for request in asked for one in request], np.int32)
    return Requests(Prompts(np.cumsum([0, *map(len, asked)]), ids, held))


def letters(request: Requests) -> list[str]:
    said = [json.loads(request.text(number))["content"] for number in request.ids.tolist()]
    return ["".join(said[a:b]) for a, b in pairwise(request.offsets.tolist())]


def trimmed(*asked: str, examples: int = 0) -> list[str]:
    request = requests_of(*asked)
    few_shot_trim.trim_turns(request, examples)
    return letters(request)


def test_few_shot_trim_drops_example_turns_that_nobody_asked():
    assert trimmed("Sa1b2p", "Sa1b2q", "Sa1b2r") == ["Sp", "Sq", "Sr"]
    assert trimmed("Sa1b2p", "Sa1b2q", "Sa1b2r", examples=1) == ["Sa1p", "Sa1q", "Sa1r"]
    assert trimmed("Sa1b2p", "Sa1b2p3q", "Sa1b2r", "Sa1b2t") == ["Sp", "Sp3q", "Sr", "St"]


def test_few_shot_trim_keeps_the_turns_of_conversations():
    conversation = ["Sa", "Sa1b", "Sa1b2c", "Sa1b2c3d"]
    assert trimmed(*conversation) == conversation
    again = ["Sa", "Sa1p", "Sa1q", "Sa1r"]  # one answered question, and three ways on
    assert trimmed(*again) == again
    begun_before_the_log = ["Sa1b2c", "Sa1b2c3d"]
    assert trimmed(*begun_before_the_log) == begun_before_the_log


@given(
    st.lists(st.text("ab", min_size=1, max_size=1), max_size=3),
    st.lists(st.text("pqrst", min_size=1, max_size=3), min_size=3, max_size=8),
    st.integers(0, 3),
)
def test_few_shot_trim_drops_as_many_turns_as_there_are_too_many(shots: list[str], asked: list[str], examples: int):
    """Conversations of any length behind the same examples: each turn of each conversation is a call."""
    head = "S" + "".join(f"{shot}{place}" for place, shot in enumerate(shots))
    kept = "S" + "".join(f"{shot}{place}" for place, shot in enumerate(shots[:examples]))
    tails = [
        "".join(f"{one}{9 - place}" for place, one in enumerate(talk[:turn])) + talk[turn]
        for talk in asked for turn in range(len(talk))
    ]  # fmt: skip
    branches = len({tail[0] for tail in tails}) >= few_shot_trim.BRANCHES
    expected = [(kept if branches else head) + tail for tail in tails]
    assert trimmed(*(head + tail for tail in tails), examples=examples) == expected


def test_chunk_cap_keeps_the_first_chunks_and_the_question():
    text = "Sources:\n[1] one\n[2] two\n[3] three\n\nWhich is right?"
    assert chunk_cap.apply({"role": "user", "content": text}, chunks=2)["content"] == (
        "Sources:\n[1] one\n[2] two\n\nWhich is right?"
    )
    documents = "<document id=1>a</document>\n<document id=2>b</document>\nQ?"
    assert "b" not in chunk_cap.apply({"role": "user", "content": documents}, chunks=1)["content"]
    loose = "As in [3] and later\n[1] it says"
    assert chunk_cap.apply({"role": "user", "content": loose}, chunks=1)["content"] == loose


def nested(count: int, question: str) -> str:
    documents = "\n\n".join(f'<document index="{i}">\nabout topic{i} and more\n</document>' for i in range(count))
    return f"<context>\n{documents}\n</context>\n\nQuestion: {question}"


def test_chunk_cap_counts_the_innermost_elements():
    small = chunk_cap.apply({"role": "user", "content": nested(8, "what?")}, chunks=3)["content"]
    assert [f"topic{i}" in small for i in range(8)] == [True] * 3 + [False] * 5
    assert small.startswith("<context>")
    assert small.endswith("</context>\n\nQuestion: what?")


def test_chunk_cap_by_relevance_keeps_what_the_question_asks_for():
    for place in range(8):
        text = nested(8, f"what is topic{place}?")
        small = chunk_cap.apply({"role": "user", "content": text}, chunks=1, relevance=True)["content"]
        assert [f"topic{i} and" in small for i in range(8)] == [i == place for i in range(8)]
    silent = nested(4, "")
    assert chunk_cap.apply({"content": silent}, chunks=2, relevance=True) == chunk_cap.apply(
        {"content": silent}, chunks=2
    )


@given(st.integers(1, 6), st.integers(0, 6), st.booleans())
def test_chunk_cap_keeps_so_many_chunks_and_everything_around_them(count: int, limit: int, relevance: bool):
    text = nested(count, "which topic3?")
    small = chunk_cap.apply({"role": "user", "content": text}, chunks=limit, relevance=relevance)["content"]
    assert small.count("<document ") == small.count("</document>") == min(count, limit)
    assert small.endswith("</context>\n\nQuestion: which topic3?")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Hello AI, I would like you to please summarize this.", "Summarize this."),
        ("Hi there! Sort it. Thank you!", "Sort it."),
        ("Hello world, said the fox.", "Hello world, said the fox."),
        ("Hello", "Hello"),
        ('Say "Thank you!" politely. Thanks a lot.', 'Say "Thank you!" politely.'),
    ],
)
def test_filler_drops_greetings_and_courtesies_of_their_own(text: str, short: str):
    assert filler.trim(text) == short


def test_every_parameter_of_every_compressor_says_what_it_is():
    for name in compress.names():
        found = compress.find(name)
        assert found.about.keys() == found.parameters.keys(), name
        assert all(found.about.values())


@given(st.text(max_size=200), st.integers(0, 3))
def test_message_compressors_only_ever_shorten(text: str, limit: int):
    for apply in (few_shot_trim.apply, chunk_cap.apply):
        assert len(apply({"role": "user", "content": text}, limit)["content"]) <= len(text)


def test_every_compressor_keeps_odd_messages_as_they_are():
    odd = [{}, {"role": "user"}, {"content": None}, {"content": 3}, {"content": [{"type": "image_url"}]}, []]
    for name in compress.names():
        found = compress.find(name)
        if found.level in ("message", "tools"):
            for message in odd:
                assert found.apply(message, **found.parameters) == message, name


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tau2(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The gpt-5.4 runs of tau2, whose logged cost gives the provider's cache hits away (cached reads at a tenth)."""
    store = MemoryStore(tmp_path_factory.mktemp("tau2") / "t.duckdb")
    mapping = Path(__file__).parents[2] / "sample_logs" / "mappings" / "tau2.yaml"
    ingest(store, [data / "tau2_dev_calls.jsonl.zst"], mapping=mapping)
    with store.write() as con:
        con.execute("DELETE FROM calls WHERE model <> 'gpt-5.4'")
        con.execute(
            """UPDATE calls SET cache_creation_input_tokens = 0, cache_read_input_tokens = CAST(round(
                   (2.5 * input_tokens + 15 * output_tokens - 1000000 * logged_cost_usd) / 2.25) AS BIGINT)"""
        )
    ledger.update(store, rebuild=True)
    return store


def ratio(store: Store, compressors: str, more: str = "") -> float:
    result = run(store, [strategy.parse(f"name: x\ncompress: {compressors}{more}")]).strategies[0]
    return result.cost_pico / result.baseline_pico


def test_a_window_saves_tokens_and_costs_money_where_the_prefix_was_cached(tau2: Store):
    """The real bill: 82 % of input tokens were cache reads at a tenth of the price."""
    off = run(tau2, [strategy.parse("name: off\nprovider_cache: off")]).strategies[0].cost_pico
    window = run(tau2, [strategy.parse("name: w\ncompress: [{history_window: 10}]\nprovider_cache: off")]).strategies[0]
    assert window.cost_pico < 0.9 * off  # without a cache, fewer tokens are less money
    assert 1.05 < ratio(tau2, "[{history_window: 10}]") < 1.5  # with it, the same change costs more
    assert ratio(tau2, "[{summary_budget: 300}]") > 1.05


def test_compressors_that_keep_the_prefix_save_money_under_the_cache_too(tau2: Store):
    assert ratio(tau2, "[json_minify]") < 0.98
    assert ratio(tau2, "[json_minify, dedup_paragraphs]") < 0.98


def test_leaving_one_out_tells_the_saver_from_the_spender(tau2: Store):
    chosen = strategy.parse("name: x\ncompress: [json_minify, {history_window: 10}]")
    result = leave_one_out(tau2, chosen)
    minify, window = result.rows
    assert minify.saved_alone_pico > 0
    assert window.tokens_alone > minify.tokens_alone > 0
    assert window.saved_alone_pico < 0
    assert result.baseline_pico - result.cost_pico == pytest.approx(
        minify.saved_alone_pico + window.saved_last_pico, abs=1
    )


def test_a_prompt_is_shown_before_and_after(tau2: Store):
    with tau2.read() as con:
        call = con.execute("SELECT call_no FROM calls ORDER BY len(message_ids) DESC, call_no LIMIT 1").fetchall()[0][0]
    view = before_and_after(tau2, strategy.parse("name: x\ncompress: [json_minify]"), call)
    assert len(view.before) == len(view.after)
    assert view.tokens_after < view.tokens_before
    changed = [(old, new) for old, new in zip(view.before, view.after, strict=True) if old != new]
    assert changed
    assert all(new is not None and old is not None and len(new) < len(old) for old, new in changed)
