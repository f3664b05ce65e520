"""Changed prompts: counted again text by text, priced with the cache they leave, and nothing where nothing changes."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.contents.tokenizer import count
from ingest.errors import StrategyError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay.engine.engine import Engine
from replay.engine.run import run
from replay.strategy.schema import Strategy, parse
from replay.traffic.load_traffic import load
from replay.traffic.template_text import Replacement, first_difference
from replay.traffic.traffic import Traffic

START = datetime(2025, 3, 5, 9, tzinfo=UTC)
RULES = "You write about the sea.\nKeep to what is known, and say where it is from.\n" + "Be brief. " * 400
TEMPLATE = RULES + "\nThe reader is {reader}.\n"
SHOTS = [{"role": "user", "content": "Ebb?"}, {"role": "assistant", "content": "The tide goes out."}]
TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "moon", "parameters": {"type": "object", "properties": {}}}}


def logged(number: int, *, text: bool = True) -> dict[str, Any]:
    """Every third call is of another agent with a prompt of its own; the others use TEMPLATE, few-shots and tools."""
    sea = number % 3 > 0
    system = TEMPLATE.format(reader=f"child {number}") if sea else "You add numbers."
    messages = [{"role": "system", "content": system}, *(SHOTS if sea else [])]
    messages.append({"role": "user", "content": f"question {number}"})
    return {
        "hindcast": 1,
        "call_id": f"c{number}",
        "start_time": (START + timedelta(seconds=50 * number)).isoformat(),
        "provider_name": "openai",
        "request_model": "gpt-4.1",
        "agent": "sea" if sea else "sums",
        "input_tokens": 1300 + number if sea else 90,
        "cache_read_input_tokens": 640 if sea and number > 4 else 0,
        "output_tokens": 40,
        **({"input_messages": messages, "tools": [TOOL, OTHER] if sea else None} if text else {}),
    }


def store_of(folder: Path, lines: list[dict[str, Any]]) -> Store:
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = MemoryStore(folder / "s.duckdb")
    ingest(store, [log])
    ledger.update(store)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of(tmp_path_factory.mktemp("sea"), [logged(number) for number in range(30)])


@pytest.fixture(scope="module")
def traffic(store: Store) -> Traffic:
    return load(store)


def strategy(*changes: dict[str, Any], **more: Any) -> Strategy:
    """A strategy with these changes; `old` and `new` are texts."""
    prompts = [
        {
            key: {"file": key, "text": value if isinstance(value, str) else json.dumps(value)}
            if key in ("old", "new")
            else value
            for key, value in change.items()
        }
        for change in changes
    ]
    return Strategy.from_dict({"name": "changed", "prompts": prompts, **more})


def test_a_filled_template_is_found_and_every_call_is_counted_again(store):
    new = RULES.replace("Be brief. ", "", 100) + "\nThe reader is {reader}, who is curious.\n"
    engine = Engine(load(store), strategy({"old": TEMPLATE, "new": new}))
    outcome = engine.evaluate(engine.everything)
    assert engine.requests.reworded.uses[0].calls.tolist() == [number % 3 > 0 for number in range(30)]
    for number in range(30):
        name = f"child {number}"
        told = count(new.format(reader=name), "o200k_base") - count(TEMPLATE.format(reader=name), "o200k_base")
        before = engine.traffic.usage.input[number]
        assert outcome.input_tokens[number] - before == (max(told, -before) if number % 3 else 0)


def test_a_change_at_the_end_keeps_the_prefix_and_one_at_the_start_breaks_it(store):
    def cached(new: str) -> list[int]:
        engine = Engine(load(store), strategy({"old": TEMPLATE, "new": new}))
        return [int(found) for found in engine.evaluate(engine.everything).cached_tokens]

    as_logged = [logged(number)["cache_read_input_tokens"] for number in range(30)]
    assert cached(TEMPLATE + "Thank you.\n") == as_logged
    assert sum(cached("{reader} reads this.\n" + TEMPLATE)) < sum(as_logged)  # each call begins otherwise


def test_few_shots_and_tools_are_replaced_by_files_of_json(store):
    traffic = load(store)
    engine = Engine(
        traffic,
        strategy(
            {"old": SHOTS, "new": [{"role": "user", "content": "Ebb?"}]}, {"old": TOOL, "new": {**TOOL, "strict": True}}
        ),
    )
    found = engine.requests.reworded
    assert [int(use.calls.sum()) for use in found.uses] == [20, 20]
    first = found.prompts.ids[found.prompts.offsets[1] : found.prompts.offsets[2]]
    tools, *messages = (json.loads(found.prompts.contents.texts[int(number)]) for number in first)
    assert tools == [{**TOOL, "strict": True}, OTHER]
    assert [message["role"] for message in messages] == ["system", "user", "user"]


def test_a_whole_part_of_selected_calls_is_replaced(store):
    engine = Engine(load(store), strategy({"match": {"agent": "sums"}, "part": "system", "new": "Add."}))
    saved = count("You add numbers.", "o200k_base") - count("Add.", "o200k_base")
    outcome = engine.evaluate(engine.everything)
    assert (engine.traffic.usage.input - outcome.input_tokens).tolist() == [
        0 if number % 3 else saved for number in range(30)
    ]


def test_calls_without_text_are_left_and_told(tmp_path):
    mixed = store_of(tmp_path, [logged(number, text=number % 2 == 0) for number in range(12)])
    result = run(mixed, [strategy({"old": TEMPLATE, "new": "Short."})]).strategies[0]
    assert "prompts: 6 calls without text may use old=new, and are left as they are" in result.limits


def test_a_prompt_that_no_call_uses_is_told(store):
    result = run(store, [strategy({"old": "No such text", "new": "Short."})]).strategies[0]
    assert result.cost_pico == result.baseline_pico
    assert "prompts: no call uses the old text of old=new" in result.limits


def test_quality_of_changed_prompts_is_unknown_and_that_of_equal_ones_is_not(store):
    def verdict(new: str) -> str:
        return run(store, [strategy({"old": TEMPLATE, "new": new})]).strategies[0].quality["verdict"]

    assert (verdict("Short."), verdict(TEMPLATE)) == ("unknown", "no effect")


PARTS = st.sampled_from(["You write", "sea", "Be brief. ", TEMPLATE, "child", "question 7", "no such text"])


@settings(max_examples=6)
@given(st.lists(PARTS, min_size=1, max_size=3), st.booleans())
def test_the_identity_changes_nothing_to_the_pico_dollar(store, traffic, texts, route):
    same = strategy(*({"old": text, "new": text} for text in texts))
    engine = Engine(traffic, same)
    outcome = engine.evaluate(engine.everything)
    assert outcome.as_logged.all()
    assert (outcome.cost_pico == engine.traffic.cost).all()
    if route:  # beside another stage, too, it saves nothing of its own
        both = strategy(
            *({"old": text, "new": text} for text in texts),
            route=[{"match": {"agent": "sums"}, "model": "gpt-4.1-mini"}],
        )
        assert run(store, [both]).strategies[0].savings_pico["prompts"] == 0


STAGES = {
    "compress": ["whitespace", {"few_shot_trim": {"examples": 0}}],
    "route": [{"match": {"agent": "sea"}, "model": "gpt-4.1-mini"}],
    "cache": {"tiers": [{"name": "memory", "ttl": "1h"}]},
    "provider_cache": "off",
}


@settings(max_examples=4)
@given(st.sets(st.sampled_from(sorted(STAGES))), st.integers(0, 1000))
def test_the_savings_of_all_stages_sum_to_the_saving(store, stages, seed):
    draw = random.Random(seed)
    new = " ".join(draw.sample(RULES.split(" "), draw.randrange(1, 300))) + " {reader}"
    found = run(store, [strategy({"old": TEMPLATE, "new": new}, **{name: STAGES[name] for name in stages})]).strategies[
        0
    ]
    assert sum(found.savings_pico.values()) == found.baseline_pico - found.cost_pico
    assert set(found.savings_pico) == {"prompts", *stages}


PLAIN = st.text("ab {}\n\u00e9", max_size=12)


@given(PLAIN, PLAIN, PLAIN, PLAIN)
def test_a_text_with_its_values_filled_in_is_found_in_what_surrounds_it(before, after, first, second):
    found = Replacement("<{x}|{y}>", "[{y}|{x}]").apply(f"{before}<{first}|{second}>{after}")
    assert found == f"{before}[{second}|{first}]{after}"


def test_a_part_of_a_longer_word_is_no_text():
    assert Replacement("hi", "ho").apply("this hit") is None
    assert Replacement("hi", "ho").apply("hi, this is hi") == "ho, this is ho"
    assert Replacement("hi {x}.", "ho {x}.").apply("thhi me.") is None


def test_a_placeholder_of_the_new_text_alone_is_named():
    assert Replacement("a {x}", "b {x} {y}").unfilled == ("y",)
    assert Replacement('{{"k": 1}} {x}', '{{"k": 2}} {x}').apply('{"k": 1} z') == '{"k": 2} z'


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_first_difference_is_the_first_byte_that_differs(old, new):
    found = first_difference(old, new)
    assert (found is None) == (old == new)
    if found is not None:
        at, line = found
        before, after = old.encode(), new.encode()
        assert before[:at] == after[:at]
        assert before[at : at + 1] != after[at : at + 1]
        assert line == before[:at].count(b"\n") + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{old: none.txt, new: a.txt}]", "there is no file 'none.txt'"),
        ("[{old: ../a.txt, new: a.txt}]", "must lie beside the strategy file or below it"),
        ("[{new: a.txt}]", "needs exactly one of old and part"),
        ("[{old: a.txt, part: system, new: a.txt}]", "needs exactly one of old and part"),
        ("[{old: tools.json, new: a.txt}]", "'tools.json' holds tools and 'a.txt' does not"),
        ("[{part: tools, new: a.txt}]", "'a.txt' holds no JSON list of tools"),
        ("[{old: empty.txt, new: a.txt}]", "'empty.txt' is empty"),
        ("[{odl: a.txt, new: a.txt}]", "Did you mean 'old'?"),
    ],
)
def test_a_change_that_cannot_be_made_is_one_clear_line(tmp_path, text, said):
    (tmp_path / "a.txt").write_text("a text\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "tools.json").write_text(json.dumps([TOOL]))
    with pytest.raises(StrategyError) as error:
        parse(f"name: x\nprompts: {text}\n", str(tmp_path / "s.yaml"))
    assert said in str(error.value)
    assert "s.yaml:2" in str(error.value)
