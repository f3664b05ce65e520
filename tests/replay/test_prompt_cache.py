"""The provider's prompt cache: chains equal Python, and so does each rule; the rules carry dates."""

from __future__ import annotations

from datetime import date

import numpy as np
import prefix_oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.provider_cache.simulate import PromptCacheRule, block_chains, rule_for, rules_of, simulate
from replay.traffic.prompts import KINDS, Contents, Prompts


def prompts(lists: list[list[int]], texts: list[tuple[str, list[int], int]]) -> Prompts:
    """Requests as lists of text numbers; each text is (kind, block hashes, tokens)."""
    sizes = [len(blocks) for _, blocks, _ in texts]
    contents = Contents(
        content_id=np.arange(len(texts), dtype=np.int32),
        kind=np.array([KINDS.index(kind) for kind, _, _ in texts], np.int8),
        words=np.zeros(len(texts), np.int32),
        tokens={"o200k_base": np.array([tokens for _, _, tokens in texts], np.int32)},
        block_offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        block_hashes=np.array([block for _, blocks, _ in texts for block in blocks], np.int64),
        texts={},
    )
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return Prompts(offsets, np.array([number for one in lists for number in one], np.int32), contents)


def rule(**fields: object) -> PromptCacheRule:
    plain = {
        "name": "r",
        "provider": "openai",
        "models": ("*",),
        "since": date(2024, 1, 1),
        "minimum": 1024,
        "increment": 128,
        "ttl_ms": 600_000,
        "source": "a test",
    }
    return PromptCacheRule(**{**plain, **fields})


def run(asked: Prompts, start: list[int], one: PromptCacheRule, **more: object) -> tuple[list[int], list[int]]:
    n = len(asked)
    found = simulate(
        block_chains(asked),
        scope=np.zeros(n, np.int32),
        start_ms=np.array(start, np.int64),
        alive=np.ones(n, bool),
        rule=np.zeros(n, np.int32),
        rules=[one],
        **more,
    )
    return found.cached_tokens.tolist(), found.written_tokens.tolist()


LONG = ("system", list(range(10)), 1250)  # ten blocks
QUESTION = [("user", [100 + n], 50) for n in range(4)]
TEXTS = [LONG, *QUESTION]


def test_a_prompt_seen_before_is_cached_in_whole_steps_and_a_fresh_one_is_not():
    asked = prompts([[0, 1], [0, 1], [0, 2]], TEXTS)
    assert run(asked, [0, 1, 2], rule()) == ([0, 1280, 1152], [0, 0, 0])


def test_a_prompt_under_the_minimum_is_never_cached():
    asked = prompts([[1], [1]], TEXTS)
    assert run(asked, [0, 1], rule())[0] == [0, 0]


def test_idleness_ends_a_prefix_and_use_renews_it():
    asked = prompts([[0, 1]] * 4, TEXTS)
    assert run(asked, [0, 600_000, 1_200_000, 1_800_001], rule())[0] == [0, 1280, 1280, 0]
    assert run(asked, [0, 600_000, 1_000_000, 1_000_001], rule(max_age_ms=900_000))[0] == [0, 1280, 0, 1280]


def test_a_prompt_that_is_still_being_read_cannot_be_matched():
    asked = prompts([[0, 1]] * 3, TEXTS)
    ready = np.array([500, 600, 900])
    assert run(asked, [0, 100, 500], rule(), ready_ms=ready)[0] == [0, 0, 1280]


def test_too_many_requests_a_minute_overflow_to_a_machine_that_has_not_seen_them():
    asked = prompts([[0, 1]] * 5, TEXTS)
    assert run(asked, [0, 1, 2, 3, 60_000], rule(requests_per_minute=2))[0] == [0, 1280, 0, 1280, 1280]


def test_breakpoints_write_the_prompt_once_and_read_it_in_the_next_turn():
    anthropic = rule(increment=1, minimum=1024, ttl_ms=300_000, breakpoints=("prompt", "head"), writes_billed=True)
    asked = prompts([[0, 1], [0, 1, 2, 3], [0, 4]], TEXTS)
    assert run(asked, [0, 1, 2], anthropic) == ([0, 1300, 1250], [1300, 100, 50])


def test_a_breakpoint_looks_back_only_so_many_contents():
    anthropic = rule(increment=1, lookback=3, breakpoints=("prompt",), writes_billed=True)
    asked = prompts([[0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4, 4, 4]], TEXTS)
    assert run(asked, [0, 1, 2], anthropic)[0] == [0, 1300, 0]


def test_hidden_tools_lead_the_prompt_and_match_with_it():
    asked = prompts([[0, 1], [0, 2]], TEXTS)
    whole = np.array([2300, 2300])  # a thousand tokens that no text of the log explains
    assert run(asked, [0, 1], rule(), input_tokens=whole)[0] == [0, (2300 - 50) // 128 * 128]


def test_what_never_reaches_the_provider_neither_reads_nor_refreshes():
    asked = prompts([[0, 1]] * 3, TEXTS)
    found = simulate(
        block_chains(asked),
        scope=np.zeros(3, np.int32),
        start_ms=np.array([0, 500_000, 700_000]),
        alive=np.array([True, False, True]),
        rule=np.zeros(3, np.int32),
        rules=[rule()],
    )
    assert found.cached_tokens.tolist() == [0, 0, 0]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), explicit=st.booleans(), slow=st.booleans())
