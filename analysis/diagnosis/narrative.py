"""A diagnosis in words: the answer in a sentence, and each driver's before and after as a person would say it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from analysis import formatting
from analysis.attribution.factors import VANISHED_SEGMENT
from analysis.causes import drilldown
from analysis.diagnosis.result import CauseEstimate, Diagnosis, DriverLine

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


LOST = 0.1  # of a day's calls, by which those without a price differ from before, to be said with the answer
CANCELLED = 5.0  # of the change, beyond which shares say nothing
CROSSED = 1.5  # of the change, that a single part comes to where parts run against each other

# titles that a sentence needs in other words
_AS_NOUN = {
    "loop": "a loop",
    "new agent or feature": "a new agent or feature",
    "conversations carry more history": "conversations that carry more history",
    "prompt cache no longer hits": "a prompt cache that no longer hits",
    "prompt cache hits more often": "a prompt cache that hits more often",
    "the beginning of the prompts changes": "prompts whose beginning changes",
    "calls side by side begin before one has cached their prompt": "calls side by side that begin before one has "
    "cached their prompt",
    "more conversations begin uncached": "more conversations that begin uncached",
    "pauses outlast the prompt cache": "pauses that outlast the prompt cache",
    "prompts are cached for a shorter time": "prompts that are cached for a shorter time",
    "conversations change their model": "conversations that change their model",
    "price change": "a price change",
    "work left the batch tier": "work that left the batch tier",
    "no longer in the log": "what is no longer in the log",
    "the same name, another model": "a model's name that another model answers",
    "all its calls fail": "what fails whenever it is called",
    "another name, as it seems": "what has another name, as it seems,",
}

MOST_PLACES: Final = 3  # that are named in a sentence
# causes that say more than their factor does
SPECIFIC = (
    "loop",
    "retry_storm",
    "duplicate_calls",
    "user_surge",
    "long_session",
    "context_accumulation",
    "tool_bloat",
    "prefix_changed",
    "cold_fan_out",
    "cold_starts",
    "cache_expired",
    "cache_life_changed",
    "model_changes",
    "renamed",
    "failing",
    "runs_again",
    "alias_moved",
)


def place(segment: dict[str, str | None]) -> str:
    """`drafting_agent / draft`: the values of a segment's dimensions in the order of the segment.

    A value that the log does not tell reads `(none)`, as in every report; at the end of several it is left out.
    """
    values = list(segment.values())
    while len(values) > 1 and values[-1] is None:
        values.pop()
    return " / ".join(formatting.named(value) for value in values) or "all calls"


def amount(diagnosis: Diagnosis, value: Decimal | None, *, sign: bool = False) -> str:
    """An amount in the unit of the metric; `-` for None."""
    if value is None:
        return "-"
    if diagnosis.metric == "cost":
        return formatting.money(value, sign=sign)
    text = formatting.tokens(int(value))
    return f"+{text}" if sign and value > 0 else text


def figure(value: float | None, unit: str) -> str:
    """A factor's value, in as few digits as tell it apart."""
    if value is None:
        return "-"
    if unit.startswith("share"):
        return formatting.share(value)
    if unit.startswith("usd"):
        return formatting.money(Decimal(repr(value)))
    if unit.startswith("calls per"):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,.1f}" if 0 < abs(value) < 10 and value != int(value) else formatting.tokens(round(value))


def pair(line: DriverLine) -> tuple[str, str]:
    """The factor's value before and after, in as many digits as it takes to tell them apart."""
    before, after = figure(line.before, line.unit), figure(line.after, line.unit)
    if before == after and line.before is not None and line.after is not None and line.before != line.after:
        for digits in (1, 2, 3):
            if line.unit.startswith("share"):
                texts = [f"{100 * value:.{digits + 1}f} %" for value in (line.before, line.after)]
            else:
                texts = [f"{value:,.{digits}f}" for value in (line.before, line.after)]
            if texts[0] != texts[1]:
                return texts[0], texts[1]
    return before, after


