"""Causes that are counted in the calls rather than inferred from amounts: retries, loops, repeats, a session, a user.

Calls that were asked before, or that one request, session or user added, are worth what they cost above the
baseline's. Each such cause takes its counted amount out of the volume and the calls per request of its segments; what
is left there, more or less, is traffic. Each call is assigned to one cause, the most specific first: retries, loops,
repeats, sessions, users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import log, sqrt
from typing import Final

from analysis.attribution.factors import CALLS_PER_REQUEST, FACTORS, VOLUME
from analysis.causes.call_counts import Counter, SessionOrUser, Sizes, Tally
from analysis.causes.call_evidence import CallQueries
from analysis.causes.cause_signatures import MIN_EVIDENCE, Cause, cause_of
from analysis.causes.segment_localization import HOT, Effect, Key, Segment, place

ENOUGH: Final = 10  # calls, for a count to mean anything
CROWD: Final = 20  # calls of one session or user, beyond what light users ever make
NOTABLE: Final = 0.04  # of the day's amount
LEAST: Final = 3  # calls, for a segment to be part of the place
OWNED: Final = 0.5  # of what its segments grew by, for one session or one user to own it
VISITS: Final = 15  # calls, for a user to be more than a session or two
PART: Final = 0.15  # of a user's largest number of extra calls, for another segment to be part of the place
LONGEST: Final = 2.0  # times the dearest and the longest session of the baseline in the same segment
BEYOND: Final = 3.0  # times a user's own day
GROWING: Final = 1.0  # spreads above ordinary, for the calls of a segment to be counted
PLACES: Final = 40  # segments named in a question; more, and it is asked of all calls
SMALL: Final = 2_000_000  # calls, below which all of them are asked
FIRST_FACTOR: Final = {"retry_storm": CALLS_PER_REQUEST, "loop": CALLS_PER_REQUEST}
MOST_MOVED: Final = 20.0  # times a driver, that the calls without counted ones may make of it
POOL: Final = (VOLUME, CALLS_PER_REQUEST)
Changes = dict[str, dict[Key, tuple[float, float]]]


class GrowthPool:
    """What the calls of each segment grew by, and what is left of it after counted causes have taken their part."""

    def __init__(self, effects: Sequence[Effect], universe: Mapping[str, Mapping[Key, tuple[float, float]]]) -> None:
        self.effects = {(e.factor, key_of(e.segment)): e for e in effects if e.factor in POOL and not e.shared}
        self.others = [e for e in effects if e.factor not in POOL or e.shared]
        self.universe: Changes = {factor: dict(members) for factor, members in universe.items()}
        self.whole: dict[Key, Tally] = {}  # all calls of a segment
        # segments whose calls changed by themselves, so that added ones cost more or less than they would have
        self.dearer = {key_of(e.segment) for e in self.others if e.factor in FACTORS and not e.shared and e.z >= HOT}

    def growth(self, segment: Segment) -> int:
        """What the segment's volume and calls per request are still worth, in integer units."""
        return sum(e.delta for f in POOL if (e := self.effects.get((f, key_of(segment)))) is not None)

    def most(self, segment: Segment, alone: bool) -> int:
        """The most that counted calls can be worth: what their segment moved, or, where it holds them `alone`, what its
        number of calls made of that; the rest is other calls' doing, or of their size."""
        key = key_of(segment)
        growth = self.growth(segment)
        if alone:
            return max(growth, 0)
        return max(growth + sum(e.delta for e in self.others if key_of(e.segment) == key), growth, 0)

    def net(self, segment: Segment) -> int:
        """The growth, less what came back as another mix of models: calls of a cheap model are counted at the price of
        the dear ones first."""
        key = key_of(segment)
        back = sum(e.delta for e in self.others if e.factor == "model_mix" and key_of(e.segment) == key)
        return self.growth(segment) + min(back, 0)

    def z(self, segment: Segment) -> float:
        """The larger number of spreads of the segment's two drivers."""
        return max((e.z for f in POOL if (e := self.effects.get((f, key_of(segment)))) is not None), default=0.0)

    def shared_worth(self, tally: Tally) -> float:
        """What calls are worth when others changed beside them: between the price of a call then and now, as Shapley
        values share what two causes did together. A factor on the counted amount."""
        whole = self.whole.get(key_of(tally.segment))
        if whole is None or key_of(tally.segment) not in self.dearer:
            return 1.0
        calls, amount = whole.after - (tally.after - tally.before), whole.amount_after - tally.extra
        if min(calls, amount, whole.before, whole.amount_before) <= 0:
            return 1.0
        ratio = (whole.amount_before / whole.before) / (amount / calls)
        return (1 + min(ratio, 1.5)) / 2

    def growing(self) -> list[Segment]:
        """Segments whose calls grew beyond GROWING spreads, by name."""
        places = {key: dict(key) for _, key in self.effects}
        return [
            places[k] for k in sorted(places, key=str) if self.growth(places[k]) > 0 and self.z(places[k]) > GROWING
        ]

    def take(self, segment: Segment, amount: int, first: str) -> list[Effect]:
        """`amount` out of the segment's drivers, of the factor `first` as far as it goes; the rest keeps its noise.

        What neither driver holds is taken all the same: the ordinary calls of the segment fell by it.
        """
        key = key_of(segment)
        order = [f for f in (first, *(f for f in POOL if f != first)) if (f, key) in self.effects]
        parts = {}
        left = amount
        for factor in order:
            held = self.effects[factor, key].delta
            parts[factor] = min(left, held) if held > 0 else 0
            left -= parts[factor]
        if order:
            parts[order[0]] += left
        return [self._cut(factor, key, part) for factor, part in parts.items() if part]

    def _cut(self, factor: str, key: Key, part: int) -> Effect:
        effect = self.effects[factor, key]
        kept = effect.delta - part
        change = effect.change * kept / effect.delta if kept * effect.delta > 0 else 0.0
        self.effects[factor, key] = replace(effect, delta=kept, change=change)
        self.universe[factor][key] = (change, effect.spread)
        return replace(effect, delta=part, noise=0.0, common=0.0)

    def settle(self, segment: Segment, tally: Tally, then: Mapping[tuple[str, Key], Effect]) -> None:
        """Calls per request as they are without the counted calls. Where fewer requests were made at the same time, the
        driver is worth more than those calls, and the volume's as much less: that part cancels out."""
        key = key_of(segment)
        at, whole = (CALLS_PER_REQUEST, key), self.whole.get(key)
        extra = tally.after - tally.before
        if at not in then or (VOLUME, key) not in self.effects or whole is None or not 0 < extra < whole.after:
            return
        before, now = then[at], self.effects[at]
        left = before.change + log((whole.after - extra) / whole.after)
        share = min(max(left / before.change, 0.0), 1.0) if before.change else 0.0
        kept = round(before.delta * share)
        volume = self.effects[VOLUME, key]
        self.effects[VOLUME, key] = replace(volume, delta=volume.delta + now.delta - kept)
        self.effects[at] = replace(now, delta=kept, change=before.change * share)
        self.universe[CALLS_PER_REQUEST][key] = (before.change * share, before.spread)

    def put_back(self, effects: Sequence[Effect], before: Mapping[tuple[str, Key], Effect]) -> None:
        """Undo `take`: the drivers as they were in `before`."""
        for effect in effects:
            at = effect.factor, key_of(effect.segment)
            self.effects[at] = before[at]
            self.universe[effect.factor][at[1]] = (before[at].change, before[at].spread)

    def without(self, segment: Segment, whole: Sizes, own: Sizes, before: Mapping[str | None, float]) -> None:
        """What the segment's other calls look like without its `own`, which are counted already: few requests that make
        most of the calls would pass for longer or shorter prompts of all, or for another mix of models. What moves
        between a rate's driver and the volume's is what those calls cost more or less than the others."""
        key = key_of(segment)
        every = whole.figures
        n, tokens, read, output, reasoning = (a - b for a, b in zip(every, own.figures, strict=True))
        if n <= 0 or (VOLUME, key) not in self.effects:
            return
        shifts: dict[str, float] = {}
        if tokens > 0:
            ratios = {
                "input_tokens": tokens / n * every[0] / every[1],
                "output_tokens": output / n * every[0] / every[3] if every[3] else 0.0,
                "reasoning_tokens": reasoning / n * every[0] / every[4] if every[4] else 0.0,
            }
            shifts = {factor: log(ratio) for factor, ratio in ratios.items() if ratio > 0}
            shifts["cache_read_share"] = read / tokens - every[2] / every[1]
        others = {model: calls - own.models.get(model, 0.0) for model, calls in whole.models.items()}
        moved, left = _moved(before, whole.models), _moved(before, others)
        if moved > 0:
            change, _ = self.universe["model_mix"].get(key, (0.0, 0.0))
            shifts["model_mix"] = change * (left / moved - 1)
        for factor, shift in shifts.items():
            change, spread = self.universe[factor].get(key, (0.0, 0.0))
            if not change or not shift:
                continue
            self.universe[factor][key] = (change + shift, spread)
            share = min(max((change + shift) / change, -MOST_MOVED), MOST_MOVED)
            for i, effect in enumerate(self.others):
                if effect.factor == factor and key_of(effect.segment) == key and not effect.follows:
                    delta = round(effect.delta * share)
                    volume = self.effects[VOLUME, key]
                    self.effects[VOLUME, key] = replace(volume, delta=volume.delta + effect.delta - delta)
                    self.others[i] = replace(effect, delta=delta, change=change + shift)

    def rest(self) -> list[Effect]:
        """Every effect that is left, counted amounts taken out."""
        return [*self.others, *(e for e in self.effects.values() if e.delta)]


