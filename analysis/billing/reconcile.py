"""Why the invoice and the ledger differ: quantities first, then prices, as named effects that sum to the gap.

Both sides are compared by day, model and token kind. The ledger's days may first be moved to the zone that the
invoice's days follow. Then, at our own prices, more or fewer tokens are missing or extra calls, tokens of another kind
a cache split, tokens of another service tier a tier effect; what remains between the invoice's amount and its
quantities at our prices is price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from analysis.billing.invoice import InvoiceLine, days_of
from analysis.billing.ledger_by_hour import BilledCell, BookPrices, Hour, base_name, by_day, ledger_hours
from analysis.formatting import usd
from ingest.errors import InputError
from ingest.store.database import Store

EFFECTS: Final = {
    "missing_calls": "billed, but not in the log",
    "extra_calls": "in the log, but not billed",
    "cache_split": "billed as another kind of input token (cached, written, uncached)",
    "tier": "billed at another service tier",
    "price": "billed at another price",
    "unpriced_calls": "the ledger has no price for them",
    "amount_only": "the invoice has no quantities: price and quantity cannot be told apart",
    "unmatched_lines": "invoice lines that no logged model explains",
    "other_charges": "searches, requests, audio and images",
    "time_zone_edge": "the invoice's days begin at another hour",
    "rounding": "cents of the invoice's lines",
}
_INPUT: Final = ("input", "cache_read", "cache_write")
_ZERO: Final = Decimal(0)
_PICO: Final = Decimal("1e-12")
_HALF_CENT: Final = Decimal("0.005")
_EPOCH: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class GapComponent:
    """One named part of the gap; positive = the invoice is higher."""

    name: str
    usd: Decimal
    day: date
    model: str
    kind: str = ""
    text: str = ""


@dataclass(frozen=True)
class Reconciliation:
    """The invoice against the ledger over the invoice's days. The effects sum to the gap exactly."""

    since: date
    until: date
    zone_hours: int
    invoice_usd: Decimal
    ledger_usd: Decimal
    effects: list[GapComponent]
    unused: list[str] = field(default_factory=list)

    @property
    def gap(self) -> Decimal:
        """Invoice minus ledger, in dollars."""
        return self.invoice_usd - self.ledger_usd

    def totals(self) -> dict[str, Decimal]:
        """Dollars by effect, largest first; effects of nothing are left out."""
        found: dict[str, Decimal] = {}
        for effect in self.effects:
            found[effect.name] = found.get(effect.name, _ZERO) + effect.usd
        kept = {name: amount for name, amount in found.items() if amount}
        return dict(sorted(kept.items(), key=lambda item: (-abs(item[1]), item[0])))

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast reconcile --json`: dollars as decimal strings."""
        return {
            "since": self.since.isoformat(), "until": self.until.isoformat(), "zone_hours": self.zone_hours,
            "invoice_usd": usd(self.invoice_usd), "ledger_usd": usd(self.ledger_usd), "gap_usd": usd(self.gap),
            "effects": [
                {"effect": name, "meaning": EFFECTS[name], "usd": usd(amount)} for name, amount in self.totals().items()
            ],
            "details": [
                {
                    "effect": e.name, "day": e.day.isoformat(), "model": e.model, "token_kind": e.kind or None,
                    "usd": usd(e.usd), "line": e.text or None,
                }
                for e in sorted(self.effects, key=lambda e: (-abs(e.usd), e.name, e.day, e.model, e.kind))
            ],
        }  # fmt: skip


def reconcile(store: Store, lines: Sequence[InvoiceLine], *, zone_hours: int | None = None) -> Reconciliation:
    """Compare invoice lines with the ledger. `zone_hours` fixes the invoice's zone; None finds it."""
    if not lines:
        raise InputError("the invoice has no lines")
    since, until = days_of(lines)
    providers = {line.provider for line in lines}
    with store.read() as con:
        hours = ledger_hours(con, None if None in providers else sorted(p for p in providers if p))
        names = _match_models(lines, {hour.model for hour in hours})
        billed, unmatched = _group(lines, names)
        offset = _best_zone(hours, billed, since, until) if zone_hours is None else zone_hours
        effects = [
            GapComponent("unmatched_lines", line.amount_usd, line.day, line.model or "", line.kind, line.text)
            for line in unmatched
            if line.amount_usd
        ]
        here = {place: cell for place, cell in by_day(hours, 0).items() if since <= place[0] <= until}
        moved = {place: cell for place, cell in by_day(hours, offset).items() if since <= place[0] <= until}
        effects += _edges(here, moved) if offset else []
        asked: dict[str, tuple[str | None, str | None]] = {
            names[line.model] or "": (line.provider, line.model) for line in lines if line.model
        }
        asked |= {hour.model: (hour.provider, hour.raw_model) for hour in hours}
        book = BookPrices(con)
        for place in sorted({*billed, *moved}):
            effects += _compare(book, place, billed.get(place), moved.get(place) or BilledCell(), asked)
    invoice = sum((line.amount_usd for line in lines if line.amount_usd is not None), _ZERO)
    implied = sum((group.implied for group in billed.values()), _ZERO)
    ledger = sum((cell.total_usd for cell in here.values()), _ZERO)
    return _exact(since, until, offset, invoice + implied, ledger, effects)


def _exact(
    since: date, until: date, offset: int, invoice: Decimal, ledger: Decimal, effects: list[GapComponent]
) -> Reconciliation:
    """Round every effect to a pico-dollar and put what that leaves into `rounding`."""
    rounded = [GapComponent(e.name, e.usd.quantize(_PICO), e.day, e.model, e.kind, e.text) for e in effects]
    invoice, ledger = invoice.quantize(_PICO), ledger.quantize(_PICO)
    rest = invoice - ledger - sum((e.usd for e in rounded), _ZERO)
    if rest:
        rounded.append(GapComponent("rounding", rest, until, "", "", ""))
    return Reconciliation(since, until, offset, invoice, ledger, [e for e in rounded if e.usd])


# -- grouping ----------------------------------------------------------------------------------------------------------


@dataclass
class Billed:
    """The invoice's lines of one model on one day."""

    quantities: dict[tuple[str, str | None], Decimal] = field(default_factory=dict)
    amounts: dict[tuple[str, str | None], Decimal] = field(default_factory=dict)
    implied: Decimal = _ZERO  # quantities at our prices, where the invoice states no amount at all
    lines: int = 0


def _group(
    lines: Sequence[InvoiceLine], names: Mapping[str, str | None]
) -> tuple[dict[tuple[date, str], Billed], list[InvoiceLine]]:
    groups: dict[tuple[date, str], Billed] = {}
    unmatched: list[InvoiceLine] = []
    # a usage report's quantities are the finer ones: where there is one, a cost report's own are the same tokens again
    counted = {(line.day, line.model) for line in lines if line.quantity is not None and line.amount_usd is None}
    for line in lines:
        name = names.get(line.model or "") if line.model else None
        if name is None or line.kind == "other":
            unmatched.append(line)
            continue
        group = groups.setdefault((line.day, name), Billed())
        group.lines += 1
        kind = "cache_write" if line.kind == "cache_write_1h" else line.kind
        place = (kind, line.tier)
        if line.quantity is not None and (line.amount_usd is None or (line.day, line.model) not in counted):
            group.quantities[place] = group.quantities.get(place, _ZERO) + line.quantity
        if line.amount_usd is not None:
            group.amounts[place] = group.amounts.get(place, _ZERO) + line.amount_usd
    return groups, unmatched


def _match_models(lines: Sequence[InvoiceLine], logged: set[str]) -> dict[str, str | None]:
    """Invoice model -> base name in the log: equal, else one containing the other without punctuation."""
    plain = {re.sub(r"[^a-z0-9]", "", name): name for name in sorted(logged)}
    found: dict[str, str | None] = {}
    for model in {line.model for line in lines if line.model}:
        base = base_name(model)
        short = re.sub(r"[^a-z0-9]", "", base)
        near = [name for key, name in plain.items() if short and (short in key or key in short)]
        found[model] = (
            base if base in logged else min(near, key=lambda name: (abs(len(name) - len(base)), name), default=None)
        )
        if found[model] is None and re.search(r"[a-z]", short):
            found[model] = base  # a model that the log does not have at all: its calls are missing
    return found


# -- the zone of the invoice's days ------------------------------------------------------------------------------------


def _best_zone(hours: Sequence[Hour], billed: Mapping[tuple[date, str], Billed], since: date, until: date) -> int:
    """The offset from UTC under which the days' token counts differ least; 0 unless another is clearly better."""
    wanted = {place: int(sum(group.quantities.values(), _ZERO)) for place, group in billed.items() if group.quantities}
    if not wanted or since == until:
        return 0
    counts: dict[tuple[int, str], int] = {}
    for hour in hours:
        counts[hour.hour, hour.model] = counts.get((hour.hour, hour.model), 0) + int(sum(hour.tokens.values(), _ZERO))
    first, last = since.toordinal() - _EPOCH, until.toordinal() - _EPOCH
    scores = {}
    for offset in range(-12, 15):
        ours: dict[tuple[date, str], int] = {}
        for (number, model), count in counts.items():
            day = (number + offset) // 24
            if first <= day <= last:
                place = (date.fromordinal(day + _EPOCH), model)
                ours[place] = ours.get(place, 0) + count
        scores[offset] = sum(abs(wanted.get(place, 0) - ours.get(place, 0)) for place in {*wanted, *ours})
    best = min(scores, key=lambda offset: (scores[offset], abs(offset)))
    return best if scores[best] < 0.8 * scores[0] else 0


def _edges(
    here: Mapping[tuple[date, str], BilledCell], moved: Mapping[tuple[date, str], BilledCell]
) -> list[GapComponent]:
    return [
        GapComponent("time_zone_edge", after.total_usd - before.total_usd, day, model)
        for day, model in sorted({*here, *moved})
        for before, after in [(here.get((day, model)) or BilledCell(), moved.get((day, model)) or BilledCell())]
        if after.total_usd != before.total_usd
    ]


# -- one model on one day ----------------------------------------------------------------------------------------------


def _compare(
    book: BookPrices,
    place: tuple[date, str],
    billed: Billed | None,
    cell: BilledCell,
    asked: Mapping[str, tuple[str | None, str | None]],
) -> list[GapComponent]:
    day, model = place
    found: list[GapComponent] = []

    def note(name: str, amount: Decimal, kind: str = "") -> None:
        if amount:
            found.append(GapComponent(name, amount, day, model, kind))

    note("other_charges", -cell.other_usd)
    if billed is None:
        for (kind, _), amount in cell.usd.items():
            note("extra_calls", -amount, kind)
        return found
    total = sum(billed.amounts.values(), _ZERO)
    if not billed.quantities:
        note("amount_only", total - (cell.total_usd - cell.other_usd))
        return found
    provider, raw = asked.get(model, (None, model))
    prices = _Prices(book, provider, raw, day, billed, cell)
    for kind, count in cell.unpriced.items():
        note("unpriced_calls", count * prices.at(kind, "standard"), kind)
    worth = _ZERO
    for kinds in (_INPUT, ("output",)):
        ours, theirs = _ours(cell, kinds), _theirs(billed, cell, kinds)
        scaled, shifted = _steps(ours, theirs)
        for spot in sorted({*ours, *theirs, *shifted}):
            kind, price = spot[0], prices.at(*spot)
            own, many, tiered, final = (side.get(spot, _ZERO) for side in (ours, scaled, shifted, theirs))
            note("missing_calls" if many > own else "extra_calls", (many - own) * price, kind)
            note("tier", (tiered - many) * price, kind)
            note("cache_split", (final - tiered) * price, kind)
            worth += final * price
    if not billed.amounts:
        billed.implied = worth
        return found
    rest = total - worth
    note("rounding" if abs(rest) <= _HALF_CENT * billed.lines else "price", rest)
    return found


Tokens = dict[tuple[str, str], Decimal]  # by (kind, tier)


def _ours(cell: BilledCell, kinds: Sequence[str]) -> Tokens:
    found = {place: count for place, count in cell.tokens.items() if place[0] in kinds}
    for kind in kinds:
        if cell.unpriced.get(kind):
            found[kind, "standard"] = found.get((kind, "standard"), _ZERO) + cell.unpriced[kind]
    return found


def _theirs(billed: Billed, cell: BilledCell, kinds: Sequence[str]) -> Tokens:
    """The invoice's tokens; those whose tier it does not say are in the tiers that ours are in."""
    found: Tokens = {}
    for (kind, tier), count in billed.quantities.items():
        if kind not in kinds:
            continue
        own = {t: q for (k, t), q in cell.tokens.items() if k == kind and q}
        split = own if tier is None and own else {tier or "standard": Decimal(1)}
        whole = sum(split.values(), _ZERO)
        for name, part in split.items():
            found[kind, name] = found.get((kind, name), _ZERO) + count * part / whole
    return found


def _steps(ours: Tokens, theirs: Tokens) -> tuple[Tokens, Tokens]:
    """From our tokens to theirs in steps: as many tokens as they have, then those moved to another tier of their kind.

    What is left after both is tokens of another kind.
    """
    all_ours, all_theirs = sum(ours.values(), _ZERO), sum(theirs.values(), _ZERO)
    if not all_ours:  # all of it is missing; its kinds and tiers are theirs
        return theirs, theirs
    scaled = {place: count * all_theirs / all_ours for place, count in ours.items()}
    shifted = dict(scaled)
    for kind in {place[0] for place in (*ours, *theirs)}:
        tiers = sorted({tier for k, tier in (*ours, *theirs) if k == kind})
        change = {t: theirs.get((kind, t), _ZERO) - scaled.get((kind, t), _ZERO) for t in tiers}
        more = sum((x for x in change.values() if x > 0), _ZERO)
        less = -sum((x for x in change.values() if x < 0), _ZERO)
        moved = min(more, less)
        for tier, amount in change.items():
            if moved and amount:
                place = (kind, tier)
                shifted[place] = scaled.get(place, _ZERO) + amount * moved / (more if amount > 0 else less)
    return scaled, shifted


class _Prices:
    """Our price per token of each kind and tier on a day: as paid in the ledger, else as the book has it.

    Where neither has one, the invoice's own price stands in, so that its tokens are not valued at nothing.
    """

    def __init__(
        self,
        book: BookPrices,
        provider: str | None,
        model: str | None,
        day: date,
        billed: Billed,
        cell: BilledCell,
    ) -> None:
        self.book, self.provider, self.model, self.day, self.billed, self.cell = (
            book,
            provider,
            model,
            day,
            billed,
            cell,
        )
        self.known: dict[tuple[str, str], Decimal] = {}

    def at(self, kind: str, tier: str) -> Decimal:
        place = (kind, tier)
        if place not in self.known:
            count = self.cell.tokens.get(place, _ZERO)
            if count:
                self.known[place] = self.cell.usd[place] / count
            else:
                listed = self.book.at(self.provider, self.model, kind, tier, self.day)
                self.known[place] = listed if listed is not None else self._stated(kind)
        return self.known[place]

    def _stated(self, kind: str) -> Decimal:
        count = sum((q for (k, _), q in self.billed.quantities.items() if k == kind), _ZERO)
        amount = sum((a for (k, _), a in self.billed.amounts.items() if k == kind), _ZERO)
        return amount / count if count else _ZERO
