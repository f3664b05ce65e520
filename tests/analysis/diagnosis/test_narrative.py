"""A diagnosis reads true to a person who has not seen the figures: each sentence says what the store supports."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from builder import build_in_memory
from quiet_days import DAY, DAYS, MONDAY, calls, quiet

from analysis.anomalies.alerts import Alert, in_words
from analysis.diagnosis import document, narrative
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update
from ingest.errors import InputError


def told(tmp_path, rows, day=DAY, **options):
    store = build_in_memory(rows)
    update(store)
    return diagnose(store, day=day, **options)


def wobbling(days, skip=()):
    for day in days:
        if day not in skip:
            yield from calls(day, round(60 * (1 + (day * 7 % 5 - 2) / 20)))
            yield from calls(day, round(40 * (1 + (day * 7 % 5 - 2) / 20)), agent="editor", task="review")


def test_a_first_day_is_compared_with_nothing(tmp_path):
    found = told(tmp_path, quiet(1), MONDAY.date())
    assert "there is no earlier day to compare it with" in document.summary(found)
    assert "expected" not in document.summary(found)
    assert "ordinary" not in document.summary(found)


def test_three_days_say_that_they_are_too_few(tmp_path):
    found = told(tmp_path, [*quiet(3), *calls(2, 2)], (MONDAY + timedelta(days=2)).date())
    assert "mean of 2 earlier days; not enough history for a range" in document.summary(found)
    assert "too little history to say what is out of the ordinary" in document.summary(found)


def test_a_calm_day_is_called_ordinary_and_a_day_out_of_its_range_is_not(tmp_path):
    assert "Nothing in it is beyond the ordinary" in document.summary(told(tmp_path, wobbling(range(DAYS + 1))))
    half = [*wobbling(range(DAYS)), *calls(DAYS, 30), *calls(DAYS, 20, agent="editor", task="review")]
    half += wobbling([DAYS + 1])  # without a day after it, it could be one that the log cuts short
    (tmp_path / "half").mkdir()
    found = told(tmp_path / "half", half)
    assert found.flagged
    assert found.delta < 0
    assert "Nothing in it" not in document.summary(found)


def test_a_missing_day_is_no_fall_of_the_next(tmp_path):
    found = told(tmp_path, wobbling(range(DAYS + 1), skip=(DAYS - 1, DAYS - 6)))
    assert not found.flagged
    assert found.expected > 10


def test_what_fell_is_not_called_growth(tmp_path):
    rows = [{**row, "input_tokens": row["input_tokens"] // 3} for row in wobbling([DAYS])]
    found = told(tmp_path, [*wobbling(range(DAYS)), *rows])
    assert "shorter prompts" in document.summary(found)
    assert "longer" not in document.summary(found)
    first = document.to_json(found)["causes"][0]
    assert first["title"] == "shorter prompts"
    assert "none needed" in first["fix"]
    falling = [row for row in narrative.rows(found, 8)[:-1] if row[1].startswith("-")]
    assert {row[-1] for row in falling} == {"-"}  # undoing them saves nothing


def test_calls_that_lost_their_price_are_said_with_the_answer(tmp_path):
    rows = [{**row, "model": "house-llm"} if i % 3 else row for i, row in enumerate(wobbling([DAYS]))]
    found = told(tmp_path, [*wobbling(range(DAYS)), *rows])
    lost = sum(1 for row in rows if row["model"] == "house-llm")
    assert f"But {lost} of {len(rows)} calls of the day have no price" in document.summary(found)
    assert "may be theirs" in document.summary(found)


def test_a_store_without_prices_says_what_to_look_at(tmp_path):
    with pytest.raises(InputError, match="price") as error:
        told(tmp_path, [{**row, "model": "house-llm"} for row in quiet(DAYS + 1)])
    assert "hindcast cost" in str(error.value.remedy)


@pytest.mark.data
def test_a_cause_worth_more_than_its_day_is_told_by_what_undoing_it_leaves(tmp_path, data):
    from ingest.pipeline.run import ingest
    from ingest.store.database import Store

    store = Store(tmp_path / "chatdev.duckdb")
    mapping = Path(__file__).resolve().parents[3] / "sample_logs" / "mappings" / "chatdev.yaml"
    ingest(store, [data / "chatdev_calls.jsonl.zst"], mapping=mapping)
    update(store)
    found = diagnose(store, day=date(2023, 8, 25))
    first = found.causes[0]
    assert first.delta > found.actual > first.undo_saves > 0
    assert narrative.amount(found, first.delta, sign=True) not in document.summary(found)
    assert "What stands out is a loop in" in document.summary(found)
    assert (
        f"Without it alone the day would have come to {narrative.amount(found, found.actual - first.undo_saves)}"
        in (document.summary(found))
    )


def test_amounts_beside_a_change_of_dollars_are_in_cents(tmp_path):
    found = told(tmp_path, [*quiet(DAYS + 1), *calls(DAYS, 60, agent="novice", task="guess")])
    assert found.delta > 1
    for row in narrative.rows(found, 40):
        assert len(row[1].split(".")[1]) == 2, row


def test_a_change_is_shown_in_as_many_digits_as_tell_it_apart(tmp_path):
    found = told(tmp_path, wobbling(range(DAYS + 1)))
    for line in found.drivers:
        before, after = narrative.pair(line)
        assert before != after or abs(line.before - line.after) < 0.001


def test_one_odd_hour_is_not_most_of_all(tmp_path):
    hour = Alert("hour", "14:00 UTC", 9.0, 1.0, 0.001)
    assert in_words([hour]) == ["the hour 14:00 UTC with the hour before it: $9.00, expected $1.00"]
    assert in_words([hour, hour])[0].startswith("2 hours, most of all 14:00 UTC")


def test_newest_days_without_prices_are_said_to_be_unjudged(tmp_path):
    lost = [{**row, "model": "house-llm"} for row in wobbling([DAYS + 1, DAYS + 2])]
    found = told(tmp_path, [*wobbling(range(DAYS + 1)), *lost], day=None)
    assert found.day == DAY
    assert f"2 later days cannot be judged: {len(lost)} of {len(lost)} calls have no price." in document.summary(found)
    assert len(document.to_json(found)["unjudged_days"]) == 2


def test_refused_calls_hide_no_day_and_are_worth_nothing(tmp_path):
    rows = list(wobbling([DAYS]))
    nothing = {"status": "error", "input_tokens": None, "output_tokens": None, "tokens_source": "missing"}
    refused = [{**row, **nothing} for row in rows for _ in range(3)]
    found = told(tmp_path, [*wobbling(range(DAYS)), *rows, *refused], day=None)
    assert found.day == DAY
    assert "usage_missing" not in [one.cause.cause for one in found.causes]
    assert f"{len(refused):,} of {len(rows) + len(refused):,} calls of the day failed and name no usage" in (
        document.summary(found)
    )
    assert "have no price" not in document.summary(found)
    assert not [alert for alert in found.alerts if alert.kind in ("unpriced", "ratio")]
