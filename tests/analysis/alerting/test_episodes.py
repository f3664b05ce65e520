"""Each change is told once, and once more when it is over, however often it is looked at and by whichever process."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.alerting.episodes import Changes, Episode, compare, compare_gates
from analysis.alerting.settings import Silence, WatchSettings
from analysis.anomalies.day_marks import Feedback
from analysis.early_warning.alert import Alert
from analysis.gates.result import GateResult

NOON = datetime(2026, 5, 20, 12)
BIN = timedelta(minutes=10)


def alert(
    dimension: str = "agent", value: str | None = "draft", kind: str = "step", at: int = 0, **other: Any
) -> Alert:
    began = NOON + at * BIN
    values = {"usd_per_hour": 6.0, "expected_usd_per_hour": 1.0, "started": began - BIN, "detected": began, **other}
    return Alert(dimension, value, kind, **values)


def applied(episodes: list[Episode], changes: Changes) -> list[Episode]:
    """What the store holds after the changes."""
    held = {one.alert_id: one for one in episodes}
    held |= {one.alert_id: one for one in (*changes.fresh, *changes.over, *changes.known)}
    return list(held.values())


def look(
    episodes: list[Episode], alerts: list[Alert], now: datetime = NOON + BIN, **options: Any
) -> tuple[list[Episode], Changes]:
    given = {"since": datetime(2026, 1, 1), "settings": WatchSettings(), "accepted": {}, **options}
    changes = compare(episodes, alerts, now, **given)
    return applied(episodes, changes), changes


def told(changes: Changes) -> list[tuple[str, str | None]]:
    return [(one.alert.dimension, one.alert.value) for one, _ in changes.tell]


def test_one_change_in_several_series_is_told_once_by_the_name_that_says_most() -> None:
    seen = [alert("total", None), alert("model", "gpt-4o"), alert(), alert("user", None, usd_per_hour=5.0)]
    episodes, changes = look([], seen)
    assert told(changes) == [("agent", "draft")]
    assert len(changes.tell[0][1]) == 3
    assert not look(episodes, seen)[1]


def test_two_agents_are_two_changes_and_what_one_agent_does_not_explain_is_told() -> None:
    seen = [alert(value="a"), alert(value="b"), alert("total", None, usd_per_hour=40.0)]
    assert sorted(told(look([], seen)[1])) == [("agent", "a"), ("agent", "b"), ("total", None)]


def test_the_same_change_at_a_slightly_other_time_is_no_news_and_a_later_one_is() -> None:
    episodes, _ = look([], [alert()])
    episodes, changes = look(episodes, [alert(at=3), alert(at=3, kind="spike")])
    assert not changes
    episodes, changes = look(episodes, [alert(), alert(at=200)], NOON + 200 * BIN)
    assert told(changes) == [("agent", "draft")]


def test_what_is_over_is_told_once_and_never_begins_again() -> None:
    episodes, _ = look([], [alert()])
    over = alert(ended=NOON + 5 * BIN)
    episodes, changes = look(episodes, [over])
    assert [one.alert.ended for one in changes.over] == [over.ended]
    for seen in ([over], [], [alert()]):
        assert not look(episodes, seen, NOON + timedelta(days=3))[1]


def test_an_alert_that_the_detector_no_longer_names_is_over_after_some_hours() -> None:
    episodes, _ = look([], [alert()])
    assert not look(episodes, [], NOON + timedelta(hours=1))[1]
    assert [one.state for one in look(episodes, [], NOON + timedelta(hours=5))[1].over] == ["over"]


def test_what_was_detected_before_the_first_watch_is_known_and_not_told() -> None:
    episodes, changes = look([], [alert()], since=NOON + BIN)
    assert told(changes) == []
    assert not look(episodes, [alert()])[1]


def test_changes_below_the_least_amount_are_not_told() -> None:
    seen = [alert(usd_per_hour=1.2), alert("total", None, "silence", usd_per_hour=0.0)]
    assert told(look([], seen, settings=WatchSettings(at_least_usd_per_hour=1.0))[1]) == [("total", None)]


def test_a_silenced_alert_is_told_after_the_silence_if_it_goes_on() -> None:
    silence = WatchSettings(silences=(Silence(NOON - BIN, NOON + 6 * BIN, of={"agent": "dra*"}),))
    episodes, changes = look([], [alert(), alert(value="plan")], settings=silence)
    assert told(changes) == [("agent", "plan")]
    assert not look(episodes, [alert(), alert(value="plan")], NOON + 2 * BIN, settings=silence)[1]
    again, changes = look(episodes, [alert(), alert(value="plan")], NOON + 7 * BIN, settings=silence)
    assert told(changes) == [("agent", "draft")]
    assert not look(again, [alert(), alert(value="plan")], NOON + 8 * BIN, settings=silence)[1]
    gone = alert(ended=NOON + 3 * BIN)
    episodes, changes = look(episodes, [gone, alert(value="plan")], NOON + 7 * BIN, settings=silence)
    assert told(changes) == []
    assert not look(episodes, [gone, alert(value="plan")], NOON + 8 * BIN, settings=silence)[1]


def test_a_day_that_somebody_expects_raises_no_alert() -> None:
    for verdict, expected in (("expected", []), ("planned", []), ("wrong", [("agent", "draft")])):
        said = {date(2026, 5, 20): Feedback(date(2026, 5, 20), verdict, None)}
        assert told(look([], [alert()], accepted=said)[1]) == expected


def test_silences_of_hours_reach_over_midnight_and_of_days_into_the_next_morning() -> None:
    from datetime import time

    night = Silence(hours=(time(22), time(6)), days=(4,))  # Friday
    friday = datetime(2026, 5, 22)
    covered = [hour for hour in range(48) if night.covers(friday + timedelta(hours=hour), "total", None)]
    assert covered == list(range(22, 30))


ALERTS = st.lists(
    st.builds(
        alert,
        dimension=st.sampled_from(["total", "agent", "model"]),
        value=st.sampled_from(["a", "b", None]),
        kind=st.sampled_from(["step", "spike", "silence", "unpriced"]),
        at=st.integers(0, 100),
        usd_per_hour=st.sampled_from([0.0, 3.0, 6.0, 20.0]),
        ended=st.sampled_from([None, NOON + 200 * BIN]),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=60)
@given(looks=st.lists(ALERTS, max_size=5), repeats=st.integers(1, 3))
def test_no_episode_is_told_twice_and_a_look_repeated_changes_nothing(looks: list[list[Alert]], repeats: int) -> None:
    episodes: list[Episode] = []
    begun: list[str] = []
    over: list[str] = []
    for number, seen in enumerate(looks):
        for _ in range(repeats + 1):  # what had ended when it was first seen is over at the second look
            episodes, changes = look(episodes, seen, NOON + (100 + number) * BIN)
            begun += [one.alert_id for one, _ in changes.tell]
            over += [one.alert_id for one in changes.over]
        assert not look(episodes, seen, NOON + (100 + number) * BIN)[1]
    assert len(begun) == len(set(begun))
    assert len(over) == len(set(over))
    assert set(over) <= set(begun)


def gate(passed: bool | None) -> GateResult:
    return GateResult("budget usd_per_day", passed, Decimal(3), Decimal(2), "usd", "words")


def test_a_gate_is_told_when_it_begins_to_fail_and_when_it_passes_again() -> None:
    episodes: list[Episode] = []
    events = []
    for number, passed in enumerate((True, False, False, None, False, True, True, False)):
        changes = compare_gates(
            episodes, [gate(passed)], lambda one: one.passed is False, NOON + number * BIN, settings=WatchSettings()
        )
        events.append((len(changes.tell), len(changes.over)))
        episodes = applied(episodes, changes)
    assert events == [(0, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 0), (1, 0)]


def test_alerts_leave_gates_alone() -> None:
    episodes = applied([], compare_gates([], [gate(False)], lambda _: True, NOON, settings=WatchSettings()))
    assert not look(episodes, [], NOON + timedelta(days=9))[1]
    assert not compare_gates(
        [replace(episodes[0], alert=replace(alert()))], [], lambda _: True, NOON, settings=WatchSettings()
    )


def test_days_and_hours_are_those_of_the_chosen_zone() -> None:
    from analysis import time_zone
    from analysis.alerting.notices import alert_notice

    late = alert(started=datetime(2026, 5, 20, 23), detected=datetime(2026, 5, 20, 23, 20))
    episode = look([], [late])[1].tell[0][0]
    with time_zone.days_in("Europe/Berlin"):
        notice = alert_notice(episode, [], None, [], store="s.duckdb", dashboard="http://x")
        expected = {date(2026, 5, 21): Feedback(date(2026, 5, 21), "expected", None)}
        assert told(look([], [late], accepted=expected)[1]) == []
    assert notice.title.endswith("since Thu 21 May 01:00 Europe/Berlin")
    assert notice.url == "http://x/spike?day=2026-05-21"
    assert notice.command is not None
    assert "--day 2026-05-21" in notice.command
    assert "hour=2026-05-21T01:00:00" in notice.command
