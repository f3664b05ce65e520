"""What became of one call at the caches: one code per call, so that any group-by gives hit rate and dollars."""

from __future__ import annotations

from typing import Final

MISS: Final = 0  # the key was never stored, or was evicted
HIT: Final = 1  # served by the first tier; HIT + i is tier i (at most 6 tiers)
COALESCED: Final = 8  # waited for an equal call that was in flight
EXPIRED: Final = 9  # a miss whose key had been stored and whose time to live had passed
BYPASSED: Final = 10  # never looked up: not demand (a retry), not cacheable by rule, or no key
MAX_TIERS: Final = 6
