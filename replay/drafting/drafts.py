"""Three to five strategies drafted from what a store holds: its agents, tasks, models, repeats, texts and scores.

A draft says what is worth trying on this log, with figures of this log. It claims no quality: models that nobody scored
stay unknown until a replay finds evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import numpy as np

from analysis.formatting import count, money, share
from analysis.money import dollars, exact_sum
from analysis.price_book import vocabulary
from analysis.price_book.book import price_rows
from analysis.price_book.rows import Key
from analysis.pricing.model_names import resolve_all
from analysis.pricing.siblings import Rates, rates_on, siblings, table_date
from ingest.errors import InputError
from ingest.store.database import Store
from replay.drafting.commented_file import Draft, Line
from replay.engine.engine import Engine
from replay.engine.outcome import Outcome
from replay.engine.shared_results import Shared
from replay.optimize.grid import TTLS, two_tiers
from replay.optimize.search import optimize
from replay.optimize.write_strategy import KEEP
from replay.quality.scores import scored_models
from replay.stages.compression import calls_of
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Bool, Traffic

MOST: Final = 5
LEAST_SHARE: Final = 0.002  # of the bill; what saves less is no line of a draft
SHORT_ANSWER: Final = 500  # output tokens in the mean
MOST_SEGMENTS: Final = 12  # rules of one draft
LOSSLESS: Final = ("whitespace", "json_minify", "dedup_paragraphs", "tool_signatures")
_UNSCORED: Final = "what the log does not score stays unknown in a replay until it is scored: hindcast shadow"


@dataclass(frozen=True)
class _Segment:
    """The calls of one agent, task and model. Dollars in pico-dollars."""

    agent: str | None
    task: str | None
    model: int  # index into the traffic's models
    calls: int
    cost: int
    output: float  # mean output tokens

    @property
    def label(self) -> str:
        return " / ".join(part for part in (self.agent, self.task) if part) or "calls without an agent"


@dataclass
class _Log:
    """A traffic with its prices, and what strategies come to on it."""

    traffic: Traffic
    keys: list[Key | None]  # of the models, in the price book
    rates: Mapping[Key, Rates]
    has_text: bool
    done: Callable[[str], None]
    shared: Shared = field(default_factory=Shared)

    @property
    def inside(self) -> Bool:
        return self.traffic.window & (self.traffic.cost != vocabulary.UNPRICED)

    @property
    def baseline(self) -> int:
        return exact_sum(self.traffic.cost[self.inside])

    def evaluate(self, document: Mapping[str, Any]) -> tuple[Outcome, int, Bool]:
        """(outcome, pico-dollars saved, the calls with a price on both sides) of a strategy's document."""
        strategy = Strategy.model_validate({"name": "draft", **document})
        engine = Engine(self.traffic, strategy, self.shared)
        outcome = engine.evaluate(engine.everything)
        known = self.inside & (outcome.cost_pico != vocabulary.UNPRICED)
        saved = exact_sum(self.traffic.cost[known]) - exact_sum(outcome.cost_pico[known])
        self.done(strategy.name)
        return outcome, saved, known

    def pays(self, saved: int) -> bool:
        """Whether a saving is worth a line."""
        return saved > LEAST_SHARE * self.baseline

    def of_bill(self, pico: int) -> str:
        """`$12.30 (4.1 % of the bill)`."""
        return f"{money(dollars(pico))} ({share(pico / self.baseline if self.baseline else None)} of the bill)"


