"""A clock for programs of days: it leaps where they sleep."""

from __future__ import annotations

import threading
import time

import pytest


class Clock:
    """Begins at `start`; sleeping moves it and takes no time."""

    def __init__(self, start: float) -> None:
        self._ahead = start - time.time()
        self._real = time.time
        self._lock = threading.Lock()

    def time(self) -> float:
        return self._real() + self._ahead

    def time_ns(self) -> int:
        return round(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._ahead += max(seconds, 0.0)


def leaping_clock(monkeypatch: pytest.MonkeyPatch, start: float) -> Clock:
    """The clock of the whole process for the rest of the test, from `start` (seconds since 1970) on."""
    clock = Clock(start)
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "time_ns", clock.time_ns)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock
