"""A diagnosis as a JSON document and as its summary in sentences."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from analysis import time_zone
from analysis.causes import drilldown
from analysis.diagnosis import narrative
from analysis.diagnosis.result import Diagnosis
from analysis.formatting import usd


def summary(diagnosis: Diagnosis) -> str:
    """How much against what was expected, what most of it is, and what the figures do not hold."""
    return " ".join(narrative.summary(diagnosis))


def to_json(diagnosis: Diagnosis, store: str | None = None) -> dict[str, Any]:
    """The document of `hindcast diagnose --json`: dollars as decimal strings, calls and tokens as numbers.

    `store` is the path that its commands name.
    """

    def amount(value: Decimal | None) -> Any:
        if diagnosis.metric == "cost" or value is None:
            return usd(value)
        return int(value) if value == int(value) else float(value)

    return {
        "day": diagnosis.day.isoformat(),
        "metric": diagnosis.metric,
        "by": list(diagnosis.by),
        "actual": amount(diagnosis.actual),
        "expected": amount(diagnosis.expected),
        "delta": amount(diagnosis.delta),
        "range": None if diagnosis.low is None else {"low": amount(diagnosis.low), "high": amount(diagnosis.high)},
        "flagged": diagnosis.flagged,
        "verdict": diagnosis.verdict,
        "p_value": diagnosis.p_value,
        "onset": diagnosis.onset.isoformat() if diagnosis.onset else None,
        "until": diagnosis.until.isoformat("minutes") if diagnosis.until else None,
        "exceeds_whole_day": diagnosis.exceeds_whole_day,
        "newest": diagnosis.newest,
        "left_out": diagnosis.left_out.day.isoformat() if diagnosis.left_out else None,
        "unjudged_days": [day.isoformat() for day in sorted(diagnosis.unjudged)],
        "time_zone": time_zone.label(),
        "flagged_runs": [run.to_json() for run in diagnosis.runs],
        "low_history": diagnosis.low_history,
        "baseline": {
            "kind": diagnosis.baseline.kind,
            "history_days": diagnosis.baseline.history_days,
            "days": {d.isoformat(): round(w, 6) for d, w in sorted(diagnosis.baseline.weights.items())},
            "left_out": [d.isoformat() for d in diagnosis.baseline.excluded],
        },
        "unpriced_calls": {"day": diagnosis.unpriced[0], "baseline_per_day": round(diagnosis.unpriced[1], 2)},
        "drivers": [line.to_json(amount) for line in diagnosis.drivers],
        "residual": amount(diagnosis.residual),
        "causes": [
            {
                "cause": found.cause.cause,
                "title": found.cause.title,
                "segments": found.cause.segments,
                "factors": found.cause.factors,
                "delta": amount(found.delta),
                "share": found.share,
                "undo_saves": amount(found.undo_saves),
                "surprising": found.cause.surprising,
                "confidence": round(found.cause.confidence, 4),
                "evidence": found.cause.evidence,
                "fix": found.cause.fix,
                "inside": [
                    {"dimension": one.dimension, "value": one.value, "share": round(one.share, 4)}
                    for one in found.inside
                ],
                "commands": drilldown.commands(
                    found.cause.segments, diagnosis.day_of(found), cause=found.cause.cause, store=store
                ),
                "sql": drilldown.sql(found.cause.segments, diagnosis.day_of(found), cause=found.cause.cause),
            }
            for found in diagnosis.causes
        ],
        "feedback": None
        if diagnosis.feedback is None
        else {"verdict": diagnosis.feedback.verdict, "note": diagnosis.feedback.note},
        "annotations": [one.to_json() for one in diagnosis.annotations],
        "alerts": [alert.to_json() for alert in diagnosis.alerts],
        "sentences": narrative.summary(diagnosis),
        "summary": summary(diagnosis),
    }