def drafts(
    store: Store, *, floor: float = 0.95, since: date | None = None, until: date | None = None,
    done: Callable[[str], None] | None = None,
) -> tuple[Draft, ...]:  # fmt: skip
    """Up to `MOST` drafts, the most promising first; fewer where the log supports fewer.

    Raises InputError where no call has a time and a price.
    """
    log = _open(store, since, until, done or (lambda _label: None))
    segments = list(_segments(log.traffic))
    compress = _compression(log)
    tiers = _cache(log)
    proven = _proven(store, log, floor, since, until, compress, tiers)
    route = _siblings(log, segments)
    found = [
        proven,
        _combined(floor, compress, proven.route if proven else route, tiers, proven=proven is not None),
        _draft("siblings", "cheaper siblings", "Each model's calls to a cheaper model of its maker.", floor, route),
        _draft("short", "short answers to the small model", "What is answered shortly goes to the smallest sibling; "
               "the rest stays.", floor, _short(log, segments)),
        Draft("cache", "response cache", "Equal requests are answered from a cache of our own.", floor, tiers=tiers),
        Draft("compress", "lossless compression", "The same content in fewer tokens.", floor, compress=compress),
        Draft("prompt-cache", "longer prompt cache", "The provider keeps prompts for an hour.", floor,
              provider_cache=_longer_prompt_cache(log)),
    ]  # fmt: skip
    kept: dict[str, Draft] = {}
    for draft in found:
        if draft is not None and draft.stages:
            kept.setdefault(
                draft.strategy().model_copy(update={"name": "", "description": None}).canonical_json(), draft
            )
    return tuple(_measured(log, draft) for draft in list(kept.values())[:MOST])


def _open(store: Store, since: date | None, until: date | None, done: Callable[[str], None]) -> _Log:
    traffic = load(store, since=since, until=until)
    inside = traffic.window & (traffic.cost != vocabulary.UNPRICED)
    if not inside.any():
        raise InputError(
            "no call has both a time and a price, so there is nothing to draft from",
            remedy="See what is missing: hindcast cost --by cost_status",
        )
    day = traffic.days[-1]
    with store.read() as con:
        keys = [found.key for found in resolve_all(con, traffic.models)]
        wanted = {key for key in keys if key} | {(key[0], name) for key in keys if key for name in siblings(key)}
        rows, _ = price_rows(con, wanted)
        texts = con.execute("SELECT 1 FROM calls WHERE content_state IN ('full', 'truncated', 'redacted') LIMIT 1")
        has_text = bool(texts.fetchall())
    rates = {key: found for key, held in rows.items() if (found := rates_on(held, day)) is not None}
    return _Log(traffic, keys, rates, has_text, done)


def _segments(traffic: Traffic) -> Iterator[_Segment]:
    """By agent, task and model, dearest first."""
    inside = np.flatnonzero(traffic.window & (traffic.cost != vocabulary.UNPRICED))
    codes = np.stack([traffic.agent[inside], traffic.task[inside], traffic.model[inside]]).astype(np.int64)
    kinds, group = np.unique(codes, axis=1, return_inverse=True)
    output = traffic.tokens("output")[inside]
    found = []
    for number, (agent, task, model) in enumerate(kinds.T.tolist()):
        mine = group.ravel() == number
        known = output[mine & (output >= 0)]
        found.append(
            _Segment(
                traffic.agents[agent],
                traffic.tasks[task],
                model,
                int(mine.sum()),
                exact_sum(traffic.cost[inside[mine]]),
                float(known.mean()) if len(known) else 0.0,
            )
        )
    yield from sorted(found, key=lambda one: (-one.cost, one.label, one.model))


# -- routes ------------------------------------------------------------------------------------------------------------


def _siblings(log: _Log, segments: Sequence[_Segment]) -> tuple[Line, ...]:
    """One rule for each model with a cheaper sibling, nearest in capability."""
    lines = []
    for model, (provider, name) in enumerate(log.traffic.models):
        mine = [one for one in segments if one.model == model]
        cheaper = _cheaper(log, model)
        cost = sum(one.cost for one in mine)
        if not cheaper or not name or not log.pays(cost):
            continue
        match = {"model": name, **({"provider_name": provider} if _sold_twice(log, name) else {})}
        value = {"match": match, "model": cheaper[0][0]}
        saved = log.evaluate({"route": [value]})[1]
        if saved <= 0:
            continue
        calls, less = count(sum(one.calls for one in mine), "call"), money(dollars(saved))
        why = f"{calls}, {log.of_bill(cost)}: {_prices(log, model, cheaper[0][1])}, {less} less"
        lines.append((saved, Line(value, why)))
    return tuple(line for _, line in sorted(lines, key=lambda entry: -entry[0]))


