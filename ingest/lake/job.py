"""What every task of an ingest into a lake knows: the lake, the run, the secret of hashed texts and how to price."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import duckdb

from ingest.lake import plan
from ingest.places.open_place import open_place
from ingest.places.place import Place
from ingest.staging.segment import ContentRules
from ingest.store.database import Store


class Pricing(Protocol):
    """Prices calls: functions of a layer above this one."""

    def update(self, store: Store) -> Any:
        """Give every call of a store its costs."""
        ...

    def forget(self, con: duckdb.DuckDBPyConnection) -> Any:
        """Let all names be resolved anew."""
        ...

    def shared(self, con: duckdb.DuckDBPyConnection) -> Any:
        """An Arrow table with the rows of the ledger, by rising number, of the calls whose costs depend on others."""
        ...

    def conclude(self, con: duckdb.DuckDBPyConnection) -> Any:
        """Write what is told from the costs of all calls together."""
        ...


@dataclass(frozen=True)
class Job:
    """Plain data: it travels to workers. The key is shown in no message."""

    lake: str
    run: str
    pricing: Callable[[], Pricing]
    key: bytes | None = field(default=None, repr=False)

    @cached_property
    def place(self) -> Place:
        """Where the lake is."""
        return open_place(self.lake)

    @property
    def plan(self) -> plan.Plan:
        """What is read."""
        return plan.load(self.lake, self.run)

    def __reduce__(self) -> tuple[Any, ...]:
        return Job, (self.lake, self.run, self.pricing, self.key)

    def rules(self) -> ContentRules:
        """How texts are kept."""
        given = self.plan.rules
        redactor = None
        if given.redact is not None:
            from ingest.contents.redaction import Redactor

            redactor = Redactor(tuple(given.redact))
        return ContentRules(given.keep, self.key, redactor)
