"""Messages that are met again are known by their bytes, and measure as if they had never been met."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import content
from ingest.content import Contents, Measured, Measures
from ingest.words import count_words

TEXTS = st.text(alphabet=st.sampled_from("ab 1\t\n\r\x0b\x1c\x1f\x85\xa0é\u2003\u2028e\u0301-.:"), max_size=600)
MESSAGES = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "system"]), TEXTS),
    st.builds(lambda text: {"content": text, "name": None, "role": "user"}, TEXTS),
    st.builds(
        lambda text, more: {"role": "user", "content": [{"type": "text", "text": text}, *more]},
        TEXTS,
        st.lists(st.sampled_from([{"type": "image_url", "image_url": {"url": "u"}}, "plain", {"content": "deep"}])),
    ),
)


@given(st.text(max_size=900) | TEXTS)
def test_words_are_what_split_makes(text: str) -> None:
    for given_text in (text, text * 30):
        assert count_words(given_text) == len(given_text.split())


def oracle(message: dict[str, Any]) -> tuple[Any, ...]:
    """The measures of a message, by the plainest means."""
    kept = {key: value for key, value in message.items() if value is not None}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    logged = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    # control characters stand as \uXXXX in both; they count for the masks too
    uuid = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    masked = re.sub(r"[0-9][A-Za-z0-9_:.,+/-]*", "#", re.sub(uuid, "#", canonical))
    nfc = unicodedata.normalize("NFC", canonical)
    parts = []
    if isinstance(message["content"], str):
        parts = [message["content"]]
    else:
        for item in message["content"]:
            parts.append(item if isinstance(item, str) else item.get("text", item.get("content", "")))

    def digest(text: str) -> bytes:
        return hashlib.sha256(text.encode()).digest()[:16]

    key = digest(nfc)
    return (
        digest(canonical), key, key if masked == canonical else digest(masked), digest(logged), canonical.encode(),
        sum(map(len, parts)), sum(len(part.split()) for part in parts),
        any(isinstance(item, dict) and item.get("type") == "image_url" for item in message["content"]),
    )  # fmt: skip


def told(measured: Measured) -> tuple[Any, ...]:
    hash, key, masked, raw, text, _, chars, words, images, _ = measured
    return hash, key, masked, raw, text, chars, words, images


@settings(deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=20))
def test_remembered_measures_are_plain_ones(messages: list[dict[str, Any]], order: list[tuple[int, bool]]) -> None:
    measures = Measures()
    for place, as_logged in order:
        message = messages[place % len(messages)]
        if as_logged:  # with spaces and escapes, as Python writes JSON
            found = measures.of_logged(json.dumps(message).encode(), False, "$")
        else:
            found = measures.of_value(message, msgspec.json.encode(message), False, "$")
        assert told(found) == oracle(message)


@settings(deadline=None)
@given(st.lists(st.tuples(MESSAGES, st.booleans()), max_size=20))
def test_a_segment_holds_each_message_once_however_it_came(given_messages: list[tuple[dict[str, Any], bool]]) -> None:
    mixed, plain = Contents(Measures()), Contents(Measures())
    for message, as_logged in given_messages:
        value = msgspec.Raw(json.dumps(message).encode()) if as_logged else message
        assert mixed.add(value, "message") == plain.add(message, "message")
    assert (mixed.hashes, mixed.texts, mixed.words) == (plain.hashes, plain.texts, plain.words)
    assert len(set(mixed.hashes)) == len(mixed)


def test_memory_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MEMORY_BYTES", 10_000)
    measures = Measures()
    for number in range(300):
        message = {"role": "user", "content": f"{number % 90} " + "word " * 40}
        found = measures.of_value(message, msgspec.json.encode(message), False, "$")
        assert told(found) == oracle(message)
        held = sum(len(raw) + len(one.text or b"") for raw, one in (measures._known | measures._older).items())
        assert held <= 21_000
