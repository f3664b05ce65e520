"""Which sections a report has for whom, and what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Final

from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import money
from dashboard.documents import document_views, evidence_tables, strategy_tables
from dashboard.documents.decision import YEAR, in_range, rounded
from dashboard.documents.pictures import lines, trajectory
from dashboard.documents.sections import Part, Points, Section, Steps
from dashboard.documents.story import Findings, certainty, method, recommendation
from dashboard.render.tables import Column, Table
from replay.engine.run import StrategyResult

AUDIENCES: Final = ("everyone", "stakeholders", "engineers", "finance")
MOST_CAUSES: Final = 6  # for stakeholders
MOST_RISKS: Final = 4
NO_YEAR: Final = (
    "12 such months are a rate, no forecast: how the traffic grows within a year, nobody can say from this log."
)
SHORTEST: Final = 12  # limits for everyone
WORDS: Final = (
    ("call", "one request to a language model and its answer"),
    ("model", "the language model that answers, such as gpt-4-turbo; a smaller one costs less a call"),
    ("quality", "the mean score of answers, as a share of today's; the floor is the least that is asked for"),
    ("range", "four of five such months fall within it; of a saving, from the worst to the best end"),
    ("complete day", "a day that the log covers as far as comparable days go; one without a call in between costs $0"),
)


def sections(findings: Findings, audience: str) -> list[Section]:
    """The sections below the head, for whom the report is."""
    build = {"stakeholders": _for_stakeholders, "engineers": _for_engineers, "finance": _for_finance}
    return [one for one in build.get(audience, _for_everyone)(findings) if one.parts]


def _for_stakeholders(findings: Findings) -> list[Section]:
    return [
        *_period(findings),
        Section("What happened", (*_chosen_picture(findings), *_happened(findings), *_steps(findings, MOST_CAUSES))),
        Section("What is proposed", (*_proposal(findings),)),
        Section("What it comes to", (*_money(findings), *_units(findings))),
        Section("What it rests on", (*_evidence(findings), *_points(findings.coverage.remarks()))),
        Section("What could go wrong", (*_risks(findings, MOST_RISKS),)),
        Section("Who decides", _who(findings)),
    ]


def _for_everyone(findings: Findings) -> list[Section]:
    return [
        *_period(findings),
        Section("What happened", (trajectory(findings),)),
        Section("Why", (*_why_in_words(findings), *_steps(findings), *_causes(findings))),
        *_compared(findings),
        Section("What to do", (*_proposal(findings), *_points(certainty(findings)))),
        Section("What it comes to", (*_money(findings), *_units(findings))),
        Section("What it rests on", (*_evidence(findings),)),
        Section("Who decides", _who(findings)),
        _limits(findings, SHORTEST),
        Section("How it was computed", (Points(tuple(method(findings))),)),
    ]


def _for_engineers(findings: Findings) -> list[Section]:
    drivers = evidence_tables.drivers(findings.diagnosis) if findings.diagnosis else None
    return [
        *_period(findings),
        Section("What happened", (trajectory(findings),)),
        Section("Why", (*_why_in_words(findings), *_steps(findings), *_causes(findings))),
        Section("Every driver", (drivers,) if drivers and drivers.rows else ()),
        *_compared(findings),
        *(_stages(one) for one in (findings.replay.strategies if findings.replay else ()) if one.savings_pico),
        Section("What to do", (*_proposal(findings), *_points(certainty(findings)))),
        Section("What it comes to", (*_money(findings), *_units(findings))),
        Section("What it rests on", (*_evidence(findings),)),
        Section("Who decides", _who(findings)),
        _limits(findings, None),
        Section("How it was computed", (Points(tuple(method(findings))),)),
    ]


def _for_finance(findings: Findings) -> list[Section]:
    shown = findings.showback
    parts: tuple[Part, ...] = ()
    if shown is not None:
        parts = (
            shown.table(),
            f"The rows sum to the bill of {money(shown.bill)} exactly, and as printed to the cent. "
            "hindcast report --for finance --by team, tag.KEY or another dimension divides it otherwise.",
        )
    return [
        *_period(findings),
        Section(f"The bill by {shown.by}" if shown else "The bill", parts),
        Section("What is ahead", (trajectory(findings), *_ahead(findings), *_points(_budgets(findings)))),
        Section("What it costs per unit", (*_units(findings),)),
        Section("What is proposed", (*_proposal(findings), *_money(findings, budgets=False))),
        Section("What it rests on", (*_evidence(findings), *_points(certainty(findings)))),
        Section("Who decides", _who(findings)),
        Section("How to check it", (Points((*_checks(), *method(findings))),)),
    ]


# -- parts -------------------------------------------------------------------------------------------------------------


def _period(findings: Findings) -> list[Section]:
    found = findings.review
    if found is None:
        return []
    days = counted(found.days, "day")
    return [
        Section(f"{days}, and the {days} before", (found.table,)),
        Section("What was promised, and what came true", (Points(tuple(found.promises)),)),
    ]


def _points(texts: Sequence[str]) -> tuple[Part, ...]:
    return (Points(tuple(texts)),) if texts else ()


def _why_in_words(findings: Findings) -> tuple[Part, ...]:
    if findings.diagnosis is None:
        return ("No call has both a time and a price, so no day can be explained.",)
    return (" ".join(document_views.sentences(findings.diagnosis)),)


def _happened(findings: Findings) -> tuple[Part, ...]:
    """The day in one sentence: the steps beside it say why."""
    found = findings.diagnosis
    if found is None:
        return _why_in_words(findings)
    ordinary = ""
    if not found["flagged"] and findings.run is None:
        ordinary = " It does not stand out."
        if found["range"] is None:
            few = found["baseline"]["days"] and "history" not in document_views.sentences(found)[0]
            ordinary = " There are too few like days to say whether it stands out." if few else ""
    return (f"{document_views.sentences(found)[0]}{ordinary}",)


def _steps(findings: Findings, most: int | None = None) -> tuple[Part, ...]:
    found = findings.diagnosis
    if found is None or not found["drivers"] or not found["baseline"]["days"]:
        return ()
    by_cause = document_views.causes(found)
    steps = document_views.steps_by_cause(found, most) if by_cause else document_views.steps_by_place(found)
    steps = [replace(step, detail="everywhere") if step.detail == "all segments" else step for step in steps]
    day = day_text(date.fromisoformat(found["day"]))
    return (Steps(f"From what was expected to what {day} cost, USD", tuple(steps)),)


def _causes(findings: Findings) -> tuple[Part, ...]:
    found = findings.diagnosis
    return (evidence_tables.causes(found),) if found is not None and document_views.causes(found) else ()


def _chosen_picture(findings: Findings) -> tuple[Part, ...]:
    return (trajectory(findings),) if findings.replay is None or findings.best is None else (lines(findings),)


def _compared(findings: Findings) -> list[Section]:
    if findings.replay is None:
        return []
    colours = strategy_tables.strategy_colours(findings.replay)
    return [
        Section("What was compared", (lines(findings), strategy_tables.comparison(findings.replay, colours))),
    ]


def _stages(entry: StrategyResult) -> Section:
    steps = document_views.savings_steps(entry)
    return Section(f"Where the savings of {entry.name} come from", (Steps("From logged, by stage, USD", tuple(steps)),))


def _proposal(findings: Findings) -> tuple[Part, ...]:
    made = findings.decision
    said = [f"'{findings.best.name}': {made.policy}"] if findings.best is not None and made.policy else []
    if made.description and made.description.strip():
        said.append(f"Its file says: {made.description.strip()}")
    return (*((" ".join(said),) if said else ()), recommendation(findings))


def _money(findings: Findings, *, budgets: bool = True) -> tuple[Part, ...]:
    """The bill by day, month and year with and without the policy; what waiting costs; budgets."""
    made, best = findings.decision, findings.best
    rows: list[tuple[str, ...]] = []
    useful = best is not None and best.priced_calls and best.dollars != "refused" and best.saved_share is not None
    if best is not None and useful:
        ends = best.per_day_range()
        logged, told = best.logged_per_day() or Decimal(0), best.per_day() or Decimal(0)
        low, high = ends if ends is not None else (told, told)
        rows.append(
            ("a day, as replayed", money(logged), in_range((told, low, high)),
             in_range((logged - told, logged - high, logged - low)))
        )  # fmt: skip
    month, proposed = made.month, made.proposed
    if month is not None:
        now = (month.expected, month.low, month.high)
        amounts = [now] if proposed is None else [now, proposed.usd, proposed.saved]
        missing = ["-"] * (3 - len(amounts))
        partial = made.forecast is not None and made.forecast.partial
        rows.append((month.title, *(rounded(one[0]) if partial else in_range(one) for one in amounts), *missing))
        rows.append(("12 such months", *(rounded(one[0] * YEAR) for one in amounts), *missing))
    parts: list[Part] = []
    if rows:
        name = f"with '{best.name}'" if best is not None and useful else "with a policy"
        titles = ("USD", "if nothing changes", name, "saved")
        kept = 4 if best is not None and useful else 2
        columns = tuple(Column(title, figure=at > 0) for at, title in enumerate(titles[:kept]))
        parts.append(Table("What it comes to, in brackets the range", columns, tuple(row[:kept] for row in rows)))
    said = [NO_YEAR] if month is not None else []
    if made.forecast is None:
        said.append("No month is forecast: the log covers no whole day with a price.")
    elif made.forecast.told and made.forecast.partial:
        said.append(f"Of what has a price: {made.forecast.summary}")
    elif not made.forecast.told:
        said.append(f"No month is forecast: {made.forecast.too_few}.")
    waiting = made.waiting()
    if waiting is not None:
        said.append(f"Each week of waiting costs {in_range(waiting)}.")
    return (*parts, *_points([*said, *(_budgets(findings) if budgets else ())]))


def _budgets(findings: Findings) -> list[str]:
    found = findings.decision.budgets
    if not found:
        return ["No budget is written down: [budget] of hindcast.toml."]
    return [f"{one.name[:1].upper()}{one.name[1:]}: {one.sentence.rstrip('.')}." for one in found]


def _units(findings: Findings) -> tuple[Part, ...]:
    units, best = findings.decision.units, findings.best
    if not units:
        return ("No dollars per unit: too few calls name a conversation, a request or a user.",)
    before = any(one.before is not None for one in units)
    proposed = any(one.proposed is not None for one in units)

    def text(value: Decimal | None) -> str:
        return "-" if value is None else money(value)

    columns = [Column("USD per")]
    columns += [Column("before", text, figure=True)] if before else []
    columns.append(Column("now", text, figure=True))
    columns += [Column(f"with '{best.name}'", text, figure=True)] if proposed and best is not None else []
    columns.append(Column("counted", lambda value: f"{value:,}", figure=True))
    rows = tuple(
        (
            one.unit,
            *((one.before,) if before else ()),
            one.now,
            *((one.proposed,) if proposed and best is not None else ()),
            one.units,
        )
        for one in units
    )
    return (Table("Dollars per unit", tuple(columns), rows),)


def _ahead(findings: Findings) -> tuple[Part, ...]:
    bill = findings.decision.forecast
    if bill is None:
        return ("The log covers no whole day with a price, so nothing can be foreseen.",)
    rows = tuple((one.title, one.spent or None, one.expected, f"{money(one.low)} to {money(one.high)}")
                 for one in bill.periods)  # fmt: skip
    columns = (
        Column("period"),
        Column("so far", lambda value: "-" if value is None else money(value), figure=True),
        Column("expected", money, figure=True),
        Column("of what has a price" if bill.partial else "four of five", figure=True),
    )
    return (Table("The bill ahead if nothing changes", columns, rows), bill.summary)


def _evidence(findings: Findings) -> tuple[Part, ...]:
    return (findings.decision.evidence,) if findings.decision.evidence else ()


def _risks(findings: Findings, most: int) -> tuple[Part, ...]:
    said = list(findings.decision.risks)
    more = len(said) - most
    return _points([*said[:most], *([f"And {more} more, in the report for engineers."] if more > 0 else [])])


def _who(findings: Findings) -> tuple[Part, ...]:
    if findings.best is None:
        return ()
    unnamed = "Nobody is named yet: owner, decision and decide_by of the strategy file say who decides what by when."
    return (findings.decision.who or unnamed,)


def _limits(findings: Findings, shown: int | None) -> Section:
    said = said_of(findings.replay.strategies) if findings.replay else []
    kept = said if shown is None else said[:shown]
    more = [f"And {len(said) - len(kept)} more, in the report for engineers."] if kept != said else []
    return Section("What the log cannot say", _points([*kept, *more]))


def said_of(strategies: Sequence[StrategyResult]) -> list[str]:
    """Each limit once, after the strategies that it holds for; alone where it holds for all that declare a stage."""
    names: dict[str, list[str]] = {}
    for entry in strategies:
        for limit in entry.limits:
            names.setdefault(limit, []).append(entry.name)
    every = sum(bool(entry.savings_pico) for entry in strategies)
    return [limit if len(of) >= every else f"{', '.join(of)}: {limit}" for limit, of in names.items()]


def _checks() -> tuple[str, ...]:
    return (
        "hindcast export focus -o costs.csv writes the same dollars as FOCUS billing data, one row per day, model and "
        "kind of token.",
        "hindcast reconcile INVOICE holds them against the provider's invoice, hindcast check against the budgets.",
    )
