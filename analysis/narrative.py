"""A diagnosis in words: the answer in a sentence, and each driver's before and after as a person would say it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import present
from analysis.drivers import Driver
from analysis.factors import NEW_SEGMENT, VANISHED_SEGMENT, States
from analysis.leaves import Comparison

if TYPE_CHECKING:
    from analysis.findings import Diagnosis, Line

WHAT = {
    "volume": "volume",
    "calls_per_request": "calls per request",
    "model_mix": "model mix",
    "input_tokens": "input tokens per call",
    "cache_read_share": "share read from cache",
    "cache_write_share": "share written to cache",
    "output_tokens": "output tokens per call",
    "reasoning_tokens": "reasoning tokens per call",
    "batch_share": "share at batch tier",
    "price": "price",
    "other": "fees, audio, images",
    "new_segment": "new",
    "vanished_segment": "gone",
}


# causes that say more than their factor does
SPECIFIC = (
    "loop",
    "retry_storm",
    "duplicate_calls",
    "user_surge",
    "long_session",
    "context_accumulation",
    "tool_bloat",
)


def values(compared: Comparison, state: States, driver: Driver) -> tuple[float | None, float | None, str, str | None]:
    """The factor's value before and after in the driver's segment, its unit, and what moved inside it."""
    k, factor = driver.segment, driver.factor
    cells = compared.cells
    mine = cells.within(k)
    calls = [cells.of(side, "calls")[mine] for side in (0, 1)]
    if factor in (NEW_SEGMENT, VANISHED_SEGMENT):
        return float(calls[0].sum()), float(calls[1].sum()), "calls", None
    if factor == "volume":
        return float(state.requests[0, k]), float(state.requests[1, k]), compared.unit[k], None
    if factor == "calls_per_request":
        before, after = (float(v) for v in state.calls_per_request[:, k])
        return before, after, f"calls per {compared.unit[k].rstrip('s')}", None
    if factor in ("model_mix", "batch_share"):
        key = cells.model[mine] if factor == "model_mix" else cells.tier[mine]
        shares = [_shares(key, side) for side in calls]
        top = max(shares[1], key=lambda name: (shares[1][name] - shares[0][name], -name))
        label = compared.models[top] if factor == "model_mix" else compared.tiers[top]
        return shares[0][top], shares[1][top], "share of calls", label or "(no model)"
    if factor == "price":
        rates = [_unit_price(compared, mine, side) for side in (0, 1)]
        return rates[0], rates[1], "usd per million tokens", None
    return _measure(compared, mine, 0, factor), _measure(compared, mine, 1, factor), _unit(factor), None


def _shares(key: Any, calls: Any) -> dict[int, float]:
    total = calls.sum()
    return {int(name): float(calls[key == name].sum() / total) if total else 0.0 for name in np.unique(key)}


def _unit(factor: str) -> str:
    if factor in ("cache_read_share", "cache_write_share"):
        return "share of input tokens"
    return "usd per call" if factor == "other" else "tokens per call"


def _measure(compared: Comparison, mine: Any, side: int, factor: str) -> float | None:
    cells = compared.cells

    def total(*names: str) -> float:
        return float(sum(cells.of(side, name)[mine].sum() for name in names))

    top, bottom = {
        "input_tokens": (("uncached", "read", "write"), ("calls",)),
        "cache_read_share": (("read",), ("uncached", "read", "write")),
        "cache_write_share": (("write",), ("uncached", "read", "write")),
        "output_tokens": (("output",), ("calls",)),
        "reasoning_tokens": (("reasoning",), ("calls",)),
        "other": (("other_usd",), ("calls",)),
    }[factor]
    amount, base = total(*top) / (1e12 if factor == "other" else 1), total(*bottom)
    return amount / base if base else None


def _unit_price(compared: Comparison, mine: Any, side: int) -> float | None:
    cells = compared.cells
    usd = sum(cells.of(side, f"{n}_usd")[mine].sum() for n in ("uncached", "read", "write", "output", "reasoning"))
    tokens = sum(cells.of(side, n)[mine].sum() for n in ("uncached", "read", "write", "output", "reasoning"))
    return float(usd / tokens / 1e6) if tokens else None


def place(segment: dict[str, str | None]) -> str:
    """`drafting_agent / draft`; a dimension that the log does not tell reads `-`."""
    parts = [value if value is not None else "-" for value in segment.values()]
    while len(parts) > 1 and parts[-1] == "-":
        parts.pop()
    return " / ".join(parts) or "all calls"


def amount(diagnosis: Diagnosis, value: Decimal | None, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    if diagnosis.metric == "cost":
        return present.money(value, sign=sign)
    text = present.tokens(int(value))
    return f"+{text}" if sign and value > 0 else text


def figure(value: float | None, unit: str) -> str:
    """A factor's value, in as few digits as tell it apart."""
    if value is None:
        return "-"
    if unit.startswith("share"):
        return present.share(value)
    if unit.startswith("usd"):
        return present.money(Decimal(repr(value)))
    if unit.startswith("calls per"):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,.1f}" if 0 < abs(value) < 10 and value != int(value) else present.tokens(round(value))