def _short(log: _Log, segments: Sequence[_Segment]) -> tuple[Line, ...]:
    """A rule for each agent and task with short answers: the smallest sibling of its model."""
    lines = []
    for one in [one for one in segments if one.output <= SHORT_ANSWER and log.pays(one.cost)][:MOST_SEGMENTS]:
        cheaper = _cheaper(log, one.model)
        name = log.traffic.models[one.model][1]
        if not cheaper or not name:
            continue
        target, rates = cheaper[-1]
        value = {"match": {"agent": one.agent, "task": one.task, "model": name}, "model": target}
        if any(part is not None and any(mark in part for mark in "*?[") for part in (one.agent, one.task, name)):
            continue  # a name that would read as a glob
        why = (
            f"{one.label}: {count(one.calls, 'call')}, {log.of_bill(one.cost)}, answers of {one.output:,.0f} tokens in "
            f"the mean; {_prices(log, one.model, rates)}"
        )
        lines.append(Line(value, why))
    return tuple(lines)


def _cheaper(log: _Log, model: int) -> list[tuple[str, Rates]]:
    """The priced siblings below a model's price, the most capable first, as a rule names them."""
    key = log.keys[model]
    now = log.rates.get(key) if key else None
    if key is None or now is None:
        return []
    priced = [(f"{key[0]}/{name}", log.rates.get((key[0], name))) for name in siblings(key)]
    return [(name, rates) for name, rates in priced if rates is not None and rates.below(now)]


def _sold_twice(log: _Log, name: str) -> bool:
    return sum(one == name for _, one in log.traffic.models) > 1


def _prices(log: _Log, model: int, then: Rates) -> str:
    """`$2 and $10 a million tokens in and out instead of $3 and $15`."""
    key = log.keys[model]
    now = log.rates[key] if key else then
    new, old = ([f"${nano / 1e9:g}" for nano in (one.input, one.output)] for one in (then, now))
    return f"{' and '.join(new)} a million tokens in and out instead of {' and '.join(old)}"


def _proven(
    store: Store, log: _Log, floor: float, since: date | None, until: date | None,
    compress: tuple[Line, ...], tiers: tuple[Line, ...],
) -> Draft | None:  # fmt: skip
    """The cheapest policy that the log's own scores show to keep the floor; None where it moves no call."""
    if len(scored_models(log.traffic)) < 2:
        return None
    try:
        found = optimize(store, floor=floor, since=since, until=until, done=log.done)
    except InputError:
        return None
    chosen = [(group, model, why) for group, model, why in found.assignment if model != KEEP]
    if not chosen:
        return None
    document = found.strategy.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    lines = []
    for rule in document["route"]:
        value = {key: rule[key] for key in ("match", "when", "model") if key in rule}
        moved = [(group, why) for group, model, why in chosen if model == rule["model"] and _holds(rule, group.agent)]
        why = "; ".join(f"{group.label}: {why}" for group, why in moved[:MOST_SEGMENTS])
        lines.append(Line(value, f"shown by scores of this log to keep the floor together: {why}"))
    known = {line.value if isinstance(line.value, str) else next(iter(line.value)): line for line in compress}
    asked = [part["name"] for part in document.get("compress", [])]
    held = {tier["name"]: tier for tier in (document.get("cache") or {}).get("tiers", [])}
    reasons = {line.value["name"]: line.why for line in tiers}
    return Draft(
        "proven",
        "proven routes",
        "The cheapest routes, cache and compression that the log's scores show to keep the floor.",
        floor,
        compress=tuple(known.get(name, Line(name, "part of the cheapest policy found")) for name in asked),
        route=tuple(lines),
        tiers=tuple(Line(tier, reasons.get(name, "part of the cheapest policy found")) for name, tier in held.items()),
        quality_note=f"lower 90 % bound {found.report.lower_90:.3f} of the logged quality by the log's scores"
        if found.report.lower_90 is not None else "",
    )  # fmt: skip


def _holds(rule: Mapping[str, Any], agent: str | None) -> bool:
    wanted = (rule.get("match") or {}).get("agent", agent)
    return wanted == agent or (isinstance(wanted, list) and agent in wanted)


