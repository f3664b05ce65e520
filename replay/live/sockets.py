"""Sockets of the proxy: one to listen at, and how many the process may have."""

from __future__ import annotations

import contextlib
import socket
from typing import Final

DESCRIPTORS_A_STREAM: Final = 2
DESCRIPTORS_KEPT: Final = 200  # for the log, Redis and the rest of the program


def listening(host: str, port: int) -> socket.socket:
    """Raises OSError, OverflowError.

    The protocol is named, because asyncio sends small packets at once only on sockets that name it (`_set_nodelay` in
    `asyncio/base_events.py`, 3.11): without, each answer waits some 40 ms for an acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(4096)
    except BaseException:
        made.close()
        raise
    return made


def most_streams(wished: int) -> int:
    """How many calls at the same time the process has descriptors for, at most `wished`; it takes what it may."""
    try:
        import resource
    except ImportError:  # pragma: no cover
        return 1_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wished * DESCRIPTORS_A_STREAM + DESCRIPTORS_KEPT
    if soft < wanted or soft == resource.RLIM_INFINITY:
        least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(min(wished, (soft - DESCRIPTORS_KEPT) // DESCRIPTORS_A_STREAM), 1)