def change(line: Line) -> str:
    return f"{figure(line.before, line.unit)} -> {figure(line.after, line.unit)}"


def summary(diagnosis: Diagnosis) -> list[str]:
    """Two sentences: how much against what was expected, and what most of it is."""
    d = diagnosis
    noun = {"cost": "cost", "calls": "had", "tokens": "used"}[d.metric]
    things = {"cost": "", "calls": " calls", "tokens": " tokens"}[d.metric]
    within = f" (range {_whole(d, d.low)}-{_whole(d, d.high)})" if d.low is not None else ""
    basis = ""
    if d.baseline.kind == "low_history":
        n = len(d.baseline.weights)
        basis = f" (mean of {n} earlier {'day' if n == 1 else 'days'}; not enough history for a range)"
    elif d.baseline.kind == "none":
        basis = " (no earlier day to compare with)"
    elif d.baseline.kind == "range":
        basis = f" (mean of {len(d.baseline.weights)} days of {d.baseline.days[0]}..{d.baseline.days[-1]})"
    head = (
        f"{present.day(d.day)} {noun} {amount(d, d.actual)}{things}, expected {amount(d, d.expected)}"
        f"{basis or within}: {amount(d, d.delta, sign=True)} in one day."
    )
    return [head, *_reason(d)]


def _whole(d: Diagnosis, value: Decimal | None) -> str:
    if value is None:
        return "-"
    return f"${value:,.0f}" if d.metric == "cost" and abs(value) >= 10 else amount(d, value)


def _reason(d: Diagnosis) -> list[str]:
    if not d.drivers or not d.delta:
        return ["Nothing moved."] if not d.delta else []
    began = [f"It began on {present.day(d.onset)}."] if d.onset and d.onset != d.day else []
    found = next((f for f in d.causes if f.cause.surprising and (f.delta > 0) == (d.delta > 0)), None)
    if found is None:
        top = next((line for line in d.drivers if (line.delta > 0) == (d.delta > 0)), d.drivers[0])
        calm = "Nothing in it is beyond the ordinary from day to day; the largest part is"
        return [f"{calm} {place(top.segment)}: {sentence(top)}.", *began]
    inside = [(e.segment, e.factor) for e in found.cause.effects]
    top = next(line for line in d.drivers if (line.segment, line.factor) in inside)
    whole = 0 < (found.share or 0) <= 1
    lead = f"{100 * (found.share or 0):.0f} % of it is" if whole else f"{amount(d, found.delta, sign=True)} is"
    where, told = places(found.cause.segments), f": {'; '.join(found.cause.evidence)}" if found.cause.evidence else ""
    if len(inside) == 1 and found.cause.cause not in SPECIFIC:
        answer = f"{lead} {place(top.segment)}: {sentence(top)}."
    else:
        answer = f"{lead} {found.cause.kind.title} in {where}{told}."
    largest = next((line for line in d.drivers if (line.delta > 0) == (d.delta > 0)), None)
    if (
        largest
        and (largest.segment, largest.factor) not in inside
        and largest.delta * 2 > d.delta > found.delta * 2 > 0
    ):
        answer += (
            f" The largest part, {amount(d, largest.delta, sign=True)}, is {place(largest.segment)}: "
            f"{sentence(largest)}, which its days before make no news."
        )
    against = next((f for f in d.causes if (f.delta > 0) != (d.delta > 0)), None)
    if not whole and against:
        answer += f" Against it, {amount(d, against.delta, sign=True)}: {against.cause.kind.title}."
    return [answer, *began]


def places(segments: list[dict[str, str | None]]) -> str:
    """Where a cause is: `drafting_agent`, `Programmer and Code Reviewer`, `all segments`."""
    return " and ".join(place(segment) if segment else "all segments" for segment in segments) or "all segments"