# -- what needs no other model -----------------------------------------------------------------------------------------


def _cache(log: _Log) -> tuple[Line, ...]:
    """Two tiers where equal requests come again often enough to pay; the shortest life that saves nearly as much."""
    traffic = log.traffic
    if not (traffic.key >= 0).any() or bool((traffic.weight_micro != 1_000_000).any()):
        return ()
    tried = []
    for ttl in TTLS:
        outcome, saved, _ = log.evaluate({"cache": {"tiers": two_tiers(ttl)}})
        tried.append((saved, ttl, int((outcome.hits & log.inside).sum()), outcome))
    best = max(saved for saved, *_ in tried)
    if not log.pays(best):
        return ()
    saved, ttl, hits, outcome = next(one for one in tried if one[0] >= 0.95 * best)
    where = _where(traffic, outcome.hits & log.inside)
    asked = f"{count(hits, 'call')} ask again within {ttl} what was asked word for word"
    why = f"{asked}, {log.of_bill(saved)}; mostly {where}"
    memory, shared = two_tiers(ttl)
    return (Line(memory, "the repeats of one process within minutes; the size is a guess"), Line(shared, why))


def _where(traffic: Traffic, calls: Bool) -> str:
    """The three agents and tasks with most of the calls."""
    grouped = calls_of(traffic)
    counts = np.bincount(grouped.group[calls], minlength=len(grouped.group_names))
    order = [place for place in np.argsort(-counts, kind="stable")[:3].tolist() if counts[place]]
    return ", ".join(f"{grouped.group_names[place]} ({counts[place]:,})" for place in order)


def _compression(log: _Log) -> tuple[Line, ...]:
    """The lossless compressors that save dollars on this log, the provider's prompt cache included."""
    if not log.has_text:
        return ()
    lines = []
    for name in LOSSLESS:
        saved = log.evaluate({"compress": [{"name": name}]})[1]
        if log.pays(saved):
            lines.append(Line(name, f"alone it saves {log.of_bill(saved)}; lossless"))
    return tuple(lines)


def _longer_prompt_cache(log: _Log) -> Line | None:
    """An hour of life for prompts where that pays after its dearer writes."""
    value = {"mode": "on", "ttl": "1h"}
    saved = log.evaluate({"provider_cache": value})[1]
    if not log.pays(saved):
        return None
    return Line(value, f"asking the provider to keep prompts for an hour saves {log.of_bill(saved)}, writes included")


def _combined(
    floor: float, compress: tuple[Line, ...], route: tuple[Line, ...], tiers: tuple[Line, ...], *, proven: bool
) -> Draft | None:
    """All of it together, where there are two stages or more and no proven policy, which has them already."""
    about = "Compressed, routed to cheaper siblings and cached: what of it this log supports."
    note = _UNSCORED if route else ""
    draft = Draft("combined", "combined", about, floor, compress, route, tiers, quality_note=note)
    return None if proven or draft.stages < 2 else draft


def _draft(slug: str, name: str, description: str, floor: float, route: tuple[Line, ...]) -> Draft:
    return Draft(slug, name, description, floor, route=route, quality_note=_UNSCORED)


def _measured(log: _Log, draft: Draft) -> Draft:
    """With what it comes to on this log."""
    outcome, saved, known = log.evaluate(draft.strategy().document())
    base = exact_sum(log.traffic.cost[known])
    unpriced = int((log.inside & ~known).sum())
    rest = f"; {count(unpriced, 'call')} would have no price" if unpriced else ""
    moved = int((log.inside & ~outcome.as_logged).sum())
    text = (
        f"On this log {money(dollars(base - saved))} instead of {money(dollars(base))} "
        f"({share(saved / base if base else None)} saved), {count(moved, 'call')} changed{rest}."
    )
    days = log.traffic.days
    origin = (
        f"Drafted from {count(int(log.inside.sum()), 'call')} of {min(days).isoformat()} to {max(days).isoformat()}; "
        f"siblings as of {table_date().isoformat()}. Change what you know better."
    )
    return replace(draft, heading=(origin, text))
