"""What a decision rests on: the bill ahead with and without the policy, budgets, unit costs, evidence, risks, and who
decides. Gathered from the same functions as `hindcast forecast`, `check`, `cost --per` and `replay`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis.forecast.bill_forecast import BillForecast, Period, bill_forecast
from analysis.formatting import count, money, share, usd
from analysis.formatting import day as day_text
from analysis.gates.budgets import budget_gates
from analysis.gates.periods import DAY, begin_of
from analysis.gates.result import GateResult
from analysis.gates.settings import Settings
from analysis.reports.unit_cost import unit_costs
from ingest.errors import InputError
from ingest.store.database import Store
from replay.advice.policy_in_words import policy_in_words
from replay.engine.run import StrategyResult
from replay.strategy.schema import Strategy

CENT: Final = Decimal("0.01")
YEAR: Final = 12  # months
WHOLE: Final = 1000  # dollars, from which cents are left out of a forecast
UNITS: Final = {"conversation": "conversation", "trace": "request", "user": "user"}  # as `hindcast cost --per`
MOST_LEFT_OUT: Final = 0.1  # share of calls that name no unit, beyond which the unit says nothing
KINDS: Final = {  # of evidence on quality, for whoever knows no statistics
    "paired": "both models were scored on the same calls",
    "paired_task": "both models were scored on calls of the same tasks",
    "randomised": "each model was scored on calls that chance alone gave it",
    "propensity": "each model was scored on calls of its own, weighted by the logged chance of getting them",
    "learned": "each model was scored on calls of its own, weighted by a chance that was learned",
    "shadow": "both models were scored by one judge on a sample of the calls",
    "table": "a table that somebody wrote",
    "merged": "both models were scored on other tasks",
    "prior": "a public benchmark of other people's tasks",
    "unpaired": "each model was scored on calls that were chosen for it, which proves nothing",
}
PLAIN: Final = (  # limits of a replay as somebody says them who has never read a log
    (r"output length of (.+?) on (.+): no evidence, assumed as logged \(range used (.+)x\)",
     r"How long the answers of \1 are is assumed, not measured: from half to twice as long is in the range."),
    (r"left with the logged model: ([\d,]+ calls?), which the target does not fit \(window\)",
     r"\1 stay with today's model, because they are too long for the other one."),
    (r"left with the logged model: ([\d,]+ calls?), which the target does not fit \((.+)\)",
     r"\1 stay with today's model, because the other one does not take them (\2)."),
    (r"compression of ([\d,]+ calls?) without text is estimated from the calls with text",
     r"How much the prompts of \1 shrink is estimated from others: their text is not in the log."),
    (r"behaviour of (.+?) on (.+?): no evidence, calls and answers are taken as logged; "
     r"the range is the spread of models",
     r"How \1 behaves on \2 is not known from this log: it is taken to work as today's model does, within a range."),
    (r"([\d,]+ calls?) of the log: a retry is paid, but is not new demand, and never cached",
     r"\1 repeat a failed call; they are paid and never answered from the store of answers."),
    (r"behaviour of (.+) in place of (.+) on `(.+)`: (.+)x the calls per unit, (.+)x the input and (.+)x the output "
     r"per call, from ([\d,]+) units of its own in the log",
     r"On \3, \1 is taken to need \4 times the calls of \2, with \5 times the prompt and \6 times the answer each, as "
     r"in \7 cases of the log."),
    (r"prompt cache of (.+): the log has nothing to check its simulation against.*",
     r"What the provider's cache saves on \1 follows from its rules, unchecked by this log: a range."),
    (r"prompt cache of (.+): the log is reproduced with .+; in dollars bias (.+? %).*",
     r"Computed by the rules of the provider's cache, \1's bill comes out \2 from the one that was paid: a range."),
    (r"prompt cache of (.+): the rules foresee (.+) cached tokens where (.+) are logged; .+",
     r"The rules of the provider's cache foresee \2 cached tokens of \1, and \3 are logged: it is corrected for."),
)  # fmt: skip


@dataclass(frozen=True)
class Proposed:
    """A period of the forecast with the policy, and what it saves there: (middle, low, high) in dollars."""

    period: Period
    usd: tuple[Decimal, Decimal, Decimal]
    saved: tuple[Decimal, Decimal, Decimal]


@dataclass(frozen=True)
class UnitCost:
    """Dollars per unit, as `hindcast cost --per`: before the level, on it (the days replayed), and with the policy."""

    unit: str
    before: Decimal | None
    now: Decimal
    proposed: Decimal | None
    units: int


@dataclass(frozen=True)
class Decision:
    """What whoever pays is asked, and what it rests on. Parts that the log cannot tell are empty or None."""

    policy: str = ""
    description: str = ""
    forecast: BillForecast | None = None
    proposed: Proposed | None = None
    budgets: tuple[GateResult, ...] = ()
    units: tuple[UnitCost, ...] = ()
    evidence: str = ""
    risks: tuple[str, ...] = ()
    who: str = ""

    @property
    def month(self) -> Period | None:
        """The next month if nothing changes; None where the log has too few days to forecast from."""
        return self.forecast.period("next_month") if self.forecast is not None and self.forecast.told else None

    def waiting(self) -> tuple[Decimal, Decimal, Decimal] | None:
        """What a week of waiting costs: the saving of seven days of the next month. None below a cent."""
        if self.proposed is None or self.proposed.saved[0] <= 0:
            return None
        days = (self.proposed.period.last - self.proposed.period.first).days + 1
        mid, low, high = ((amount * 7 / days).quantize(CENT) for amount in self.proposed.saved)
        return (mid, low, high) if mid else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings, days as ISO dates."""
        waiting = self.waiting()
        return {
            "policy": self.policy,
            "description": self.description,
            "forecast": None if self.forecast is None else [one.to_json() for one in self.forecast.periods],
            "with_policy": None
            if self.proposed is None
            else {
                "period": self.proposed.period.name,
                **_three("usd", self.proposed.usd),
                **_three("saved", self.proposed.saved),
                "saved_per_12_such_months": usd(self.proposed.saved[0] * YEAR),
                **(_three("week_of_waiting", waiting) if waiting else {}),
            },
            "budgets": [one.to_json() for one in self.budgets],
            "unit_costs": [
                {
                    "unit": one.unit,
                    "before_usd": usd(one.before),
                    "now_usd": usd(one.now),
                    "with_policy_usd": usd(one.proposed),
                    "units": one.units,
                }
                for one in self.units
            ],
            "evidence": self.evidence,
            "risks": list(self.risks),
            "who_decides": self.who,
        }


