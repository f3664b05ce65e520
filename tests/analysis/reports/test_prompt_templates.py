"""Templates are the lines that prompts share; a version is a change of them, with the day it came."""

from __future__ import annotations

import json
from datetime import date

import pytest

from analysis.ledger.ledger import update
from analysis.reports.prompt_templates import templates
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore

SYSTEM = "You are a drafting agent.\nWrite in plain words.\nNever invent a source.\nAnswer in Markdown, please."


def write_log(path, rows, **options):
    path.write_text("".join(json.dumps({"hindcast": 1, **row}) + "\n" for row in rows))
    store = MemoryStore(path.with_suffix(".duckdb"))
    ingest(store, [path], **options)
    update(store)
    return store


def call(i, system, user, *, agent="drafting_agent", day=1, model="gpt-4-turbo"):
    return {
        "call_id": f"{agent}-{i}", "start_time": f"2024-03-{day:02d}T10:00:{i % 60:02d}Z", "agent": agent,
        "task": "draft", "request_model": model, "input_tokens": 100 + i, "output_tokens": 10,
        "input_messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
    }  # fmt: skip


def topics(n):
    return [f"Topic number {i} of the day is {i * 7919}\nPlease write the section." for i in range(n)]


def test_prompts_of_one_template_are_one_template(tmp_path):
    rows = [call(i, SYSTEM, text) for i, text in enumerate(topics(30))]
    rows += [call(100 + i, "Grade the answer below.", text, agent="judge") for i, text in enumerate(topics(20))]
    report = templates(write_log(tmp_path / "log.jsonl", rows))
    assert sorted((t.agent, len(t.versions), t.calls) for t in report.templates) == [
        ("drafting_agent", 1, 30),
        ("judge", 1, 20),
    ]
    version = next(t for t in report.templates if t.agent == "drafting_agent").versions[0]
    assert version.static_lines == 5  # four of the system prompt, and the last line of every user message
    assert version.slots == 1
    assert version.opening == "You are a drafting agent."


def test_a_changed_line_is_a_new_version_from_its_first_day(tmp_path):
    changed = SYSTEM.replace("Never invent a source.", "Cite at least three sources for each claim.")
    rows = [call(i, SYSTEM, text, day=1 + i % 4) for i, text in enumerate(topics(24))]
    rows += [call(100 + i, changed, text, day=6) for i, text in enumerate(topics(24))]
    report = templates(write_log(tmp_path / "log.jsonl", rows))
    assert len(report.templates) == 1
    old, new = report.templates[0].versions
    assert (old.first, old.last) == (date(2024, 3, 1), date(2024, 3, 4))
    assert (new.first, new.calls) == (date(2024, 3, 6), 24)
    assert sum(v.cost_usd for v in (old, new)) == report.templates[0].cost_usd


def test_without_text_whole_messages_tell_templates(tmp_path):
    rows = [call(i, SYSTEM, text) for i, text in enumerate(topics(12))]
    rows += [call(100 + i, "Another system prompt", text) for i, text in enumerate(topics(12))]
    report = templates(write_log(tmp_path / "log.jsonl", rows, text=False))
    assert len(report.templates) == 2
    assert {t.versions[0].static_lines for t in report.templates} == {1}


def test_unpriced_calls_are_counted_and_never_free(tmp_path):
    rows = [call(i, SYSTEM, text, model="made-up-model") for i, text in enumerate(topics(6))]
    found = templates(write_log(tmp_path / "log.jsonl", rows)).templates[0]
    assert found.cost_usd is None
    assert found.versions[0].unpriced_calls == 6


def test_a_log_without_messages_says_so(tmp_path):
    row = {"start_time": "2024-03-01T10:00:00Z", "request_model": "gpt-4-turbo", "input_tokens": 1, "output_tokens": 1}
    with pytest.raises(InputError, match="no call keeps its messages"):
        templates(write_log(tmp_path / "log.jsonl", [row]))
