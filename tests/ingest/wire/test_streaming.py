"""Where providers of OpenAI's dialect put the usage of a streamed answer."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.wire import streaming

USAGE = {"prompt_tokens": 900, "completion_tokens": 10, "total_tokens": 910}


def chunk(**more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1772445600, "model": "m",
            "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}], **more}  # fmt: skip


@pytest.mark.parametrize(
    "last",
    [
        chunk(choices=[], usage=USAGE),
        chunk(x_groq={"id": "req_1", "usage": USAGE}),
        chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]),
    ],
)
def test_the_usage_is_found_wherever_the_last_chunk_has_it(last: dict[str, Any]) -> None:
    body = streaming.assemble([chunk(), last])
    assert body is not None
    assert body["usage"] == USAGE