def decide(
    store: Store,
    settings: Settings,
    best: StrategyResult | None,
    strategy: Strategy | None,
    *,
    calls: int,
    window: tuple[date | None, date | None],
    before: Sequence[date],
    newest: date | None,
) -> Decision:
    """Everything of a decision. `window`: the days replayed; `before`: the whole days of the level before; `newest`:
    the newest day of the log."""
    try:
        ahead: BillForecast | None = bill_forecast(store)
    except InputError:  # no whole day has a price: the report says so by its counts
        ahead = None
    useful = best if best is not None and best.priced_calls and best.dollars != "refused" else None
    at = begin_of(newest + DAY) - timedelta(microseconds=1) if newest else None
    return Decision(
        policy=policy_in_words(strategy) if strategy else "",
        description=(strategy.description or "") if strategy else "",
        forecast=ahead,
        proposed=_proposed(ahead, useful) if ahead is not None and ahead.told and useful else None,
        budgets=_budgets(store, settings, at),
        units=tuple(_units(store, useful, window, before)),
        evidence=evidence_in_words(best, calls) if best else "",
        risks=tuple(risks(best, ahead)) if best else (),
        who=who_decides(strategy) if strategy else "",
    )


def _budgets(store: Store, settings: Settings, at: datetime | None) -> tuple[GateResult, ...]:
    return tuple(budget_gates(store, settings, at)) if at is not None else ()


def _proposed(ahead: BillForecast, best: StrategyResult) -> Proposed | None:
    if not best.baseline_pico:
        return None
    month = ahead.period("next_month")
    mid, low, high = (Decimal(one) / best.baseline_pico for one in (best.cost_pico, best.low_pico, best.high_pico))
    cost = (month.expected * mid, month.low * low, month.high * high)
    saved = sorted((month.low * (1 - high), month.high * (1 - low), month.low * (1 - low), month.high * (1 - high)))
    return Proposed(month, _cents(cost), _cents((month.expected - cost[0], saved[0], saved[-1])))


def _units(
    store: Store, best: StrategyResult | None, window: tuple[date | None, date | None], before: Sequence[date]
) -> list[UnitCost]:
    found = []
    for per, unit in UNITS.items():
        now = unit_costs(store, per, since=window[0], until=window[1]).total
        each, calls = now["usd_per_unit"], now["calls"]
        if each is None or not calls or now["left_out_calls"] / calls > MOST_LEFT_OUT:
            continue
        then = unit_costs(store, per, since=before[0], until=before[-1]).total["usd_per_unit"] if before else None
        with_policy = None
        if best is not None and best.baseline_pico:
            with_policy = Decimal(each) * best.cost_pico / best.baseline_pico
        found.append(UnitCost(unit, then, each, with_policy, now["units"]))
    outcome = best.usd_per_outcome() if best is not None else (None, None, None)
    if outcome[0] is not None and outcome[2] is not None:
        mid, logged = (Decimal(repr(round(amount, 12))) for amount in (outcome[0], outcome[2]))
        found.append(UnitCost("good answer", None, logged, mid, round(best.quality["units"]) if best else 0))
    return found


