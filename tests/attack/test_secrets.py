"""A secret in any field of any format never reaches the store under --redact; --metadata-only keeps no words at all."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visits import ROOT

from ingest.contents.redaction import Redactor
from ingest.contents.secret_patterns import KINDS
from ingest.pipeline.run import ingest
from ingest.store.database import Store

# chunks of one text are put together, so that what is planted in one would touch the next: a test of its own below
FORMATS = [path for path in sorted((ROOT / "sample_logs" / "formats").glob("*.jsonl")) if path.stem != "stream_chunks"]
LETTERS = string.ascii_letters + string.digits


def chars(rng: random.Random, count: int, alphabet: str = LETTERS) -> str:
    """Random ones, a small and a capital letter and a digit among them."""
    found = "".join(rng.choices(alphabet, k=count))
    return f"{found[:-3]}aB7" if set("aB7") <= set(alphabet) else found


def luhn(digits: str) -> str:
    doubled = [int(d) * (2 if place % 2 == 0 else 1) for place, d in enumerate(reversed(digits))]
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def iban(country: str, account: str) -> str:
    rest = int("".join(str(int(mark, 36)) for mark in f"{account}{country}00")) % 97
    return f"{country}{98 - rest:02}{account}"


def secrets(seed: int) -> dict[str, tuple[str, str]]:
    """By kind: a text with a secret in it, and its part that nobody may see. All are made up here."""
    rng = random.Random(seed)
    prefixes = (
        "sk-proj-", "sk-ant-api03-", "sk-or-v1-", "pk-lf-", "sk_live_", "rk_test_", "ghp_", "gho_", "ghs_",
        "github_pat_", "glpat-", "xoxb-", "xoxp-", "xapp-1-", "AIza", "ya29.", "GOCSPX-", "hf_", "gsk_", "xai-", "r8_",
        "pplx-", "nvapi-", "npm_", "pypi-", "dckr_pat_", "shpat_", "lin_api_", "sntrys_", "figd_", "whsec_", "hvs.",
    )  # fmt: skip
    found = {prefix: (prefix + (body := chars(rng, 40)), body) for prefix in prefixes}
    digits = string.digits
    found["aws id"] = ("AKIA" + (body := chars(rng, 16, string.ascii_uppercase + digits)), body)
    # by rule of its kind at least 4.2 bits a character: every character once, as if drawn without putting back
    body = "".join(rng.sample(LETTERS.replace("a", "").replace("B", "").replace("7", "") + "+/", 37)) + "aB7"
    found["aws secret"] = (body, body)
    found["twilio"] = ("SK" + (body := chars(rng, 32, "0123456789abcdef")), body)
    found["digital ocean"] = ("dop_v1_" + (body := chars(rng, 64, "0123456789abcdef")), body)
    parts = [
        base64.urlsafe_b64encode(text).decode().rstrip("=") for text in (b'{"alg":"HS256"}', b'{"sub":"ada lovelace"}')
    ]
    found["jwt"] = (f"{parts[0]}.{parts[1]}.{chars(rng, 43)}", parts[1])
    found["bearer"] = ("Bearer " + (body := chars(rng, 30)), body)
    body = base64.b64encode(f"user:{chars(rng, 12)}".encode()).decode()
    found["basic"] = (f"Authorization: Basic {body}", body.rstrip("="))
    found["url"] = (f"postgres://admin:{(body := chars(rng, 12))}@db.internal/prod", body)
    found["password"] = (f"password={(body := chars(rng, 11))}!", body)
    found["client secret"] = (f'client_secret: "{(body := chars(rng, 18))}"', body)
    found["azure storage"] = (f"AccountKey={(body := chars(rng, 80))}==;EndpointSuffix=core.windows.net", body)
    found["query"] = (f"https://api.example.com/v1?api_key={(body := chars(rng, 24))}&page=2", body)
    found["email"] = (f"{(body := chars(rng, 10, string.ascii_lowercase))}@corp.example", body)
    found["idn email"] = (f"jörg.{(body := chars(rng, 8, string.ascii_lowercase))}@exämple.de", body)
    body = luhn("4" + chars(rng, 14, digits))
    found["card"] = (body, body)
    spaced = " ".join(body[place : place + 4] for place in range(0, 16, 4))
    found["card with blanks"] = (f"{spaced} 12 pieces", spaced)
    body = iban("DE", chars(rng, 18, digits))
    found["iban"] = (body, body)
    spaced = " ".join(body[place : place + 4] for place in range(0, 22, 4))
    found["iban with blanks"] = (f"{spaced} BANK", spaced)
    body = f"{rng.randint(100, 600)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"
    found["ssn"] = (body, body)
    body = f"{rng.randint(200, 999)}-{rng.randint(200, 999)}-{rng.randint(1000, 9999)}"
    found["phone"] = (body, body)
    found["phone abroad"] = (body := f"+49 170 {rng.randint(1000000, 9999999)}", body)
    found["private key"] = (
        f"-----BEGIN RSA PRIVATE KEY-----\n{(body := chars(rng, 64))}\n-----END RSA PRIVATE KEY-----",
        body,
    )
    found["private key, cut"] = (f"-----BEGIN PRIVATE KEY-----\n{(body := chars(rng, 64))}", body)
    found["slack webhook"] = (f"https://hooks.slack.com/services/T0/B0/{(body := chars(rng, 24))}", body)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_is_masked_alone_in_a_sentence_and_in_json(seed: int) -> None:
    redactor = Redactor()
    for kind, (text, hidden) in secrets(seed).items():
        for context in ("{}", "my key is {} thanks", "({})", 'said "{}".', "a={}", "x\n{}\ny"):
            assert hidden not in str(redactor.redact_text(context.replace("{}", text))), (kind, context)
        document = {"a": [text, {"b": json.dumps({"deep": text})}], text: 1}
        for data in (json.dumps(document), json.dumps(document, ensure_ascii=False)):
            clean = redactor.redact_bytes(data.encode())
            json.loads(clean)
            assert hidden not in clean.decode(), kind
        broken = json.dumps({"a": text})[:-1]
        assert hidden not in redactor.redact_excerpt(broken), kind


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_what_is_redacted_stays_json_and_is_redacted_once(value: Any) -> None:
    redactor = Redactor()
    once = redactor.redact_value(value)
    assert json.loads(json.dumps(once)) == once
    assert redactor.redact_value(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=4096, temperature: 0.7", "a basic understanding of the bearer of news",
        "skateboarding-competition-in-paris", "a1b2c3d4-1111-2222-3333-444455556666", "2026-03-02T10:00:00.123Z",
        "def log_in(token: str, password: str) -> None", "src/Components/Foo/Bar2/bazQux/ThingHandler.ts",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709", "version 10.0.19045.3803 at 192.168.100.200",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().redact_text(text) == text


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from leaves(item, (*path, name))
    if isinstance(value, str) and path:
        yield path


def planted(value: Any, path: tuple[Any, ...], text: str) -> Any:
    if not path:
        return text
    items = dict(value) if isinstance(value, dict) else list(value)
    items[path[0]] = planted(value[path[0]], path[1:], text)
    return items


def everything(store: Store) -> str:
    """All character data of all tables, however they are compressed on disk."""
    with store.read() as con:
        tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return "\n".join(str(con.execute(f"SELECT * FROM {table}").fetchall()) for table in tables)


@pytest.mark.parametrize("sample", FORMATS, ids=lambda path: path.stem)
def test_no_secret_in_any_field_of_any_format_reaches_the_store(sample: Path, tmp_path: Path) -> None:
    known = list(secrets(1).values())
    hidden, lines, turn = set(), [], 0
    for line in sample.read_text(encoding="utf-8").splitlines()[:3]:
        record = json.loads(line)
        lines.append(line)
        for path in list(leaves(record))[:120]:
            text, secret = known[turn % len(known)]
            turn += 1
            hidden.add(secret)
            lines.append(json.dumps(planted(record, path, text), ensure_ascii=turn % 2 == 0))
            if turn % 10 == 0:
                lines.append(lines[-1][:-2])  # cut short: quarantined, with an excerpt
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    store = Store(tmp_path / "store" / "s.duckdb")
    report = ingest(store, [log], format=sample.stem, redact=[], workers=1)
    assert report.rows >= len(lines) - 1
    found = everything(store)
    raw = b"".join(path.read_bytes() for path in store.path.parent.rglob("*") if path.is_file())
    for secret in hidden:
        assert secret not in found
        assert secret.encode() not in raw


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_secret_that_was_streamed_in_pieces_is_redacted(size: int, tmp_path: Path) -> None:
    texts = {kind: f"The key is {text} and more." for kind, (text, _) in secrets(3).items()}
    head = {"object": "chat.completion.chunk", "created": 1_772_440_000, "model": "gpt-4o-2024-08-06"}
    lines = []
    for text in texts.values():
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        chunk = {**head, "id": f"chatcmpl-{len(lines)}"}
        lines += [{**chunk, "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        lines.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Store(tmp_path / "s.duckdb")
    assert ingest(store, [log], redact=[], workers=1).calls == len(texts)
    found = everything(store)
    assert [kind for kind, (_, secret) in secrets(3).items() if secret in found] == []


def test_tags_models_scores_and_roles_are_redacted(tmp_path: Path) -> None:
    fields = dict(zip(("tags", "model", "score", "role", "agent"), secrets(2).values(), strict=False))
    log = tmp_path / "log.jsonl"
    record = {
        "hindcast": 1, "call_id": "a", "start_time": "2026-03-02T10:00:00Z", "request_model": fields["model"][0],
        "input_tokens": 4, "output_tokens": 1, "tags": ["fine", fields["tags"][0]], "agent": fields["agent"][0],
        "scores": {fields["score"][0]: 0.5}, "input_messages": [{"role": fields["role"][0], "content": "hello"}],
    }  # fmt: skip
    plain = {**record, "call_id": "b", "request_model": "gpt-4o", "tags": ["kept", "too"], "agent": "x"}
    log.write_text(json.dumps(record) + "\n" + json.dumps(plain) + "\n")
    store = Store(tmp_path / "s.duckdb")
    assert ingest(store, [log], redact=[], workers=1).calls == 2
    found = everything(store)
    for name, (_, secret) in fields.items():
        assert secret not in found, name
    with store.read() as con:
        tags = con.execute("SELECT tags FROM calls ORDER BY call_no").fetchall()
    assert tags == [(["fine", "[redacted:api-key]"],), (["kept", "too"],)]


@pytest.mark.parametrize("mode", [{"text": False}, {"metadata_only": True}], ids=["no-text", "metadata-only"])
def test_no_words_of_an_error_or_a_prompt_are_kept_without_texts(mode: dict[str, bool], tmp_path: Path) -> None:
    record = {
        "hindcast": 1, "call_id": "a", "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-4o",
        "status": "error", "input_tokens": 4, "output_tokens": 1, "error_type": "BadRequest: prompt 'ZEBRA'",
        "input_messages": [{"role": "system", "content": "You are ZEBRA."}],
    }  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_text(
        json.dumps(record) + "\n" + json.dumps({**record, "call_id": "b", "error_type": "rate_limit"}) + "\n{ZEBRA\n"
    )
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log], workers=1, **mode)
    assert "ZEBRA" not in everything(store)
    with store.read() as con:
        assert con.execute("SELECT error_type FROM calls ORDER BY call_no").fetchall() == [("error",), ("rate_limit",)]
        agents = con.execute("SELECT DISTINCT agent FROM calls").fetchall()
        rows = con.execute("SELECT line_sha256 FROM quarantine").fetchall()
    if "metadata_only" in mode:  # neither an unkeyed hash of the prompt nor of a bad row
        assert agents == [(None,)]
        assert rows == [(None,)]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_masking_takes_time_linear_in_the_text(kind: str) -> None:
    """Repetitions of whatever the patterns begin with: eight times the text takes less than thirty times as long."""
    units = (
        "-----BEGIN RSA PRIVATE KEY-----", "eyJ-", "eyJabcdefghi.", "1 ", "1-", "a@", "a.", "-", "sk-", "http://a:",
        "a:", "password=", 'password="', "Ab1/", "AB12 ", "+1", "bearer ", "a%40", "basic ", "=", "?token=", "ghp_",
        "0", "x",
    )  # fmt: skip
    one = next(found for found in KINDS if found.name == kind)
    for unit in units:
        short, long = unit * (20_000 // len(unit)), unit * (160_000 // len(unit))
        started = time.process_time()
        one.pattern.sub(one.replace, short)
        middle = time.process_time()
        one.pattern.sub(one.replace, long)
        assert time.process_time() - middle < 30 * (middle - started) + 0.5, unit
