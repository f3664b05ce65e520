"""Amounts and counts of an unknown log that need more than a path: other units, currencies, parts, running sums."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

from ingest.detect.field_names import CACHE, INPUT, KILO, MONEY, OUTPUT, TOKEN, Values, is_number, words
from ingest.records.call import BadRecordError
from ingest.records.number_text import CURRENCIES, number

_MICRO, _NANO = {"micro", "micros", "microusd", "microdollars"}, {"nano", "nanos", "nanousd", "nanodollars"}
_NO_PART = TOKEN | CACHE | {"per", "rate", "unit", "million", "limit", "budget", "max"}
_SIGN = re.compile(r"[^\d\s.,+-]+")
# rank, depth, path, values by the number of their record
Candidate = tuple[int, int, str, dict[int, Any]]


def scale_of(path: str) -> float | None:
    """What a number of a path has to be multiplied by, where its name tells: `cost_micros`, `input_ktokens`."""
    found = {*words(path.rpartition(".")[2])}
    if found & KILO:
        return 1000.0
    if found & MONEY and found & (_MICRO | _NANO):
        return 1e-6 if found & _MICRO else 1e-9
    return None


def foreign_currency(path: str, values: Values) -> str | None:
    """The code of a currency other than the dollar that the name or the numbers tell; None where none does."""
    codes = {code for code in CURRENCIES.values() if code != "USD"}
    named = next((word.upper() for word in words(path.rpartition(".")[2]) if word.upper() in codes), None)
    if named is not None:
        return named
    signs = (sign for value in values if isinstance(value, str) for sign in _SIGN.findall(value))
    return next((code for sign in signs if (code := CURRENCIES.get(sign.lower())) in codes), None)


def sides_of_cost(paths: dict[str, dict[int, Any]]) -> list[str]:
    """The paths of what the input and the output of a call cost; empty where one of them is missing."""
    sides: dict[str, str] = {}
    for theirs in sorted(paths, key=lambda path: (path.count("."), path)):
        found = {*words(theirs.rpartition(".")[2])}
        asked, made = bool(found & INPUT), bool(found & OUTPUT)
        if not found & MONEY or found & _NO_PART or asked == made or foreign_currency(theirs, []) is not None:
            continue
        if all(map(is_number, paths[theirs].values())):
            sides.setdefault("input" if asked else "output", theirs)
    return [sides["input"], sides["output"]] if len(sides) == 2 else []


def drop_running_sums(candidates: dict[str, list[Candidate]], notes: list[str], used: set[str]) -> None:
    """Drop a path whose numbers are another's added up from record to record, as the cost of a session so far."""
    for found in candidates.values():
        for one in [*found]:
            for other in found:
                if one is other or len(one[3]) < 2 or one[3].keys() != other[3].keys():
                    continue
                parts, sums = _numbers(other[3]), _numbers(one[3])
                if sums != parts and all(map(math.isclose, sums, itertools.accumulate(parts))):
                    notes.append(f"{one[2]} adds up {other[2]} from record to record and was left out")
                    used.add(one[2])
                    found.remove(one)
                    break


def _numbers(values: dict[int, Any]) -> list[float]:
    found = []
    for value in values.values():
        try:
            found.append(float(number(value, "$", whole=True) or 0))
        except BadRecordError:
            found.append(0.0)
    return found