def what(line: DriverLine) -> str:
    """The factor of a driver, with the model, tier or price that it is about: `model mix: gpt-4-turbo`."""
    name = WHAT.get(line.factor, line.factor)
    return f"{name}: {line.detail}" if line.detail else name


def change(line: DriverLine) -> str:
    """The factor's value before and after, as `38.0 % -> 41.2 %`."""
    return " -> ".join(pair(line))


def summary(diagnosis: Diagnosis) -> list[str]:
    """How much against what was expected, what most of it is, and what the figures do not hold."""
    d = diagnosis
    noun = {"cost": "cost", "calls": "had", "tokens": "used"}[d.metric]
    things = {"cost": "", "calls": " calls", "tokens": " tokens"}[d.metric]
    by = f" by {d.until:%H:%M}" if d.until else ""
    year = f" {d.day.year}" if d.day.year != d.last_day.year else ""
    head = f"{formatting.day(d.day)}{year} {noun} {amount(d, d.actual)}{things}{by}"
    if d.baseline.kind == "none":
        return [f"{head}; there is no earlier day to compare it with.", *not_judged(d), *_reason(d), *_without_price(d)]
    within = f" (range {_whole(d, d.low)}-{_whole(d, d.high)})" if d.low is not None else ""
    if d.baseline.kind == "low_history":
        n = len(d.baseline.weights)
        within = f" (mean of {formatting.count(n, 'earlier day')}; not enough history for a range)"
    elif d.baseline.kind == "range":
        n = len(d.baseline.weights)
        within = f" (mean of {formatting.count(n, 'day')} of {d.baseline.days[0]}..{d.baseline.days[-1]})"
    then = " by then" if d.until else ""
    delta = f"{amount(d, d.delta, sign=True)} {'so far' if d.until else 'in one day'}" if d.delta else "no change"
    more = ", more than a whole day's range" if d.exceeds_whole_day else ""
    return [
        f"{head}, expected {amount(d, d.expected)}{then}{within}: {delta}{more}.",
        *not_judged(d), *_suspect(d), *_reason(d), *_without_price(d),
    ]  # fmt: skip


def not_judged(d: Diagnosis) -> list[str]:
    """The log's newest days, where they cannot be judged: too little of the day, or hardly a call with a price."""
    said = []
    if d.unjudged:
        days = sorted(d.unjudged)
        lost, calls = (sum(counts[i] for counts in d.unjudged.values()) for i in (0, 1))
        which = formatting.day(days[0]) if len(days) == 1 else f"{formatting.count(len(days), 'later day')}"
        said.append(f"{which} cannot be judged: {_of(lost, calls - lost)} calls have no price.")
    if d.left_out is not None:
        begun = d.left_out
        much = ""
        if begun.so_far > begun.most > 0:
            things = {"cost": "", "calls": " calls", "tokens": " tokens"}[d.metric]
            much = (
                f" and already comes to {amount(d, begun.so_far)}{things}, more than any day before it"
                f" ({amount(d, begun.most)})"
            )
        said.append(f"{formatting.day(begun.day)} has begun{much}; it is too early to judge it.")
    return said


def run_in_words(run: Mapping[str, Any]) -> str:
    """A run of flagged days of the document, with its year and how long ago it ended before the newest day judged."""
    first, last = date.fromisoformat(run["first"]), date.fromisoformat(run["last"])
    usd, usual = (formatting.money(Decimal(repr(run[name]))) for name in ("actual", "expected"))
    when = f"{formatting.day(first)} {first.year}"
    ago = f", {formatting.count(run['days_ago'], 'day')} earlier" if run["days_ago"] else ""
    if run["kind"] == "day":
        return f"{when} alone{ago}: {usd}, expected {usual}."
    if run["kind"] == "level":
        return f"A new level from {when} on: {usd} that day, expected {usual}."
    return f"{when} to {formatting.day(last)}{ago}: {usd} on the first of {run['days']} days, expected {usual}."


