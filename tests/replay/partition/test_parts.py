"""A replay by parts of a log is that of the whole, byte for byte; what is not so is refused by name."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_store
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.partial import Partial, merge, partial
from replay.engine.run import run
from replay.partition.bucket_store import BucketStore
from replay.partition.one_node import OneNodeError
from replay.partition.run_parts import PartJob, by_buckets
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

EXACT = (
    "name: logged",
    """
name: routed and cached
route:
  - {match: {task: summary, input_tokens: {lt: 1200}}, model: gpt-3.5-turbo}
  - {match: {agent: rare}, model: o1}
cache:
  processes: 3
  tiers:
    - {name: memory, scope: process, ttl: 5m, max_entries: 200}
    - {name: redis, ttl: 24h, sliding: true}
quality: {floor: 0.9}
""",
    """
name: coalesced
cache: {in_flight: coalesced, tiers: [{name: redis, ttl: 2h, max_memory: 1MB, policy: allkeys-lru}]}
batch: [{match: {agent: editor}}]
""",
    """
name: all side costs
behaviour: fixed
route: [{match: {task: draft}, cascade: [gpt-3.5-turbo, logged], escalate: {share: 0.4}}]
classifier: {model: gpt-3.5-turbo, placed: after_cache}
on_error: gpt-3.5-turbo
rework: [{model: gpt-3.5-turbo, extra_calls: 0.3, high: 0.6}]
cache: {key: litellm, tiers: [{name: redis}]}
""",
)
REFUSED = {
    "name: x\ncompress: [whitespace]": "rewritten requests",
    "name: x\nroute: [{match: {turn: 2}, model: gpt-3.5-turbo}]": "`turn` counts",
    "name: x\nroute: [{match: {online: true}, model: gpt-3.5-turbo}]": "`online` is inferred",
    "name: x\nroute: [{default: gpt-3.5-turbo}]\nroute_by: conversation": "`route_by: conversation`",
    "name: x\nroute: [{when: 'true', cascade: [gpt-3.5-turbo, logged], escalate: {score_below: 0.4}}]": "share of",
    "name: x\ncache: {key: canonical+mask, tiers: [{name: a}]}": "merges requests",
    "name: x\ncache: {processes: 2, assign: round_robin, tiers: [{name: a, scope: process}]}": "`sticky` would do",
    "name: x\ncache: {tiers: [{name: a, ttl: 24h, max_entries: 20}]}": "tier a may be full",
    "name: x\ncache: {tiers: [{name: a, sliding: true, ttl: 5m, max_entries: 20}]}": "tier a may be full",
    "name: x\ncache: {tiers: [{name: a, ttl: 1h, max_memory: 2KB, policy: allkeys-lru}]}": "tier a may be full",
}
MODELS = ("gpt-4-turbo", "gpt-3.5-turbo", "unheard-of")
STATUSES = ("ok", "error", "gateway_cache_hit")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three weeks of calls, some keyless, failed, retried, scored, unpriced or answered by a gateway; a model that only
    two calls have, which most parts never see."""
    rng = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for number in range(700):
        key = int(rng.zipf(1.3)) % 60
        rows.append(
            {
                "start_time": datetime(2024, 3, 5) + timedelta(minutes=40 * (number // 2)),
                "duration_ms": float(rng.integers(0, 400_000)),
                "provider_name": "azure" if number % 350 == 7 else "openai",
                "model": "o1" if number % 350 == 7 else str(rng.choice(MODELS, p=[0.7, 0.25, 0.05])),
                "agent": "rare" if number % 200 == 3 else ("writer", "editor")[number % 2],
                "task": ("summary", "draft", None)[number % 3],
                "conversation_id": f"c{number // 6}",
                "input_tokens": 700 + 30 * key,
                "output_tokens": int(rng.integers(20, 900)),
                "status": str(rng.choice(STATUSES, p=[0.9, 0.06, 0.04])),
                "attempt": 2 if rng.random() < 0.04 else 1,
                "score": round(float(rng.random()), 2) if number % 5 == 0 else None,
                "key_canonical": None if number % 50 == 9 else key,
                "key_litellm": None if number % 50 == 9 else key * 2 + number % 2,
            }
        )  # fmt: skip
    made = build_store(tmp_path_factory.mktemp("parts") / "s.duckdb", rows)
    ledger.update(made)
    return made


@pytest.mark.parametrize("window", [{}, {"since": date(2024, 3, 9), "until": date(2024, 3, 12)}], ids=["all", "days"])
def test_any_number_of_parts_gives_the_bytes_of_the_whole(store: Store, window: dict[str, date]) -> None:
    strategies = [parse(text) for text in EXACT]
    whole = json.dumps(run(store, strategies, timed=True, **window).to_json())
    assert '"hits": 0, "coalesced": 0' in whole
    for of in (4,) if window else (1, 16):
        parts = by_buckets(store, of, **window)
        assert json.dumps(run(store, strategies, timed=True, parts=parts, **window).to_json()) == whole


def test_parts_may_come_in_any_order(store: Store) -> None:
    def backwards(work: Callable[[int], list[Partial]], items: Sequence[int]) -> Iterator[list[Partial]]:
        return map(work, reversed(items))

    strategies = [parse(EXACT[1])]
    one, other = (run(store, strategies, parts=by_buckets(store, 4, run=way)).to_json() for way in (map, backwards))
    assert one == other


@pytest.fixture(scope="module")
def parts(store: Store) -> list[Partial]:
    """The eight parts of one replay."""
    kept: list[list[Partial]] = []

    def keep(work: Callable[[int], list[Partial]], items: Sequence[int]) -> Iterator[list[Partial]]:
        kept.extend(map(work, items))
        return iter(kept)

    run(store, [parse(EXACT[1])], parts=by_buckets(store, 8, run=keep))
    return [found for (found,) in kept]


def plain(found: Partial) -> tuple[Any, ...]:
    """A partial with its arrays as lists."""
    sampled = found.sampled
    assert sampled is not None
    calls = [sampled.call_no, sampled.codes, sampled.input_tokens, sampled.output_tokens]
    held = [(one.variant, one.place, one.process, one.keys, one.bytes, one.live_keys.tolist()) for one in found.held]
    return found.sums, found.low, found.high, found.data, held, [column.tolist() for column in calls]


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_merging_is_associative_and_commutative(parts: list[Partial], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(parts))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(parts) - 1))))
    groups = [shuffled[first:last] for first, last in zip([0, *cuts], [*cuts, len(parts)], strict=True)]
    assert plain(merge(merge(group) for group in groups)) == plain(merge(parts))


