"""The strategy files at hand: those that come with the package, and those of the working folder's `strategies/`."""

from __future__ import annotations

import base64
import difflib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import InputError, StrategyError
from replay.strategy.schema import Strategy, parse

FOLDER = Path("strategies")
LONGEST = 60_000  # bytes of a strategy that an address may hold
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
ADDRESS = 6_000  # characters of an address that browsers and mail programs let through


@dataclass(frozen=True)
class Entry:
    """One strategy file: its text as it stands, and either the strategy or why it is none."""

    name: str
    path: str
    text: str
    strategy: Strategy | None
    problem: str | None = None


def entries(folder: Path = FOLDER) -> list[Entry]:
    """The package's strategies first, in their own order, then the folder's by file name.

    A file of the folder takes the place of a packaged one of the same name.
    """
    import sample_logs

    own = sorted(folder.glob("*.y*ml")) if folder.is_dir() else []
    found: dict[str, Entry] = {}
    for path in [*(Path(path) for path in sample_logs.strategies()), *own]:
        entry = read(path)
        found[entry.name] = entry
    return list(found.values())


def read(path: Path) -> Entry:
    """One file; a wrong one is an entry with its problem, so that it can be mended."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Entry(path.stem, str(path), "", None, f"{path} cannot be read: {error}")
    return check(text, path.name, name=path.stem, path=str(path))


def check(text: str, where: str, *, name: str = "edited", path: str = "") -> Entry:
    """A text as an entry: the error names the line and the nearest right key."""
    try:
        strategy = parse(text, where)
    except StrategyError as error:
        return Entry(name, path, text, None, str(error))
    return Entry(strategy.name, path, text, strategy)


def difference(before: str, after: str) -> str:
    """What an edit changed, as a unified diff; empty if nothing."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "as it was", "as edited", lineterm="", n=1)
    return "\n".join(lines)


def rename(entry: Entry, name: str) -> Entry:
    """The same strategy under another name, in its text too."""
    if entry.strategy is None or not name.strip():
        return entry
    line = f"name: {json.dumps(name.strip(), ensure_ascii=False)}"
    text, found = re.subn(r"(?m)^name:.*$", lambda _match: line, entry.text, count=1)
    return check(text if found else f"{line}\n{entry.text}", f"{name}.yaml")


def packed(text: str) -> str:
    """A text as a part of an address."""
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpacked(code: str) -> str | None:
    """The text that `packed` wrote so; None for anything else, and for more than LONGEST bytes."""
    try:
        inflate = zlib.decompressobj()
        found = inflate.decompress(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)), LONGEST + 1)
        return found.decode() if len(found) <= LONGEST and inflate.eof else None
    except (ValueError, zlib.error):
        return None


def cache_strategy(key: str, life_ms: int, *, hot: bool) -> str:
    """The strategy file of a shared cache without a bound on its size; calls above temperature 0 pass it by unless
    they are `hot`."""
    life = next(f"{life_ms // ms}{unit}" for unit, ms in _UNITS.items() if life_ms % ms == 0)
    bypass = "" if hot else "  max_temperature: 0\n"
    return (
        f"name: shared cache {life}\ndescription: A shared cache that keeps answers for {life}, as of the Cache lab.\n"
        f"cache:\n  key: {key}\n{bypass}  tiers:\n    - {{name: shared, scope: shared, ttl: {life}}}\n"
    )


def save(entry: Entry, folder: Path = FOLDER) -> Path:
    """Write an edited strategy to `folder` under its own name. Raises InputError if the name is no file name."""
    if entry.strategy is None:
        raise InputError("a strategy with an error is not saved", remedy="Mend it first.")
    slug = re.sub(r"[^A-Za-z0-9]+", "-", entry.name).strip("-").lower()
    if not slug:
        raise InputError(f"'{entry.name}' gives no file name", remedy="Use letters or digits in `name`.")
    folder.mkdir(exist_ok=True)
    path = folder / f"{slug[:80]}.yaml"
    path.write_text(entry.text if entry.text.endswith("\n") else f"{entry.text}\n", encoding="utf-8")
    return path