def _suspect(d: Diagnosis) -> list[str]:
    """What was done shortly before a flagged change: the first thing that anyone would ask."""
    if not d.flagged or not d.annotations:
        return []
    last, *others = d.annotations
    more = f", and {formatting.count(len(others), 'mark')} before it" if others else ""
    return [f"First suspect: {last.text}, {formatting.day(last.time.date())} at {last.time:%H:%M} UTC{more}."]


def _without_price(d: Diagnosis) -> list[str]:
    """A warning where calls without a price may be what the change is made of, and a word on calls that failed."""
    (now, before), said = d.unpriced, []
    failed = [n / (n + rest) if n + rest else 0.0 for n, rest in zip(d.failed, d.priced, strict=True)]
    if d.metric == "cost" and failed[0] - failed[1] >= LOST:
        said.append(
            f"{_of(d.failed[0], now + d.priced[0])} calls of the day failed and name no usage, against "
            f"{_of(d.failed[1], before + d.priced[1])} a day before: they are in no figure."
        )
    shares = [n / (n + priced) if n + priced else 0.0 for n, priced in zip((now, before), d.priced, strict=True)]
    if d.metric != "cost" or abs(shares[0] - shares[1]) < LOST:
        return said
    day, usual = _of(now, d.priced[0]), _of(before, d.priced[1])
    told = f"{day} calls of the day have no price, against {usual} a day before"
    if shares[0] < shares[1]:
        told = f"{usual} calls a day before had no price, against {day} now"
    return [*said, f"But {told}: what they cost is in no figure, and part of the change may be theirs."]


def _of(part: float, rest: float) -> str:
    return f"{part:,.0f} of {part + rest:,.0f}"


def _whole(d: Diagnosis, value: Decimal | None) -> str:
    if value is None:
        return "-"
    return f"${value:,.0f}" if d.metric == "cost" and abs(value) >= 10 else amount(d, value)


def _reason(d: Diagnosis) -> list[str]:
    if not d.drivers or not d.delta:
        return []
    began = [f"It began on {formatting.day(d.onset)}."] if d.onset and d.onset != d.day else []
    found = next((f for f in d.causes if f.cause.surprising and (f.delta > 0) == (d.delta > 0)), None)
    largest = next((line for line in d.drivers if (line.delta > 0) == (d.delta > 0)), d.drivers[0])
    everywhere = _everywhere(d) if abs(largest.delta) * 2 <= abs(d.delta) else None
    if found is None:
        if everywhere:
            told = f"{_cause(everywhere)}, {amount(d, everywhere.delta, sign=True)}"
        else:
            told = f"{place(largest.segment)}: {sentence(largest)}"
        return [f"{_unremarkable(d)} {told}.", *began]
    inside = [(e.segment, e.factor) for e in found.cause.effects]
    top = next(line for line in d.drivers if (line.segment, line.factor) in inside)
    whole = 0 < (found.share or 0) <= 1
    lead = f"{100 * (found.share or 0):.0f} % of it is" if whole else f"{amount(d, found.delta, sign=True)} is"
    # what is worth more than the whole day is worth it only beside what runs against it
    beyond = d.delta > 0 and found.delta > d.actual and 0 < found.undo_saves < d.actual
    if beyond:
        lead = "What stands out is"
    where, told = places(found.cause.segments), f": {'; '.join(found.cause.evidence)}" if found.cause.evidence else ""
    if len(inside) == 1 and found.cause.cause not in SPECIFIC:
        answer = f"{lead} {place(top.segment)}: {sentence(top)}."
    else:
        answer = f"{lead} {as_noun(found.cause.title)} in {where}{told}."
    more = [one for one in found.inside if one.value not in answer]
    if more:
        answer += f" Where it sits: {drilldown.sits(more)}."
    if beyond:
        answer += f" Without it alone the day would have come to {amount(d, d.actual - found.undo_saves)}."
    if d.delta > found.delta * 2 > 0:
        usual = "" if d.verdict == "not_enough_history" else ", which by itself is within the ordinary"
        if everywhere and everywhere is not found:
            part, told = everywhere.delta, _cause(everywhere)
        elif largest.delta * 2 > d.delta and (largest.segment, largest.factor) not in inside:
            part, told = largest.delta, f"{place(largest.segment)}: {sentence(largest)}"
        else:
            part, told = None, ""
        if part is not None:
            answer += f" The largest part, {amount(d, part, sign=True)}, is {told}{usual}."
    against = next((f for f in d.causes if (f.delta > 0) != (d.delta > 0)), None)
    if not whole and against:
        size = "" if beyond else f", {amount(d, against.delta, sign=True)}"
        answer += f" Against it{size}: {against.cause.title}."
    return [answer, *began]