def test_chains_and_rules_equal_the_oracle_call_by_call(seed, explicit, slow):
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(12):
        blocks = rng.integers(0, 6, int(rng.integers(0, 4))).tolist()
        count = 128 * max(0, len(blocks) - 1) + int(rng.integers(1, 129))
        texts.append((str(rng.choice(KINDS[:4])), blocks, -1 if rng.random() < 0.1 else count))
    lists: list[list[int]] = []
    for _ in range(80):
        old = lists[int(rng.integers(0, len(lists)))] if lists and rng.random() < 0.7 else []
        lists.append([*old[: int(rng.integers(0, 8))], *rng.integers(0, 12, int(rng.integers(0, 4))).tolist()])
    start = np.cumsum(rng.choice([0, 1, 30, 20_000], 80)).astype(np.int64)
    made = [
        rule(
            minimum=int(rng.choice([0, 100, 300])),
            increment=int(rng.choice([1, 64, 128])),
            ttl_ms=int(rng.choice([50, 30_000])),
            max_age_ms=None if explicit or rng.random() < 0.5 else 60_000,
            requests_per_minute=None if explicit or rng.random() < 0.5 else 3,
            breakpoints=(("prompt", "head") if rng.random() < 0.5 else ("prompt",)) if explicit else None,
            lookback=int(rng.integers(1, 5)),
            writes_billed=bool(rng.random() < 0.5) or explicit,
        )
        for _ in range(2)
    ]
    columns = {
        "scope": rng.integers(0, 2, 80).astype(np.int32),
        "start_ms": start,
        "alive": rng.random(80) < 0.9,
        "input_tokens": np.where(rng.random(80) < 0.3, -1, rng.integers(0, 2000, 80)),
        "ready_ms": start + (rng.integers(0, 40, 80) if slow else 0),
    }
    columns["rule"] = np.where(rng.random(80) < 0.1, -1, columns["scope"]).astype(np.int32)
    asked = prompts(lists, texts)
    found = simulate(block_chains(asked), rules=made, **columns)
    read, written = prefix_oracle.prompt_cache(asked, rules=made, **columns)
    assert found.cached_tokens.tolist() == read
    assert found.written_tokens.tolist() == written
    whole = columns["input_tokens"]
    assert ((found.cached_tokens + found.written_tokens)[whole >= 0] <= whole[whole >= 0]).all()


@pytest.mark.parametrize(
    ("provider", "model", "day", "expected"),
    [
        ("openai", "gpt-4-turbo", date(2024, 3, 5), None),
        ("openai", "gpt-4o-2024-08-06", date(2024, 9, 30), None),
        ("openai", "gpt-4o-2024-08-06", date(2024, 10, 1), "openai"),
        (None, "azure/gpt-4o-2024-11-20", date(2025, 12, 2), "azure"),
        ("anthropic", "claude-opus-4-6", date(2026, 1, 1), "anthropic-4096"),
        ("anthropic", "claude-3-5-sonnet-20241022", date(2024, 10, 22), "anthropic"),
        (None, "ollama_chat/qwen2.5:7b", date(2026, 1, 1), None),
        ("deepseek", "deepseek-chat", date(2024, 8, 2), "deepseek"),
        (None, None, date(2026, 1, 1), None),
    ],
)
def test_a_rule_belongs_to_a_provider_a_model_and_a_day(provider, model, day, expected):
    found = rule_for(provider, model, day)
    assert (found.name if found else None) == expected


def test_rules_follow_the_day_of_each_call():
    day = 86_400_000
    start = np.array(
        [(date(2024, 9, 30) - date(1970, 1, 1)).days * day, (date(2024, 10, 1) - date(1970, 1, 1)).days * day]
    )
    which, book = rules_of(["openai"], ["gpt-4o"], np.zeros(2, np.int32), start)
    assert which[0] == -1
    assert book[which[1]].name == "openai"


def test_an_answer_is_remembered_with_its_prompt_where_the_rule_says_so():
    texts = [LONG, ("user", [100], 50), ("assistant", [200], 300), ("user", [101], 40), ("user", [102], 40)]
    asked = prompts([[0, 1], [0, 1, 2, 3], [0, 1, 4]], texts)
    whole, answers = np.array([1310, 1660, 1350], np.int64), np.array([300, 90, -1], np.int64)
    deep = rule(minimum=64, increment=64, answers=True)
    found, _ = run(asked, [0, 1, 2], deep, input_tokens=whole, answer_tokens=answers)
    assert found == [0, (1310 + 300) // 64 * 64, 1310 // 64 * 64]
    plain, _ = run(asked, [0, 1, 2], rule(minimum=64, increment=64), input_tokens=whole, answer_tokens=answers)
    assert plain[1] < found[1]


def test_a_conversation_with_deepseek_finds_prompt_and_answer_of_its_last_turn():
    one = rule_for("deepseek", "deepseek-chat", date(2025, 6, 1))
    assert one is not None
    rng = np.random.default_rng(2)
    texts = [("system", [1, 2, 3, 4], 500)]
    talk, lists, whole, answers = [0], [], [], []
    for turn in range(12):
        asked, told = (int(n) for n in rng.integers(20, 400, 2))
        texts.append(("user", [10 + turn], asked))
        talk.append(len(texts) - 1)
        lists.append(list(talk))
        whole.append(sum(texts[number][2] for number in talk) + 17 + 5 * turn)
        answers.append(told)
        texts.append(("assistant", [50 + turn], told))
        talk.append(len(texts) - 1)
    found, _ = run(
        prompts(lists, texts), [60_000 * n for n in range(12)], one,
        input_tokens=np.array(whole, np.int64), answer_tokens=np.array(answers, np.int64),
    )  # fmt: skip
    assert found == [0, *((whole[n] + answers[n]) // 64 * 64 for n in range(11))]