def cause_rows(diagnosis: Diagnosis, limit: int) -> list[list[str]]:
    """The causes as text: amount, what, where, fix, what undoing it saves."""
    found = [f for f in diagnosis.causes if f.cause.surprising][:limit]
    return [
        [
            _signed(diagnosis, f.delta), f.cause.kind.title, places(f.cause.segments), f.cause.kind.fix,
            f"{amount(diagnosis, f.undo_saves)}/day" if f.undo_saves > 0 else "-",
        ]
        for f in found
    ]  # fmt: skip


def sentence(line: Line) -> str:
    """What the factor did, as a clause."""
    before, after = figure(line.before, line.unit), figure(line.after, line.unit)
    thing = line.unit.rstrip("s") if line.unit != "calls" else "call"
    clauses = {
        "volume": f"{after} {line.unit} instead of {before}",
        "calls_per_request": f"each {line.unit.removeprefix('calls per ')} now makes {after} calls instead of {before}",
        "model_mix": f"{after} of its calls go to {line.detail} instead of {before}",
        "input_tokens": f"each call reads {after} tokens instead of {before}",
        "cache_read_share": f"{after} of its input comes from the provider's cache instead of {before}",
        "cache_write_share": f"{after} of its input is written to the provider's cache instead of {before}",
        "output_tokens": f"each call writes {after} tokens instead of {before}",
        "reasoning_tokens": f"each call spends {after} reasoning tokens instead of {before}",
        "batch_share": f"{after} of its calls run at the tier {line.detail} instead of {before}",
        "price": f"a million tokens cost {after} instead of {before}",
        "other": f"fees, audio and images cost {after} per {thing} instead of {before}",
        "new_segment": f"new, {after} calls",
        "vanished_segment": f"gone, {before} calls before",
    }
    return clauses[line.factor]


def rows(diagnosis: Diagnosis, limit: int) -> tuple[list[list[str]], int]:
    """The driver table as text, its amounts rounded to cents so that they sum to the total shown; and how many
    drivers the line of smaller ones holds."""
    from analysis.drivers import round_to

    d = diagnosis
    per = 100 if d.metric == "cost" and abs(d.delta) >= 1 else 10**12 if d.metric == "cost" else 1
    shown, rest = d.drivers[:limit], d.drivers[limit:]
    parts = [line.delta for line in shown] + [sum((line.delta for line in rest), Decimal(0)), d.residual]
    whole = round_to([float(part * per) for part in parts], round(d.delta * per))
    cents = [Decimal(value) / per for value in whole]
    found = []
    for line, value in zip(shown, cents, strict=False):
        saves = "-" if line.undo_saves is None else f"{amount(d, line.undo_saves)}/day"
        what = WHAT[line.factor] + (f": {line.detail}" if line.detail else "")
        found.append([present.share(line.share), _signed(d, value), place(line.segment), what, change(line), saves])
    if rest:
        share = float(parts[-2] / d.delta) if d.delta else None
        found.append([present.share(share), _signed(d, cents[-2]), f"{len(rest)} smaller drivers (--all)", "", "", ""])
    if d.residual:
        share = float(d.residual / d.delta) if d.delta else None
        found.append([present.share(share), _signed(d, cents[-1]), "no price on one side", "", "", ""])
    zero = amount(d, d.residual) if d.residual else ("$0.00" if d.metric == "cost" else "0")
    total = _signed(d, Decimal(sum(whole)) / per)
    whole_share = present.share(1.0 if d.delta else None)
    found.append([whole_share, total, "sums to the change", f"{zero} unexplained", "", ""])
    return found, len(rest)


def _signed(d: Diagnosis, value: Decimal) -> str:
    return amount(d, value, sign=True).replace("$", "") if d.metric == "cost" else amount(d, value, sign=True)


def next_step(diagnosis: Diagnosis) -> str:
    """The commands that show the calls behind the first driver."""
    d = diagnosis
    filters = ""
    if d.drivers:
        for name, value in d.drivers[0].segment.items():
            if value is not None:
                quoted = value if value.replace("_", "").replace("-", "").isalnum() else f"'{value}'"
                filters += f" --{name} {quoted}"
    return f"Evidence: hindcast calls{filters} --day {d.day}   ·   Try: hindcast replay sample_logs/strategies/*.yaml"
