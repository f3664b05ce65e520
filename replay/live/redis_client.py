"""A client of Redis that gives up soon."""

from __future__ import annotations

from typing import Any

from ingest.errors import InputError
from replay.live.answer_tiers import REDIS_TIMEOUT_S


def connect(address: str) -> Any:
    """A client of the `redis` package. Raises InputError where the extra is not installed or the address is none."""
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise InputError("a shared cache needs the package redis", remedy="pip install 'llm-hindcast[live]'") from error
    try:
        client: Any = Redis.from_url(
            address, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
    except ValueError as error:
        raise InputError(f"no address of Redis: {error}", remedy="Such as redis://localhost:6379/0") from error
    return client