def _moved(before: Mapping[str | None, float], after: Mapping[str | None, float]) -> float:
    """How far the share of the model that gained most from the baseline moved."""
    sides = [max(sum(side.values()), 1e-9) for side in (before, after)]
    return max(abs(after.get(m, 0.0) / sides[1] - before.get(m, 0.0) / sides[0]) for m in {**before, **after})


def key_of(segment: Segment) -> Key:
    """The segment as a key of dictionaries."""
    return tuple(segment.items())


def counted(
    effects: Sequence[Effect],
    universe: Mapping[str, Mapping[Key, tuple[float, float]]],
    queries: CallQueries,
    by: Sequence[str],
    floor: float,
    actual: int,
) -> tuple[list[Cause], list[Effect], Changes]:
    """The counted causes, the effects without their part, and the changes that are left to place.

    Nothing is counted where no segment's calls grew beyond their ordinary wobble by `floor`. A user whose calls are in
    all segments alike passes for what the whole day did: where that is most of the change, it is looked for in whole.
    """
    found = _counted(effects, universe, queries, by, floor, actual)
    day = [e for e in effects if e.shared]
    grown = sum(e.delta for e in day)
    if grown >= floor and 2 * grown >= sum(e.delta for e in effects) and max(e.z for e in day) > GROWING:
        again = _counted(*_unshared(effects, universe), queries, by, floor, actual)
        if any(cause.cause == "user_surge" and cause.delta >= OWNED * grown for cause in again[0]):
            return again
    return found


