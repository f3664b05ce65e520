"""Public price lists against the price book: agree, differ or unpriced by host, at the standard prices of a day.

    python -m benchmarks.price_lists FILE... [--at DAY] [--all]

FILE is LiteLLM's `model_prices_and_context_window.json` or models.dev's `api.json`. A price differs by more than 1 % in
input, output or what is read from the cache, of a request of ordinary size. `--all` names every difference.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

from analysis.calendar_days import today
from analysis.price_book.book import compile_book
from analysis.price_book.price_lists import ListedPrice, read_price_list
from analysis.price_book.rows import Key, PriceRow
from analysis.price_book.vocabulary import KINDS
from analysis.pricing.model_names import resolve

_KINDS = ("input", "output", "cache_read")
_TOLERANCE = Decimal("0.01")
_SHOWN_HOSTS = 24


def book_prices(day: str) -> dict[Key, PriceRow]:
    """The standard row of each model that holds on a day, for a request of ordinary size."""
    found: dict[Key, PriceRow] = {}
    for row in compile_book().rows:
        holds = (row.effective_from or "") <= day < (row.effective_to or "9999")
        if row.tier == "standard" and row.above_tokens is None and holds and row.tod_from == 0:
            found[row.key] = row
    return found


def judge(listed: ListedPrice, book: dict[Key, PriceRow]) -> tuple[str, str]:
    """(agrees | differs | flagged | unpriced, what differs); flagged: our price is itself of low confidence."""
    found = resolve(listed.provider, listed.model)
    row = book.get(found.key) if found.key else None
    if row is None:
        return "unpriced", ""
    ours = dict(zip(KINDS, row.prices, strict=True))
    wrong = []
    for kind in _KINDS:
        theirs, nano = listed.prices.get(kind), ours[kind]
        if theirs is None or nano is None:  # one list tells no price of the cache, or ours has none of its own
            continue
        mine = Decimal(nano) / 10**9
        if abs(mine - theirs) > _TOLERANCE * max(mine, theirs):
            wrong.append(f"{kind} {mine.normalize():f} for {theirs.normalize():f}")
    if not wrong:
        return "agrees", ""
    unsure = row.confidence == "low" or found.confidence == "low"
    return ("flagged" if unsure else "differs"), f"{', '.join(wrong)} ({row.source}; {found.rule})"


def main() -> None:
    """Print the table of each list."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--at", default=today().isoformat(), help="The day of the lists, as ISO.")
    options = parser.parse_args()
    if not options.files:
        print("Name the lists: python -m benchmarks.price_lists FILE...")
    book = book_prices(options.at)
    for path in options.files:
        known = read_price_list(path)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        differing = []
        for listed in known.prices:
            if listed.tier != "standard" or listed.above_tokens is not None or not listed.prices.get("input"):
                continue
            verdict, told = judge(listed, book)
            counts[listed.provider][verdict] += 1
            if verdict in ("differs", "flagged"):
                differing.append((verdict, listed.provider, listed.model, told))
        whole = sum(counts.values(), Counter[str]())
        print(f"\n{path.name}: {known.name}, {whole.total():,} models with a price: {dict(whole)}")
        for host, found in sorted(counts.items(), key=lambda one: -one[1].total())[:_SHOWN_HOSTS]:
            print(f"  {host:28} {found['agrees']:5} agree {found['differs']:4} differ {found['flagged']:4} flagged "
                  f"{found['unpriced']:5} unpriced")  # fmt: skip
        for verdict, host, model, told in sorted(differing):
            if options.all or verdict == "differs":
                print(f"  {verdict} {host}/{model}: {told}")


if __name__ == "__main__":
    main()