def evidence_in_words(best: StrategyResult, calls: int) -> str:
    """How much evidence carries the quality claim, and of what kind."""
    quality = best.quality
    if quality["verdict"] == "no effect":
        return "The policy changes no call of these days, so the answers stay as they are."
    moved = sum(cell["share"] for cell in quality["cells"] if cell["evidence"] != "kept")
    said = [f"{share(moved)} of the calls would be answered by another model or otherwise than today."]
    if not moved:
        said = ["Every call keeps its model and its content, so the answers stay as they are."]
    scored, unknown = quality["scored_calls"], quality["unknown_share"]
    of = f"{scored:,} of the log's {count(calls, 'call')} ({share(scored / calls if calls else None)})"
    if moved and not scored:
        said.append(f"None of the log's {count(calls, 'call')} has a score of its answer.")
    elif moved and quality["evidence"] == "none":
        said.append(f"Scores stand at {of}, but say nothing of how other models would answer at least some of them.")
    elif moved:
        kind = KINDS.get(quality["evidence"], quality["evidence"])
        said.append(f"What is said of their quality rests on the scores of {of}; at its weakest, {kind}.")
    if unknown:
        said.append(f"Nothing is known of {share(unknown)} of the calls.")
    if quality["mean_ratio"] is not None and quality["lower_90"] is not None and moved:
        said.append(
            f"By these scores the answers keep {share(quality['mean_ratio'])} of today's quality, and at least "
            f"{share(quality['lower_90'])} with 90 % confidence; {share(quality['floor'])} is asked for."
        )
    return " ".join(said)


def risks(best: StrategyResult, ahead: BillForecast | None) -> list[str]:
    """What could go wrong, in plain words, the gravest first."""
    said = []
    if best.quality["verdict"] == "unknown":
        said.append("The answers may get worse: too few are scored to say. Score a sample before adopting it.")
    if best.quality["verdict"] == "fails":
        said.append("The answers get worse than the floor allows.")
    if best.dollars == "range":
        said.append("The log does not bear out one figure of the cost, only a range.")
    said += [plain(limit) for limit in best.limits]
    if ahead is not None:
        said.append("A launch, a new level or a price that nobody has announced would change the month.")
    return list(dict.fromkeys(said))


def plain(limit: str) -> str:
    """A limit of a replay in plain words, as a sentence."""
    for pattern, words in PLAIN:
        if re.fullmatch(pattern, limit):
            return re.sub(pattern, words, limit)
    return f"{limit[:1].upper()}{limit[1:]}{'' if limit.endswith('.') else '.'}"


def who_decides(strategy: Strategy) -> str:
    """Who decides what by when, from the strategy file."""
    owner, what, by = strategy.owner, strategy.decision, strategy.decide_by
    if not (owner or what or by):
        return ""
    until = f" by {day_text(by)} {by.year}" if by else ""
    named = f"{owner}{',' if owner and ',' in owner else ''}" if owner else "Nobody is named who"
    return f"{named} decides{until}" + (f": {what.rstrip('.')}." if what else ".")


def _three(name: str, amounts: tuple[Decimal, Decimal, Decimal]) -> Mapping[str, str | None]:
    return {f"{name}": usd(amounts[0]), f"{name}_low": usd(amounts[1]), f"{name}_high": usd(amounts[2])}


def _cents(amounts: tuple[Decimal, Decimal, Decimal]) -> tuple[Decimal, Decimal, Decimal]:
    mid, low, high = (amount.quantize(CENT) for amount in amounts)
    return mid, low, high


def in_range(amounts: tuple[Decimal, Decimal, Decimal]) -> str:
    """`$1,234.50 ($1,000.00 to $1,500.00)`."""
    mid, low, high = map(rounded, amounts)
    return f"{mid} ({low} to {high})" if low != high else mid


def rounded(amount: Decimal) -> str:
    """Dollars without cents from a thousand up: a forecast does not know them."""
    return f"{'-' if amount < 0 else ''}${abs(amount):,.0f}" if abs(amount) >= WHOLE else money(amount)
