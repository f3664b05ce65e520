"""The calls that a strategy makes beside the caller's own: a classifier, a cascade's steps, a fallback.

Each is logged as a call of its own, with a tag that names what it was; the replay leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ingest.capture.log_line import Captured, answer_of, make
from ingest.wire.request_response import dialect_of
from replay.live.decision import one_row
from replay.live.http_messages import with_body
from replay.live.live_request import LiveRequest
from replay.stages import rule_evaluation
from replay.strategy.fields import Selection
from replay.strategy.schema import Classifier, Escalate

CLASSIFIER_S: Final = 10.0  # it has so long
_CHARACTERS_PER_TOKEN: Final = 4
_LEAST_OUTPUT: Final = 16  # the Responses API takes no smaller limit
_CREDENTIAL: Final = frozenset({401, 403})
_ANSWERED: Final = ("output_tokens", "status", "finish_reason", "input_tokens")


def may_fall_back(status: int) -> bool:
    """Whether another model may answer a request that failed so: not where the credential is refused."""
    return status >= 400 and status not in _CREDENTIAL


def classifier_request(request: Any, seen: LiveRequest, spec: Classifier, model: str) -> Any:
    """The question about a call to the small model, at the provider and with the credential of the call.

    None where the call is none that the model can be asked about.
    """
    path = request.url.path
    text = seen.spoken
    if not text or not path.endswith(("/chat/completions", "/messages", "/responses")):
        return None
    most = spec.input_tokens * _CHARACTERS_PER_TOKEN
    asks = f"{spec.asks}\nAnswer with one of these and nothing else: {', '.join(spec.labels)}"
    limit = max(spec.output_tokens, _LEAST_OUTPUT)
    if path.endswith("/messages"):
        body: dict[str, Any] = {"system": asks, "messages": [{"role": "user", "content": text[:most]}]}
        return with_body(request, {"model": model, "max_tokens": limit, **body}, timeout_s=CLASSIFIER_S)
    said = [{"role": "system", "content": asks}, {"role": "user", "content": text[:most]}]
    path = path.replace("/responses", "/chat/completions") if path.endswith("/responses") else path
    body = {"model": model, "temperature": 0, "max_tokens": limit, "messages": said}
    return with_body(request, body, path, CLASSIFIER_S)


def label_of(body: bytes, labels: Sequence[str]) -> str | None:
    """The label that an answer names: the one that stands first in it, the longest of those."""
    answer = answer_of(body)
    if dialect_of(answer) is None:
        return None
    parts: list[str] = []
    _texts(answer.get("choices") or answer.get("content") or answer.get("output"), parts)
    said = " ".join(parts).casefold()
    places = [(said.find(label.casefold()), -len(label), label) for label in labels]
    return min((place for place in places if place[0] >= 0), default=(0, 0, None))[2]


def escalates(spec: Escalate, seen: LiveRequest, captured: Captured, draw: float) -> bool:
    """Whether the answer of a cascade's step is not kept, by the condition of the file on the call as it went."""
    if spec.share is not None:
        return draw < spec.share
    signal = Selection(when=spec.when)
    line = make(captured, False)
    columns = rule_evaluation.columns_of([signal])
    values = {name: line.get(name) if name in _ANSWERED else seen.column(name) for name in columns}
    return bool(np.any(rule_evaluation.selected(signal, one_row(values))))


def _texts(value: Any, parts: list[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _texts(item, parts)
    elif isinstance(value, dict):
        for key in ("message", "content", "text"):
            if isinstance(value.get(key), str):
                parts.append(value[key])
            else:
                _texts(value.get(key), parts)
