"""What a shadow run has paid for, written down before and after every call, so that nothing is paid twice.

One JSON object a line, flushed to the disk. A call that was begun and never finished counts as paid at its worst case:
the answer may have been billed when the process died.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ingest.errors import InputError
from ingest.store import file_lock


@dataclass
class Journal:
    """The open record of one run. `spent` is in pico-dollars and holds begun calls at their worst case."""

    path: Path
    _lock: IO[bytes]
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, plan: dict[str, Any]) -> Journal:
        """Read what is there, or begin. Raises InputError where it is of another plan, or another run holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = file_lock.open_private(path.with_name(path.name + ".lock"))
        if not file_lock.acquire(lock, exclusive=True, patience_s=0):
            lock.close()
            raise InputError(f"another run is recording in {path}", remedy="Wait for it, or give another --journal.")
        journal = cls(path, lock)
        try:
            return journal._begin_or_resume(plan)
        except BaseException:
            lock.close()
            raise

    def _begin_or_resume(self, plan: dict[str, Any]) -> Journal:
        if self.path.exists():
            self._read(plan)
        else:
            self._write({"plan": plan})
        return self

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _read(self, plan: dict[str, Any]) -> None:
        text = self.path.read_bytes()
        lines = text.split(b"\n")
        whole = len(text) - len(lines[-1])
        if whole < len(text):  # cut short in the middle of a line: that line was never promised
            with self.path.open("r+b") as handle:
                handle.truncate(whole)
        for number, line in enumerate(lines[:-1], start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise InputError("not a journal of a shadow run", where=f"{self.path}:{number}") from error
            if "plan" in entry:
                if entry["plan"] != plan:
                    raise InputError(
                        f"{self.path} belongs to another run (another model, judge, sample or seed)",
                        remedy="Repeat the first command to resume it, or give another --journal.",
                    )
            elif "cancel" in entry:
                self.begun.pop(entry["cancel"], None)
            elif "begin" in entry:
                self.begun[entry["begin"]] = int(entry["reserved"])
            else:
                self.begun.pop(entry["key"], None)
                self.done[entry["key"]] = entry

    @property
    def spent(self) -> int:
        return sum(int(entry["cost"]) for entry in self.done.values()) + sum(self.begun.values())

    def seen(self, key: str) -> bool:
        """Whether this call was ever begun: it is not begun again."""
        return key in self.done or key in self.begun

    def begin(self, key: str, reserved: int) -> None:
        """Promise to pay at most `reserved` for this call."""
        self.begun[key] = reserved
        self._write({"begin": key, "reserved": reserved})

    def cancel(self, key: str) -> None:
        """The call never reached a model: nothing was paid, and it may be asked again."""
        self.begun.pop(key, None)
        self._write({"cancel": key})

    def finish(self, key: str, cost: int, **facts: Any) -> None:
        """What the call really cost, and what it gave."""
        entry = {"key": key, "cost": cost, **facts}
        self.begun.pop(key, None)
        self.done[key] = entry
        self._write(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(self.path, mode, 0o600), "ab") as handle:  # answers are their owner's only
            handle.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