def _unshared(
    effects: Sequence[Effect], universe: Mapping[str, Mapping[Key, tuple[float, float]]]
) -> tuple[list[Effect], Changes]:
    """The volume of each segment in one piece, with the part that the whole day did to all of them."""
    shared = {key_of(e.segment): e for e in effects if e.shared}
    changes: Changes = {factor: dict(members) for factor, members in universe.items()}
    merged = []
    for effect in effects:
        part = shared.get(key_of(effect.segment))
        if effect.shared:
            continue
        if effect.factor == VOLUME and part is not None:
            effect = replace(effect, delta=effect.delta + part.delta, change=effect.change + part.change)
            changes[VOLUME][key_of(effect.segment)] = (effect.change, effect.spread)
        merged.append(effect)
    return merged, changes


def _counted(
    effects: Sequence[Effect],
    universe: Mapping[str, Mapping[Key, tuple[float, float]]],
    queries: CallQueries,
    by: Sequence[str],
    floor: float,
    actual: int,
) -> tuple[list[Cause], list[Effect], Changes]:
    pool = GrowthPool(effects, universe)
    growing = pool.growing()
    small = bool(growing) and queries.calls() <= SMALL
    # on a small log all is asked; a large one wobbles less, so that what grew stands out
    if not any((small or pool.z(s) >= HOT) and pool.growth(s) >= floor for s in growing):
        return [], list(effects), pool.universe
    every = small or len(growing) > PLACES
    counter = Counter(queries, by, None if every else growing)
    found: list[Cause] = []
    without: dict[str, list[int]] = {"requests": [], "sessions": []}

    def note(
        name: str,
        tallies: Sequence[Tally],
        told: Callable[[list[Tally]], list[str]],
        beside: Sequence[Tally] = (),
        **more: str,
    ) -> bool:
        made = _assign_calls(name, tallies, beside, pool, queries, floor, told, more)
        found.extend(made)
        return bool(made)

    retries, errors, whole = counter.retries()
    pool.whole = {key_of(t.segment): t for t in whole}
    failed = {key_of(t.segment): t for t in errors}
    retried = note(
        "retry_storm", retries,
        lambda held: [
            _instead(held, "retries"),
            _instead([failed[key_of(t.segment)] for t in held if key_of(t.segment) in failed], "failed calls"),
        ],
    )  # fmt: skip
    loops = counter.loops()
    if loops is not None and note(
        "loop", loops.tallies,
        lambda _: [
            f"one of the {loops.kind} makes {loops.longest:,} calls",
            f"ninety-nine in a hundred made at most {loops.ordinary:,.0f} before",
        ],
    ):  # fmt: skip
        without[loops.kind] += loops.ids
    repeated = note(
        "duplicate_calls", counter.repeats(without["requests"]),
        lambda held: [_instead(held, "calls") .replace(" calls", " calls repeat an earlier request of the day word for "
                      "word,", 1)],
    )  # fmt: skip
    for one in counter.sessions(without["requests"], LONGEST, repeated):
        held = [t for t in one.tallies if _more(t)]
        far = one.calls >= CROWD and one.after >= BEYOND * one.most
        if one.calls >= ENOUGH and _owns(held, far, pool, queries, actual):
            told = (
                f"one session of {one.calls:,} calls comes to {queries.amount_words(one.after)}; the most before was "
                f"{queries.amount_words(one.most)}"
            )
            if note("long_session", held, lambda _, told=told: [told]):  # type: ignore[misc]
                without["sessions"].append(one.id)
    if found:
        counts = {"repeats": repeated, "retries": retried}
        for segment, every_call, own, before in counter.sizes(without["requests"], without["sessions"], **counts):
            pool.without(segment, every_call, own, before)
    for one in counter.users(without["requests"], without["sessions"], repeated):
        held = _apart(one, pool)
        crowd, far = _surges(one, held, queries)
        if crowd and _owns(held, far, pool, queries, actual):
            told = (
                f"user {one.name} went from {queries.amount_words(one.before)} to {queries.amount_words(one.after)} "
                "a day"
            )
            note("user_surge", held, lambda _, told=told: [told], one.tallies, user=one.name)  # type: ignore[misc]
    return found, pool.rest(), pool.universe


