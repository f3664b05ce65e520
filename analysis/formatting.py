"""How numbers read: one set of formats for the terminal, the page and the report.

Money: cents from $1 up, three significant digits below, thousands separators; `unpriced` where there is no price.
Tokens: 1.24M and 3,610. Shares with one decimal. Dates as Tue 5 Mar.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from analysis.dimensions import NONE, quoted

UNPRICED = "unpriced"
_CENT = Decimal("0.01")
_FORMULA = re.compile(r"[\s\x00-\x1f]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def money(amount: Decimal | None, *, sign: bool = False, symbol: str = "$") -> str:
    """`$1,234.50`, `$0.00123`, `-$3.20`; with `sign` also `+$3.20`. None reads `unpriced`."""
    if amount is None:
        return UNPRICED
    amount = Decimal(amount)
    size = abs(amount)
    if size >= 1 or size == 0:
        text = f"{size.quantize(_CENT, ROUND_HALF_EVEN):,}"
    else:
        digits = min(12, 2 - size.adjusted())
        text = f"{size.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN):f}"
    lead = "-" if amount < 0 else "+" if sign and amount > 0 else ""
    return f"{lead}{symbol}{text}"


def tokens(count: int | None) -> str:
    """`3,610` below a million, then `1.24M`, `2.05B`. None reads `unknown`."""
    if count is None:
        return "unknown"
    for size, unit in ((10**9, "B"), (10**6, "M")):
        if abs(count) >= size:
            return f"{count / size:.2f}{unit}"
    return f"{count:,}"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 call`, `1,204 calls`; `many` where the plural is not in -s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def share(ratio: float | None, *, sign: bool = False) -> str:
    """A ratio as a percentage with one decimal; `-` where there is none. What rounds to `0.0 %` has no sign."""
    if ratio is None:
        return "-"
    text = f"{100 * ratio:{'+' if sign else ''}.1f} %"
    return text[1:] if text in ("-0.0 %", "+0.0 %") else text


def certainty(probability: float | None) -> str:
    """A probability that is estimated: `95.3 %`, but `over 99 %` and `under 1 %`, as no finite sample bears out more;
    `-` where there is none."""
    if probability is None:
        return "-"
    return "over 99 %" if probability > 0.99 else "under 1 %" if probability < 0.01 else share(probability)


def named(value: object) -> str:
    """A dimension's value: `(none)` where the log has none; where that is the very text of the log, in quotes."""
    if value is None:
        return NONE
    return quoted(value.isoformat() if isinstance(value, date) else str(value))


def day(value: date) -> str:
    """`Tue 5 Mar`: without the year, which the context gives."""
    return f"{value:%a} {value.day} {value:%b}"


def usd(amount: Decimal | None) -> str | None:
    """The JSON form of dollars: a plain decimal string without trailing zeros, or null."""
    if amount is None:
        return None
    text = f"{Decimal(amount):f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def csv_text(text: str) -> str:
    """A text for a cell of a CSV file: one that a spreadsheet would run as a formula gets a leading apostrophe.

    Spreadsheets take a cell for a formula that begins with `=`, `+`, `-`, `@`, a tab or a carriage return (OWASP, "CSV
    Injection"), some also behind blanks or in full width. Plain numbers stay. A carriage return becomes a line feed:
    Python's csv module writes it bare, and what follows would be a row of its own.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
