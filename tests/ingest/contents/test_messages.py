"""Messages that are met again are known by their bytes, and measure as if they had never been met."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contents.messages import Contents, Measured, Measures, count_words

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=99) | st.text(
    alphabet=st.sampled_from("ab 1\t\n\r\x0b\x1c\x1f\x85\xa0é\u2003\u2028e\u0301-.:"), max_size=600
)
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
    # control characters stand as \u and four digits in both; they count for the masks too
    uuid = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    nfc = unicodedata.normalize("NFC", canonical)
    masked = re.sub(r"[0-9][A-Za-z0-9_:.,+/-]*", "#", re.sub(uuid, "#", nfc))
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
        digest(canonical), key, key if masked == nfc else digest(masked), digest(logged), canonical.encode(),
        sum(map(len, parts)), sum(len(part.split()) for part in parts),
        any(isinstance(item, dict) and item.get("type") == "image_url" for item in message["content"]),
    )  # fmt: skip


# as logs have it: as it is, with spaces and escapes as Python writes JSON, compact
WRITERS: dict[int, Callable[[dict[str, Any]], bytes]] = {
    1: lambda message: json.dumps(message).encode(),
    2: lambda message: json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(),
}


def told(measured: Measured) -> tuple[Any, ...]:
    hash, key, masked, raw, text, _, chars, words, images, _, _ = measured
    return hash, key, masked, raw, text, chars, words, images


@settings(deadline=None)
@given(
    st.lists(MESSAGES, min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=20)
)
def test_remembered_measures_are_plain_ones(messages: list[dict[str, Any]], order: list[tuple[int, int]]) -> None:
    contents: Contents | None = None
    for segment in (order, order[::-1]):  # what one segment has met, the next one knows
        contents = Contents(Measures(), contents)
        for place, writer in segment:
            message = messages[place % len(messages)]
            value = msgspec.Raw(WRITERS[writer](message)) if writer else message
            assert told(contents.add(value, "message", "$").measured) == oracle(message)


@settings(deadline=None)
@given(st.lists(st.tuples(MESSAGES, st.integers(0, 2)), max_size=20))
def test_a_segment_holds_each_message_once_however_it_came(given_messages: list[tuple[dict[str, Any], int]]) -> None:
    mixed, plain = Contents(Measures()), Contents(Measures())
    for message, writer in given_messages:
        value = msgspec.Raw(WRITERS[writer](message)) if writer else message
        assert mixed.add(value, "message", "$") == plain.add(message, "message", "$")
    assert mixed.measured == plain.measured
    assert len({one.hash for one in mixed.measured}) == len(mixed)


@given(st.text(alphabet=st.sampled_from("ae\u0301\u00e9 17-"), max_size=30))
def test_masking_merges_at_least_what_normalising_merges(text: str) -> None:
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    written = [json.dumps({"role": "user", "content": form}, ensure_ascii=False).encode() for form in forms]
    one, other = (Measures().of_logged(line, False, "x") for line in written)
    assert one.key == other.key
    assert one.masked == other.masked
