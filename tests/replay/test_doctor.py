"""The doctor finds what makes prompts differ, and prices it as the provider's rules would have billed it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from analysis.ledger.ledger import update
from ingest.contents.tokenizer import count_content, ensure_counted
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore
from replay.provider_cache import doctor, varying_spans
from replay.traffic import load_traffic
from replay.traffic.traffic import Traffic

WORDS = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu amber birch cedar dune ember fjord grove heath inlet jade "
    "knoll lagoon mesa north oasis peak quarry ridge shoal tundra upland vale wharf yard zenith arbor basin cliff "
    "dale estuary forest glen harbor island jungle kelp ledge marsh notch orchard prairie quay reef summit trail"
)
GUIDE = " ".join(f"Rule {word}: answer {word} briefly, cite the source and never guess." for word in WORDS.split())
PER_MILLION = {"input": 2.50, "cached": 1.25}  # gpt-4o in November 2024
STEP = 128


def log(folder: Path, systems: list[str], questions: list[str], *, gap_s: int = 20) -> Traffic:
    """A store of one call each `gap_s` seconds, ingested from a native log without any cached tokens."""
    began = datetime(2024, 11, 5, 9, tzinfo=UTC)
    lines = []
    for number, (system, question) in enumerate(zip(systems, questions, strict=True)):
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        lines.append(
            {
                "hindcast": 1,
                "call_id": f"c{number}",
                "start_time": (began + timedelta(seconds=gap_s * number)).isoformat(),
                "provider_name": "openai",
                "request_model": "gpt-4o",
                "agent": "helpdesk",
                "task": "answer",
                "input_tokens": sum(tokens(one) for one in messages),
                "cache_read_input_tokens": 0,
                "output_tokens": 50,
                "status": "ok",
                "temperature": 0,
                "input_messages": messages,
                "output_messages": [{"role": "assistant", "content": f"Answer to {question}"}],
            }
        )
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = MemoryStore(folder / "s.duckdb")
    ingest(store, [path])
    update(store)
    ensure_counted(store, ["o200k_base"])
    return load_traffic.load(store)


def tokens(message: dict[str, str]) -> int:
    return count_content(json.dumps(message, sort_keys=True), "message", "o200k_base")


def stamp(number: int) -> str:
    return f"Current time: {datetime(2024, 11, 5, 9, tzinfo=UTC) + timedelta(seconds=20 * number):%Y-%m-%d %H:%M:%S}\n"


def test_a_timestamp_planted_at_the_head_of_a_system_prompt_is_found_and_priced_within_two_percent(tmp_path):
    n = 400
    log_ = log(tmp_path, [stamp(i) + GUIDE for i in range(n)], [f"How do I set up machine {i}?" for i in range(n)])
    found = doctor.diagnose(log_)
    first = found.findings[0]
    assert [slot.kind for slot in first.slots] == ["timestamp"]
    assert (first.role, first.agents, first.task, first.calls, first.texts) == ("system", ("helpdesk",), "answer", n, n)
    assert first.position <= 10
    assert first.slots[0].values == n
    # without the timestamp, every call but the first finds the guide cached, in whole steps
    guide = tokens({"role": "system", "content": "Current time: \n" + GUIDE})
    truth = (n - 1) * (guide // STEP * STEP) * (PER_MILLION["input"] - PER_MILLION["cached"]) / 1e6
    assert guide > 1024
    assert first.moved / 1e12 == pytest.approx(truth, rel=0.02)


def test_masking_is_worth_the_calls_that_would_then_be_equal(tmp_path):
    n = 60
    log_ = log(
        tmp_path, [stamp(i) + GUIDE for i in range(n)], [f"Where is the {'abc'[i % 3]} button?" for i in range(n)]
    )
    first = doctor.diagnose(log_).findings[0]
    assert first.masked_hits == n - 3
    assert first.masked == int(log_.cost[:n].sum()) - int(log_.cost[:3].sum())


def test_documents_in_another_order_are_found(tmp_path):
    parts = [GUIDE[i : i + 1500] for i in range(0, 6000, 1500)]
    orders = ["\n\n".join(order) for order in [*permutations(parts), *permutations(parts)][:40]]
    found = doctor.diagnose(log(tmp_path, orders, ["What now?"] * 40)).findings[0]
    assert [slot.kind for slot in found.slots] == ["order"]
    assert found.moved > 0


def test_a_stretch_that_no_pattern_knows_is_found_between_equal_ends(tmp_path):
    names = [f"{first} {last}" for first in ("Ann", "Bo", "Cy", "Di", "Ed") for last in ("Ash", "Birk", "Cole", "Dahl")]
    log_ = log(tmp_path, [f"You help {name}.\n{GUIDE}" for name in names], ["How do I begin?"] * 20)
    found = doctor.diagnose(log_).findings[0]
    assert [(slot.kind, slot.start) for slot in found.slots] == [("text", len("You help "))]
    assert found.moved > 0


def test_nothing_is_found_where_prompts_are_already_stable(tmp_path):
    log_ = log(tmp_path, [GUIDE] * 30, [f"Question {'abcdefghijklmnopqrstuvwxyzABCD'[i]}?" for i in range(30)])
    assert doctor.diagnose(log_).findings == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("It is 2024-03-05T10:11:12Z now", "timestamp"),
        ("It is Tue, 5 Mar 2024 10:11:12 GMT now", "timestamp"),
        ("At 1709630000123 it began", "timestamp"),
        ("Today is 2024-03-05.", "date"),
        ("Today is March 5, 2024.", "date"),
        ("Session 3f2b8c1e-9a4d-4e6f-8b2a-1c3d5e7f9a0b here", "uuid"),
        ("for user_48213 only", "user id"),
        ("ask jane.doe@example.com", "user id"),
        ("ticket req-8812ab", "id"),
        ("commit 9f8e7d6c5b4a", "id"),
        ("You have 12 tries", "number"),
    ],
)
def test_a_span_is_named_for_what_it_is(text, kind):
    assert [found for found, _, _ in varying_spans.spans(text)] == [kind]


def test_a_number_that_only_rises_is_a_counter():
    found = varying_spans.templates([(i, "g", f"Request number {i + 1}. Answer well.") for i in range(20)])
    assert [slot.kind for slot in found[0].slots] == ["counter"]
    found = varying_spans.templates([(i, "g", f"Order {(i * 37) % 20}. Answer well.") for i in range(20)])
    assert [slot.kind for slot in found[0].slots] == ["number"]
