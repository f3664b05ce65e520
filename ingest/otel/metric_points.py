"""Metrics of tokens and costs: sums over many calls, from which no call can be made.

Coding agents and instrumentations export them beside their events or spans (`claude_code.token.usage`,
`gemini_cli.token.usage`, `gen_ai.client.token.usage`), or alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ingest.otel.genai_attributes import flat
from ingest.records.call import NOTHING, BadRecordError, Claimed, Skip, pico_dollars, token_count

_REASON = "metrics, which sum calls up"
_CUMULATIVE = (2, "2", "AGGREGATION_TEMPORALITY_CUMULATIVE", "CUMULATIVE")
_SCOPES, _POINTS = ("scopeMetrics", "scope_metrics"), ("dataPoints", "data_points")


class Metrics:
    """The exports of metrics in one file, and what they sum up."""

    def __init__(self) -> None:
        self._exports: list[Claimed] = []
        self._running: dict[str, float] = {}  # series -> its last cumulative value

    def add(self, record: Any) -> None:
        """Take in one export."""
        tokens = cost = 0
        for name, point, cumulative in _points(record):
            value = point.get("asDouble", point.get("asInt", point.get("sum", point.get("value"))))
            if isinstance(value, dict):  # a histogram of the SDK's own writer
                value = value.get("sum")
            try:
                number = float(value)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                continue
            if cumulative:
                series = f"{name} {sorted(flat(point.get('attributes')).items(), key=str)}"
                before, self._running[series] = self._running.get(series, 0.0), number
                number = number - before if number >= before else number
            try:
                if "cost" in name:
                    cost += pico_dollars(number, "$") or 0
                else:
                    tokens += token_count(round(number), "$") or 0
            except BadRecordError:
                continue
        self._exports.append(Claimed(tokens, max(0, cost)))

    def close(self, *, calls: bool) -> Iterable[Skip]:
        """One outcome for each export; `calls`: the file has calls, which the metrics sum up."""
        while self._exports:
            claims = self._exports.pop(0)
            yield Skip(_REASON, claims=NOTHING if calls else claims)


def is_metrics(record: Any) -> bool:
    """Whether a record is an export of metrics."""
    return isinstance(record, dict) and not record.keys().isdisjoint(
        ("resourceMetrics", "resource_metrics", "scopeMetrics", "scope_metrics")
    )


def _points(record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(metric, data point, whether its value is cumulative) of metrics of tokens and costs."""
    groups = record.get("resourceMetrics", record.get("resource_metrics", [record]))
    for group in groups if isinstance(groups, list) else ():
        for scope in _list(group, _SCOPES):
            for metric in _list(scope, ("metrics",)):
                if not isinstance(metric, dict):
                    continue
                descriptor = metric.get("descriptor")
                name = str(metric.get("name") or (descriptor.get("name") if isinstance(descriptor, dict) else ""))
                if not any(word in name for word in ("token", "cost")) or "duration" in name or "time" in name:
                    continue
                data = next((metric[kind] for kind in ("sum", "histogram", "gauge") if kind in metric), metric)
                if not isinstance(data, dict):
                    continue
                temporality = data.get("aggregationTemporality", data.get("aggregation_temporality"))
                if data is metric:  # the SDK's own writer: 0 delta, 1 cumulative
                    cumulative = temporality in (1, "1")
                else:
                    cumulative = temporality in _CUMULATIVE
                for point in _list(data, _POINTS):
                    if isinstance(point, dict):
                        yield name, point, cumulative


def _list(value: Any, names: tuple[str, ...]) -> list[Any]:
    if not isinstance(value, dict):
        return []
    return next((value[name] for name in names if isinstance(value.get(name), list)), [])