def _instead(held: Sequence[Tally], noun: str) -> str:
    return f"{sum(t.after for t in held):,.0f} {noun} instead of {sum(t.before for t in held):,.0f}"


def _more(tally: Tally) -> bool:
    """More than a count that wobbles like any other would be."""
    return tally.after - tally.usual >= max(LEAST, 3 * sqrt(tally.usual + 1)) and tally.extra > 0


def _apart(one: SessionOrUser, pool: GrowthPool) -> list[Tally]:
    """Where a user's calls grew by themselves: far more than everybody else's there, and no small part of the whole."""
    held = []
    for tally in one.tallies:
        whole = pool.whole.get(key_of(tally.segment))
        before, after = (whole.before - tally.before, whole.after - tally.after) if whole else (0.0, 0.0)
        alike = tally.before * max(after / before if before > 0 else 1.0, 1.0)
        if _more(tally) and tally.after >= 2 * alike:
            held.append(tally)
    most = max((t.after - t.before for t in held), default=0.0)
    return [t for t in held if t.after - t.before >= min(PART * most, VISITS / 2)]


def _surges(one: SessionOrUser, held: Sequence[Tally], queries: CallQueries) -> tuple[bool, bool]:
    """Whether a user's day is one that the user never had, and whether it is far beyond: of all calls, or by a wider
    margin of those in the one place where they grew, and more of them than anybody made there. A user who is active
    here today and there tomorrow is not news."""
    calls, most_calls, amount, most = one.within([t.segment for t in one.tallies], queries.day)
    if calls >= max(2 * most_calls, VISITS) and amount >= max(BEYOND * one.before, 2 * most):
        return bool(held), calls >= CROWD and amount >= BEYOND * most
    shared = set.intersection(*(set(t.segment.items()) for t in held)) if held else set()
    first = max(held, key=lambda t: t.extra, default=None)
    if first is None or not shared or first.after <= one.records.get(tuple(first.segment.values()), 0.0):
        return False, False
    calls, most_calls, amount, most = one.within([t.segment for t in held], queries.day)
    far = calls >= max(BEYOND * most_calls, CROWD) and amount >= BEYOND * max(most, sum(t.amount_before for t in held))
    return far, far


