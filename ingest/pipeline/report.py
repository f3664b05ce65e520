"""The report of an ingest: what was read, what was left out, and the two checks of it that end in an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ingest.errors import GateError, HindcastError
from ingest.records.claimed_usage import UNREAD
from ingest.staging.segment import USAGE_REPORT


@dataclass
class IngestReport:
    """What an ingest did. `rows = calls + duplicates + quarantined + skipped`, in total and for each file."""

    files: list[dict[str, Any]] = field(default_factory=list)
    problems: list[HindcastError] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)  # files of a folder that are no logs
    hidden: list[str] = field(default_factory=list)  # files and folders of a folder that were not looked at
    passed_over_usage: list[str] = field(default_factory=list)  # of those, the ones that name usage nevertheless
    replaced: dict[str, int] = field(default_factory=dict)  # objects written anew, and how many calls of theirs went

    def _sum(self, name: str) -> int:
        return sum(file[name] for file in self.files)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return self._sum("rows")

    @property
    def calls(self) -> int:
        """Calls that are new in the store."""
        return self._sum("calls")

    @property
    def duplicates(self) -> int:
        """Rows whose call was known already."""
        return self._sum("duplicates")

    @property
    def quarantined(self) -> int:
        """Rows that could not be used."""
        return self._sum("quarantined")

    @property
    def skipped(self) -> int:
        """Rows that are no calls."""
        return sum(sum(file["skipped"].values()) for file in self.files)

    @property
    def left_out(self) -> dict[str, int]:
        """Rows that name usage and became no call, and the tokens and pico-dollars that they name."""
        found = {"rows": 0, "tokens": 0, "cost_pico": 0}
        for file in self.files:
            for lost in file["left_out"]:
                found["rows"] += lost["rows"]
                found["tokens"] += lost["tokens"]
                found["cost_pico"] += int(Decimal(lost["logged_cost_usd"]).scaleb(12))
        return found

    @property
    def ambiguous(self) -> int:
        """Calls whose counts can be read in two ways and have no price."""
        return sum(file["flagged"].get("ambiguous_usage", 0) for file in self.files)

    @property
    def unread(self) -> int:
        """Calls whose own fields name token counts that were not read."""
        return sum(file["flagged"].get(UNREAD, 0) for file in self.files)

    @property
    def empty_files(self) -> list[str]:
        """Files with rows of which none is a call or a row of a usage report."""
        return [
            file["path"]
            for file in self.files
            if file["rows"] and not file["calls"] + file["duplicates"] and USAGE_REPORT not in file["skipped"]
        ]

    def check_strict(self) -> None:
        """Raise GateError if a row or file with usage was not read, a call is ambiguous, or nothing at all is one."""
        lost, faults = self.left_out, []
        if lost["rows"]:
            faults.append(f"{lost['rows']:,} rows with usage were not read ({lost['tokens']:,} tokens)")
        if self.passed_over_usage:
            faults.append(
                f"{len(self.passed_over_usage):,} files with usage are of no known format: {self.passed_over_usage[0]}"
            )
        if self.ambiguous:
            faults.append(f"the tokens of {self.ambiguous:,} calls can be read in two ways")
        if self.unread:
            faults.append(f"the tokens of {self.unread:,} calls stand under names that are not known")
        if self.files and len(self.empty_files) == len(self.files):
            faults.append("no row is a call")
        if faults:
            raise GateError(
                f"--strict: {'; '.join(faults)}",
                remedy="Everything usable was stored. --json lists `left_out` and `flagged` for each file.",
            )

    def check(self, max_bad_ratio: float) -> None:
        """Raise GateError if more than this share of the rows was unusable."""
        if self.rows and self.quarantined > max_bad_ratio * self.rows:
            raise GateError(
                f"{self.quarantined:,} of {self.rows:,} rows were unusable, above --max-bad-ratio {max_bad_ratio}",
                remedy="See why: hindcast ingest --explain FILE; everything usable was stored.",
            )

    def to_json(self) -> dict[str, Any]:
        """The report as the command prints it with --json."""
        return {
            "calls": self.calls,
            "duplicates": self.duplicates,
            "quarantined": self.quarantined,
            "logged_elsewhere": self._sum("logged_elsewhere"),
            "skipped": self.skipped,
            "rows": self.rows,
            "left_out": {
                "rows": self.left_out["rows"],
                "tokens": self.left_out["tokens"],
                "logged_cost_usd": f"{Decimal(self.left_out['cost_pico']).scaleb(-12):f}",
            },
            "ambiguous": self.ambiguous,
            "usage_not_read": self.unread,
            "empty_files": self.empty_files,
            **({"replaced": self.replaced} if self.replaced else {}),
            "files": self.files,
            "passed_over": self.passed_over,
            "passed_over_usage": self.passed_over_usage,
            "hidden": self.hidden,
            "problems": [str(problem) for problem in self.problems],
        }
