"""Another vendor counts the same prompt otherwise: learned from the log's own calls, or assumed and said so."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.contents.tokenizer import count_content
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay.engine.engine import Engine
from replay.engine.run import run
from replay.estimates import input_token_ratios
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

ROOT = Path(__file__).resolve().parents[2]
GPT, CLAUDE = "gpt-4o-2024-08-06", "claude-3-haiku-20240307"
TEXT = '{"content":"Please summarise the attached report in three sentences, plainly.","role":"user"}'


def store_of(path: Path, *, claude: int = 40, tools: bool = False, text: bool = True) -> Store:
    """Calls of both vendors on one prompt; Claude counts between 1.1 and 1.3 times as many tokens."""
    size = count_content(TEXT, "message", "o200k_base")
    rows = []
    for number in range(40 + claude):
        own = number >= 40
        rows.append(
            {
                "start_time": datetime(2024, 11, 1) + timedelta(minutes=number),
                "provider_name": "anthropic" if own else "openai",
                "model": CLAUDE if own else GPT,
                "task": "theirs" if own else "ours",
                "input_tokens": 100 * size
                if not own
                else round(100 * size * (1.1 + 0.2 * (number - 40) / (claude - 1))),
                "output_tokens": 50,
                "message_ids": [0] * 100,
                "tool_count": 2 if tools else 0,
                "content_state": "full" if text else "absent",
            }
        )
    store = build_in_memory(rows)
    with store.write() as con:
        con.execute(
            "INSERT INTO contents (content_id, hash, kind, role, text) VALUES (0, 0, 'message', 'user', ?)",
            [TEXT if text else None],
        )
    ledger.update(store)
    return store


MOVE = f"name: m\nbehaviour: fixed\noutput_ratio: 1.0\nroute: [{{match: {{task: ours}}, model: {CLAUDE}}}]"


def ratio_of(store: Store) -> input_token_ratios.Ratio:
    engine = Engine(load(store), parse(MOVE))
    (_, _, _, ratio), *rest = input_token_ratios.moves(
        engine.reading.ratios, engine.traffic, engine.routed(engine.everything)
    )
    assert not rest
    return ratio


@pytest.mark.parametrize("tools", [False, True])
def test_the_ratio_is_learned_from_the_calls_of_both_with_its_spread(tmp_path: Path, tools: bool):
    found = ratio_of(store_of(tmp_path, tools=tools))
    assert (found.kind, found.calls) == ("learned", 40)
    assert found.mid == pytest.approx(1.2, abs=0.005)
    assert (found.low, found.high) == (pytest.approx(1.11, abs=0.005), pytest.approx(1.29, abs=0.005))


def test_the_bill_follows_the_learned_ratio_and_its_band(tmp_path: Path):
    store = store_of(tmp_path)
    found = run(store, [parse(MOVE)]).strategies[0]
    traffic = load(store)
    own = int(traffic.cost[traffic.model == [m for _, m in traffic.models].index(CLAUDE)].sum())
    size = 100 * count_content(TEXT, "message", "o200k_base")

    def price(ratio: float) -> int:
        return 40 * (round(size * ratio) * 250_000 + 50 * 1_250_000)

    assert found.cost_pico - own == pytest.approx(price(1.2), rel=0.002)
    assert found.low_pico - own == pytest.approx(price(1.11), rel=0.005)
    assert found.high_pico - own == pytest.approx(price(1.29), rel=0.005)
    assert any("learned from the log's own calls" in limit for limit in found.limits)


@pytest.mark.parametrize(("claude", "text"), [(20, True), (40, False)])
def test_few_calls_or_no_texts_are_no_evidence_and_it_says_so(tmp_path: Path, claude: int, text: bool):
    store = store_of(tmp_path, claude=claude, text=text)
    found = ratio_of(store)
    assert (found.kind, found.mid) == ("assumed", 1.0)
    assert found.low < 1.0 < 1.09 < found.high
    result = run(store, [parse(MOVE)]).strategies[0]
    assert result.low_pico < result.cost_pico < result.high_pico
    assert any("no evidence how; taken as logged" in limit for limit in result.limits)


def test_tools_widen_what_is_assumed(tmp_path: Path):
    found = ratio_of(store_of(tmp_path, claude=20, tools=True))
    assert (found.low, found.high) == input_token_ratios.TOOLS_BAND


def test_models_that_count_alike_need_no_ratio(tmp_path: Path):
    store = store_of(tmp_path)
    chosen = parse("name: m\noutput_ratio: 1.0\nroute: [{match: {task: ours}, model: gpt-4o-mini-2024-07-18}]")
    engine = Engine(load(store), chosen)
    assert not list(input_token_ratios.moves(engine.reading.ratios, engine.traffic, engine.routed(engine.everything)))
    result = run(store, [chosen]).strategies[0]
    assert not any("input tokens" in limit for limit in result.limits)


@pytest.mark.data
def test_on_real_calls_the_ratio_is_that_of_the_sums(data: Path, tmp_path: Path):
    """tau2's runs share their prompts: gpt-4.1, Claude and a self-hosted Qwen, each by its own provider's count."""
    store = MemoryStore(tmp_path / "t.duckdb")
    ingest(store, [data / "tau2_dev_calls.jsonl.zst"], mapping=ROOT / "sample_logs" / "mappings" / "tau2.yaml")
    ledger.update(store)
    traffic = load(store)
    target = "claude-opus-4-6"
    engine = Engine(traffic, parse(f"name: c\nroute: [{{default: {target}}}]"))
    names = [model for _, model in engine.models]
    place = names.index(target)
    learned = engine.reading.ratios.learned[place, False]
    assert learned.own
    assert learned.calls == input_token_ratios.SAMPLE
    with store.read() as con:
        rows = con.execute(
            "SELECT input_tokens, message_ids FROM calls WHERE model = ? ORDER BY call_no", [target]
        ).fetchall()
        used = {number for row in rows for number in row[1]}
        texts = con.execute("SELECT content_id, kind, text FROM contents").fetchall()
    sizes = {number: count_content(text, kind, "o200k_base") for number, kind, text in texts if number in used}
    whole = sum(row[0] for row in rows) / sum(sizes[number] for row in rows for number in row[1])
    assert learned.ratio == pytest.approx(whole, rel=0.03)
    assert learned.low < learned.ratio < learned.high
    unlike = {names[source] for source, _, _, ratio in input_token_ratios.moves(
        engine.reading.ratios, traffic, np.full(len(traffic), place, np.int32)) if ratio.kind == "learned"}  # fmt: skip
    assert {"gpt-4.1", "ollama_chat/qwen2.5:7b"} <= unlike
