"""Results that several strategies over one traffic share: each is made once, by whoever asks first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock, RLock
from typing import Any, TypeVar

from replay.strategy.schema import Strategy

_T = TypeVar("_T")


@dataclass
class Shared:
    """What several strategies over one traffic need once: results by what they depend on.

    `of` tells beforehand who will share: texts are loaded and counted for all of them together.
    """

    of: Sequence[Strategy] = ()
    made: dict[object, Any] = field(default_factory=dict, repr=False)
    _locks: dict[object, RLock] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def once(self, key: object, make: Callable[[], _T]) -> _T:
        """The result of `make` for this key, made at most once, also where threads ask for it together."""
        with self._lock:
            lock = self._locks.setdefault(key, RLock())
        with lock:
            if key not in self.made:
                self.made[key] = make()
            found: _T = self.made[key]
            return found