def _everywhere(d: Diagnosis) -> CauseEstimate | None:
    """The cause of several drivers that carries more than half of the change; None where none does."""
    several = [f for f in d.causes if len(f.cause.effects) > 1 and f.cause.cause != "smaller"]
    most = max(several, key=lambda f: f.delta if d.delta > 0 else -f.delta, default=None)
    return (
        most if most is not None and (most.delta > 0) == (d.delta > 0) and 2 * abs(most.delta) > abs(d.delta) else None
    )


def _cause(found: CauseEstimate) -> str:
    return f"{as_noun(found.cause.title)} in {places(found.cause.segments)}"


def _unremarkable(d: Diagnosis) -> str:
    """What can be said where no cause stands out."""
    if d.baseline.kind == "none":
        return "The largest part is"
    if d.verdict == "not_enough_history":
        return "There is too little history to say what is out of the ordinary; the largest part is"
    if d.flagged:
        return "The day is out of the ordinary, but no part of it by itself; the largest is"
    return "Nothing in it is beyond the ordinary from day to day; the largest part is"


def as_noun(title: str) -> str:
    """A cause's title as the end of a sentence: `a loop`."""
    return _AS_NOUN.get(title, title)


def places(segments: list[dict[str, str | None]]) -> str:
    """Where a cause is: `drafting_agent`, `Programmer and Code Reviewer`, `a, b and 4 more`, `all segments`."""
    named = [place(segment) if segment else "all segments" for segment in segments] or ["all segments"]
    if len(named) > MOST_PLACES:
        return f"{', '.join(named[: MOST_PLACES - 1])} and {len(named) - MOST_PLACES + 1} more"
    return " and ".join(named)


def cause_rows(diagnosis: Diagnosis, limit: int) -> list[list[str]]:
    """The causes as text: amount, what, where, fix, what undoing it saves."""
    found = [f for f in diagnosis.causes if f.cause.surprising][:limit]
    return [
        [
            _signed(diagnosis, f.delta), f.cause.title, places(f.cause.segments), f.cause.fix,
            f"{amount(diagnosis, f.undo_saves)}/day" if f.undo_saves > 0 else "-",
        ]
        for f in found
    ]  # fmt: skip


def sentence(line: DriverLine) -> str:
    """What the factor did, as a clause."""
    before, after = pair(line)
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


