"""The journal of `hindcast watch --listen`: lines of OTLP JSON, as `ingest.receive` writes them.

A sender repeats an export whose answer it did not get, so a record that is sent twice is one call: events without an id
are known by what they say.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ingest.format_contract import Format, Outcome
from ingest.formats.otlp import Export
from ingest.records.call import Call

MARK = "hindcastReceived"  # the key by which these lines are told from other OTLP JSON
_encode = msgspec.json.Encoder(order="sorted").encode


class Received(Export):
    """Reads the lines of one part of the journal."""

    def _agent_event(
        self, name: str, values: dict[str, Any], resource: dict[str, Any], event: dict[str, Any]
    ) -> Outcome:
        found = super()._agent_event(name, values, resource, event)
        if isinstance(found, Call) and found.identity is None:
            told = _encode([name, found.end_us, values])
            found.identity = f"otlp:{hashlib.sha256(told).hexdigest()[:32]}"
        return found


FORMAT = Format(
    name="otlp_received",
    title="OTLP received by hindcast watch",
    fingerprints=(frozenset({MARK}),),
    matches=lambda record: isinstance(record, dict) and MARK in record,
    open=Received,
    rank=5,
)
