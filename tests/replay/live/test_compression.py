"""Compressing one request about to be sent: what a column of logged requests becomes, and once is enough."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import compressors
from replay.live.compression import compressed, refusal
from replay.live.request_contents import contents_of
from replay.strategy.schema import Compressor

CHAT = "/v1/chat/completions"
LIVE = [name for name in compressors.names() if refusal(Compressor(name=name)) is None]
_PARAGRAPH = "This paragraph is long enough to be said once, as it has more than " + "so many " * 8 + "characters."
_TEXTS = st.lists(
    st.sampled_from([
        "word", "  two  blanks  ", "\n\n\n\n", _PARAGRAPH, "\n\n", "Please kindly note that ", "basically, ",
        "Thank you! ", "Example 1: a\n", "Example 2: b\n", "### Example 3\nc\n", "```\n  x  \n```",
        "<document>one</document>", "<document>two</document>\n", "[1] chunk\n", "[2] chunk\n", "é\u0301",
        '{"a": 1,\n  "b": [1, 2]}',
    ]), max_size=12,
).map("".join)  # fmt: skip
_MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant"]), _TEXTS),
        _TEXTS.map(lambda text: {"role": "tool", "tool_call_id": "c", "content": text}),
        _TEXTS.map(lambda text: {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url"}]}),
    ),
    min_size=1, max_size=14,
)  # fmt: skip
_BODIES = st.builds(
    lambda system, said, tools: {"model": "m", "messages": [{"role": "system", "content": system}, *said]} | tools,
    _TEXTS, _MESSAGES,
    st.sampled_from([{}, {"tools": [{"type": "function", "function": {
        "name": "f", "description": "d", "parameters": {"properties": {"x": {"type": "string", "description": "e"}}},
    }}]}]),
)  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
@settings(max_examples=40, deadline=None)
@given(_BODIES)
def test_a_compressed_request_is_compressed_no_further(name: str, body: dict[str, Any]) -> None:
    # else the replay of a log of compressed requests would find something to save
    once = compressed(body, CHAT, [Compressor(name=name)])
    if once is not None:
        assert once.body != body
        assert {key: value for key, value in once.body.items() if key not in ("messages", "tools")} == {"model": "m"}
        assert compressed(once.body, CHAT, [Compressor(name=name)]) is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            CHAT,
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "tools": [{"a": 1}]},
        ),
        ("/v1/messages", {"system": [{"type": "text", "text": "s"}], "messages": [{"role": "user", "content": "u"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "u"}]}),
        ("/v1/responses", {"instructions": "s", "input": "u"}),
        ("/v1/responses", {"input": [{"role": "user", "content": "u"}, {"type": "function_call", "name": "f"}]}),
        ("/v1/completions", {"prompt": "u"}),
    ],
)
def test_what_is_taken_out_of_a_body_goes_back_where_it_stood(path: str, body: dict[str, Any]) -> None:
    found = contents_of(body, path)
    assert found is not None
    assert found.put(found.tools, found.messages) == body


def test_the_input_of_embeddings_and_unknown_shapes_are_left_alone() -> None:
    assert contents_of({"input": "two  blanks"}, "/v1/embeddings") is None
    assert contents_of({"messages": ["text"]}, CHAT) is None
    assert contents_of({"prompt": ["one", "two"]}, "/v1/completions") is None
    assert compressed({"contents": []}, "/v1/models/m:generateContent", [Compressor(name="whitespace")]) is None
