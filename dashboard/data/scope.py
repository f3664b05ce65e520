"""What a reader asks about: which calls of the store, and whose midnight bounds the days."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import time_zone
from analysis.dimensions import as_filter
from analysis.reports.filtered_store import filtered
from ingest.store.address import open_store
from ingest.store.database import Store


@dataclass(frozen=True)
class Scope:
    """Conditions as `--where` takes them (all calls for none), and the name of a time zone (the process's for None)."""

    where: tuple[str, ...] = ()
    zone: str | None = None

    def whole(self, path: str) -> Store:
        """The store with all its calls; days are those of the zone in this thread from here on."""
        time_zone.set_in_thread(self.zone)
        return open_store(path)

    def open(self, path: str) -> Store:
        """As `whole`, of the calls that meet the conditions alone. Raises InputError for a condition that is none."""
        return filtered(self.whole(path), self.where)

    def words(self) -> str:
        """The conditions in one line: `agent=drafting_agent and task!=draft`."""
        return str(as_filter(self.where))

    def options(self) -> str:
        """The options with which a command asks about the same calls and days."""
        import shlex

        parts = [f"--where {shlex.quote(one)}" for one in self.where] + ([f"--tz {self.zone}"] if self.zone else [])
        return " ".join(parts)
