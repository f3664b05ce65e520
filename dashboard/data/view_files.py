"""Views that readers have saved: a name, a page and its address, in one file of the working folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ingest.errors import InputError

FILE: Final = Path("dashboard-views.json")
LONGEST: Final = 80  # characters of a name
MOST: Final = 200


@dataclass(frozen=True)
class SavedView:
    """One view. `query`: names and values of the address; `page`: the page's path, empty for the first."""

    name: str
    page: str
    query: dict[str, list[str]]


def read(path: Path = FILE) -> list[SavedView]:
    """The views in the order of their names; none where there is no file. Raises InputError for another file."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return sorted(
            (
                SavedView(str(row["name"]), str(row["page"]), {k: list(map(str, v)) for k, v in row["query"].items()})
                for row in rows
            ),
            key=lambda view: view.name.casefold(),
        )
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} holds no saved views", remedy="Mend it, or move it away.") from error


def save(view: SavedView, path: Path = FILE) -> None:
    """Add a view, in place of one of the same name. Raises InputError for a name that is empty, long or no one line."""
    name = view.name.strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        raise InputError(f"the name of a view is one line of 1 to {LONGEST} characters", remedy="Choose another name.")
    kept = [one for one in read(path) if one.name != name]
    if len(kept) >= MOST:
        raise InputError(f"there are {MOST} saved views already", remedy="Remove one first.")
    _write([*kept, SavedView(name, view.page, view.query)], path)


def remove(name: str, path: Path = FILE) -> None:
    """Forget a view, if there is one of that name."""
    _write([one for one in read(path) if one.name != name], path)


def _write(views: list[SavedView], path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps([asdict(one) for one in views], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