def _owns(held: Sequence[Tally], far_beyond: bool, pool: GrowthPool, queries: CallQueries, actual: int) -> bool:
    """Whether one session's or user's calls are most of what its segments grew by."""
    before, after = sum(t.before for t in held), sum(t.after for t in held)
    if after - before < max(ENOUGH, 6 * sqrt(before + 2)):  # its calls come in sessions
        return False
    # its calls alone may be news, though their segments are used to wobble by as much
    stands_out = far_beyond and sum(t.extra for t in held) * queries.unit >= NOTABLE * actual
    if not stands_out and not any(pool.z(t.segment) >= HOT for t in held):
        return False
    grown = sum(max(pool.net(t.segment), 0) for t in held)
    return sum(t.extra for t in held) * queries.unit >= OWNED * grown > 0


def _assign_calls(
    name: str,
    tallies: Sequence[Tally],
    beside: Sequence[Tally],
    pool: GrowthPool,
    queries: CallQueries,
    floor: float,
    told: Callable[[list[Tally]], list[str]],
    more: Mapping[str, str],
) -> list[Cause]:
    """Causes of one sort, one for each place that holds it, if it is worth the `floor` and its calls are enough.

    Segments of `beside` with more such calls than before are no part of it, but say nothing against the place."""
    held = [t for t in tallies if _more(t) and any((f, key_of(t.segment)) in pool.effects for f in POOL)]
    if sum(t.after - t.usual for t in held) < ENOUGH or sum(t.extra for t in held) * queries.unit < floor:
        return []
    own = {key_of(t.segment): t for t in held}
    spread = 0.1
    little = {key_of(t.segment) for t in (*tallies, *beside) if t.after > t.before} - set(
        own
    )  # neither for it nor against it
    members = {key: (float(key in own), spread) for key in pool.universe["volume"] if key not in little}
    hits = [Effect(t.segment, name, round(t.extra * queries.unit), 1.0, spread, 0.0) for t in held]
    found = []
    for segments, inside, _ in place(hits, {name: members}):
        saved = dict(pool.effects)
        z = max(pool.z(hit.segment) for hit in inside)
        first = FIRST_FACTOR.get(name, "volume")
        worth = {key_of(h.segment): pool.shared_worth(own[key_of(h.segment)]) for h in inside}
        taken = []
        for h in inside:
            alone = bool(more) and all(h.segment.get(dimension) == value for dimension, value in more.items())
            amount = min(round(h.delta * worth[key_of(h.segment)]), pool.most(h.segment, alone))
            taken += pool.take(h.segment, amount, first)
        if sum(e.delta for e in taken) < floor / 2:
            pool.put_back(taken, saved)
            continue
        if segments == [{}]:
            # everything that was counted, which is not everything there is
            agents = {h.segment.get("agent") for h in inside}
            if agents < {dict(key).get("agent") for key in pool.universe["volume"]}:
                segments = [{"agent": agent} for agent in sorted(agents, key=str)]
        where = [{**segment, **more} for segment in segments]
        made = cause_of(name, where, taken, told([own[key_of(hit.segment)] for hit in inside]))
        factors = sorted(made.factors, key=lambda factor: factor != first)
        if first == CALLS_PER_REQUEST:
            for hit in inside:
                pool.settle(hit.segment, own[key_of(hit.segment)], saved)
        found.append(replace(made, z=max(MIN_EVIDENCE, z), factors=factors, saves=sum(h.delta for h in inside)))
    return found