def rows(diagnosis: Diagnosis, limit: int) -> list[list[str]]:
    """The driver table as text, its amounts rounded to cents so that they sum to the total shown; drivers beyond the
    limit share a line. Where parts cancel nearly all of each other, they have no share."""
    from analysis.attribution.shapley_drivers import round_to

    d = diagnosis
    per = 100 if d.metric == "cost" and abs(d.delta) >= 1 else 10**12 if d.metric == "cost" else 1
    shown, rest = d.drivers[:limit], d.drivers[limit:]
    parts = [line.delta for line in shown] + [sum((line.delta for line in rest), Decimal(0)), d.residual]
    whole = round_to([float(part * per) for part in parts], round(d.delta * per))
    cents = [Decimal(value) / per for value in whole]
    cancelled = max((abs(line.share or 0.0) for line in d.drivers), default=0.0) > CANCELLED
    part = (lambda _: "-") if cancelled else formatting.share
    found = []
    for line, value in zip(shown, cents, strict=False):
        saves = f"{amount(d, line.undo_saves)}/day" if line.undo_saves is not None and line.undo_saves > 0 else "-"
        found.append([part(line.share), _signed(d, value), place(line.segment), what(line), change(line), saves])
    if rest:
        share = float(parts[-2] / d.delta) if d.delta else None
        found.append([part(share), _signed(d, cents[-2]), f"{len(rest)} smaller drivers (--all)", "", "", ""])
    if d.residual:
        share = float(d.residual / d.delta) if d.delta else None
        found.append([part(share), _signed(d, cents[-1]), "no price on one side", "", "", ""])
    zero = amount(d, d.residual) if d.residual else ("$0.00" if d.metric == "cost" else "0")
    total = _signed(d, Decimal(sum(whole)) / per)
    whole_share = formatting.share(1.0 if d.delta else None)
    found.append([whole_share, total, "sums to the change", f"{zero} unexplained", "", ""])
    return found


def crossed(diagnosis: Diagnosis) -> str | None:
    """A word on shares where parts run against each other; None where they need none."""
    largest = max((abs(line.share or 0.0) for line in diagnosis.drivers), default=0.0)
    if largest > CANCELLED:
        return "Drivers of opposite sign cancel nearly all of each other, so they have no share of the change."
    return "Drivers of opposite sign cancel, so a single share can exceed 100 %." if largest > CROSSED else None


def _signed(d: Diagnosis, value: Decimal) -> str:
    """An amount with its sign and without a unit; in cents beside a change of dollars."""
    if d.metric == "cost" and abs(d.delta) >= 1:
        return f"{value:+,.2f}"
    return amount(d, value, sign=True).replace("$", "") if d.metric == "cost" else amount(d, value, sign=True)


def behind(diagnosis: Diagnosis, store: str | None = None) -> list[str]:
    """For the causes that stand out: where inside their place they sit, their evidence where the summary has not told
    it, and commands that list their calls and sessions, each a line of its own. Causes of one place share them."""
    told = " ".join(summary(diagnosis))
    titles: dict[tuple[str, ...], list[str]] = {}
    for found in [f for f in diagnosis.causes if f.cause.surprising][: drilldown.LOOKED_INTO]:
        where = f" ({drilldown.sits(found.inside)})" if found.inside else ""
        listed = drilldown.commands(found.cause.segments, diagnosis.day_of(found), cause=found.cause.cause, store=store)
        evidence = "; ".join(found.cause.evidence)
        more = f" {evidence}" if evidence not in told else ""
        titles.setdefault(tuple(listed), []).append(
            f"{found.cause.title}, {places(found.cause.segments)}{where}:{more}"
        )
    return [line for listed, named in titles.items() for line in (*named, *(f"  {command}" for command in listed))]


def next_step(diagnosis: Diagnosis, store: str | None = None) -> str:
    """What to do next: the calls behind the first driver where no cause has named its own, and a replay."""
    d = diagnosis
    evidence = ""
    if not any(f.cause.surprising for f in d.causes):
        first = d.drivers[:1]
        day = d.day_before if first and first[0].factor == VANISHED_SEGMENT else d.day
        command = drilldown.commands([line.segment for line in first], day, store=store)[0]
        evidence = f"Evidence: {command}   ·   "
    where = f" --store {shlex.quote(store)}" if store else ""
    return f"{evidence}Try: hindcast replay{where}"