def test_what_a_part_says_goes_by_days_and_groups_not_by_calls(tmp_path: Path) -> None:
    def told(calls: int) -> list[int]:
        rows = [
            {
                "start_time": datetime(2024, 3, 5) + timedelta(minutes=1440 * 4 * number // calls),
                "model": MODELS[number % 2],
                "agent": ("writer", "editor")[number % 2],
                "conversation_id": f"c{number}",
                "key_canonical": number % 61,
            }
            for number in range(calls)
        ]
        made = build_store(tmp_path / f"{calls}.duckdb", rows)
        ledger.update(made)
        sizes: list[int] = []

        def weigh(work: Callable[[int], list[Partial]], items: Sequence[int]) -> Iterator[list[Partial]]:
            for found in map(work, items):
                sizes.append(len(pickle.dumps([replace(part, sampled=None) for part in found])))
                yield found

        run(made, [parse(EXACT[1])], parts=by_buckets(made, 2, run=weigh))
        return sizes

    few, many = told(200), told(3200)
    assert max(many) < 1.1 * min(few)


def test_the_parts_hold_every_call_once(store: Store) -> None:
    found = [load(BucketStore(store, bucket, 8)).call_no for bucket in range(8)]
    assert sorted(np.concatenate(found).tolist()) == load(store).call_no.tolist()


@pytest.mark.parametrize("text", REFUSED)
def test_what_needs_all_calls_at_one_place_is_refused_by_name(store: Store, text: str) -> None:
    with pytest.raises(OneNodeError, match=REFUSED[text]) as error:
        run(store, [parse(text)], parts=by_buckets(store, 2))
    assert "hindcast store pull" in (error.value.remedy or "")


def test_a_strategy_that_needs_all_calls_at_one_place_is_replayed_here_and_says_so(store: Store) -> None:
    alone = [text for text, why in REFUSED.items() if why in ("rewritten requests", "`sticky` would do")]
    alone.append("name: x\ncache: {tiers: [{name: a, ttl: 24h, max_entries: 20}]}")
    strategies = [parse(EXACT[1]), *(parse(text) for text in alone)]
    told: list[str] = []
    found = run(store, strategies, parts=by_buckets(store, 2, here=told.append)).to_json()
    assert json.dumps(found) == json.dumps(run(store, strategies).to_json())
    assert len(told) == len(alone)
    assert all(line.endswith("this machine replays it whole") for line in told)


def test_a_part_is_told_names_it_does_not_have(store: Store) -> None:
    """`o1` is priced at the provider of the logged calls of that name, though few parts have one."""
    strategy = parse("name: x\nroute: [{match: {task: summary}, model: o1}]")
    told: list[PartJob] = []

    def listen(work: Any, items: Sequence[int]) -> Iterator[list[Partial]]:
        told.append(work.args[0])
        return map(work, items)

    run(store, [strategy], parts=by_buckets(store, 16, run=listen))
    assert ("azure", "o1") in told[0].names.models
    (whole,) = (one for _, one in told[0].strategies)
    part = load(BucketStore(store, 3, 16), whole=told[0].names)
    assert not (part.model == part.models.index(("azure", "o1"))).any()
    assert Engine(part, strategy, whole=whole).index_of("o1") == part.models.index(("azure", "o1"))
    assert partial(Engine(part, strategy, whole=whole)).of("rows", "priced") > 0
