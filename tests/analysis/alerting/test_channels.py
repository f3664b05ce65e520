"""Channels against servers that really run: each notice arrives once, and a server that fails holds up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from notice_servers import Hook, hook_server, mail_server

from analysis.alerting import outbox
from analysis.alerting.channels import UndeliveredError, open_channel
from analysis.alerting.notices import Notice
from analysis.alerting.outbox import Outbox
from analysis.alerting.settings import ChannelSettings
from ingest.errors import InputError
from ingest.store.database import Store

NOW = datetime(2026, 5, 20, 12)
NOTICE = Notice("abc-alert", "alert", "agent *<!channel>* jumped: $6.00/h", ("@everyone & _line_",), "hindcast calls")


@pytest.fixture
def hook() -> Iterator[tuple[str, type[Hook]]]:
    with hook_server() as found:
        yield found


def test_the_shapes_say_the_notice_and_mention_nobody(
    hook: tuple[str, type[Hook]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = hook
    monkeypatch.setenv("URL", f"{url}/200?key=s3cret")
    for kind in ("webhook", "slack", "teams", "discord"):
        open_channel(ChannelSettings("a", kind, url_env="URL"))(NOTICE)
    plain, slack, teams, discord = (body for _, body, _ in handler.got)
    assert Notice.of_json(plain) == NOTICE
    assert "<!channel>" not in slack["text"]
    assert "$6.00/h" in slack["text"]
    assert teams["attachments"][0]["content"]["body"][0]["text"].startswith("agent \\*<!channel>\\*")
    assert discord["allowed_mentions"] == {"parse": []}
    assert "hindcast calls" in discord["content"]
    assert {key for _, _, key in handler.got} == {"abc-alert"}


@pytest.mark.parametrize(("path", "words"), [("500", "answered 500"), ("302", "answered 302"), ("400", "answered 400")])
def test_what_a_server_answers_is_told_without_its_address(
    hook: tuple[str, type[Hook]], monkeypatch: pytest.MonkeyPatch, path: str, words: str
) -> None:
    monkeypatch.setenv("URL", f"{hook[0]}/{path}?key=s3cret")
    with pytest.raises(UndeliveredError, match=f"^{words}$"):
        open_channel(ChannelSettings("a", "webhook", url_env="URL"))(NOTICE)
    assert len(hook[1].got) == 1


def test_no_server_and_no_variable_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "http://127.0.0.1:9/s3cret")
    with pytest.raises(UndeliveredError, match="refused"):
        open_channel(ChannelSettings("a", "slack", url_env="URL"))(NOTICE)
    monkeypatch.delenv("URL")
    with pytest.raises(InputError, match="environment variable URL"):
        open_channel(ChannelSettings("a", "slack", url_env="URL"))
    monkeypatch.setenv("URL", "file:///etc/s3cret")
    with pytest.raises(InputError, match="http") as caught:
        open_channel(ChannelSettings("a", "slack", url_env="URL"))
    assert "s3cret" not in str(caught.value)


def test_a_mail_reaches_a_real_server() -> None:
    with mail_server() as (port, got):
        channel = ChannelSettings(
            "m", "mail", host="127.0.0.1", port=port, sender="a@x.example", recipients=("b@x.example", "c@x.example"),
            tls="none",
        )  # fmt: skip
        open_channel(channel)(NOTICE)
    ((recipients, mail),) = got
    assert recipients == ["b@x.example", "c@x.example"]
    assert mail["message-id"] == "<abc-alert@hindcast.invalid>"
    assert mail["subject"] == "[Hindcast] agent *<!channel>* jumped: $6.00/h"
    assert "hindcast calls" in mail.get_payload()


def test_apprise_reaches_its_services(hook: tuple[str, type[Hook]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise")
    url, handler = hook
    monkeypatch.setenv("URL", url.replace("http://", "json://") + "/200")
    open_channel(ChannelSettings("a", "apprise", url_env="URL"))(NOTICE)
    ((_, body, _),) = handler.got
    assert body["title"] == NOTICE.title
    monkeypatch.setenv("URL", url.replace("http://", "json://") + "/500")
    with pytest.raises(UndeliveredError):
        open_channel(ChannelSettings("a", "apprise", url_env="URL"))(NOTICE)


def stored(folder: Path, channels: list[str], notices: list[Notice]) -> Store:
    store = Store(folder / "s.duckdb")
    with store.write() as con:
        outbox.create_tables(con)
        outbox.put(con, notices, channels, NOW)
        outbox.put(con, notices, channels, NOW)  # the same again is the same
    return store


def test_a_dead_and_a_hanging_channel_hold_up_no_other(
    hook: tuple[str, type[Hook]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = hook
    for name in ("200", "500", "hang"):
        monkeypatch.setenv(f"URL_{name}", f"{url}/{name}")
    channels = {name: open_channel(ChannelSettings(name, "webhook", url_env=f"URL_{name}"))
                for name in ("500", "hang", "200")}  # fmt: skip
    notices = [Notice(f"n{number}", "alert", "title") for number in range(3)]
    store = stored(tmp_path, list(channels), notices)
    box = Outbox(store, channels, deadline_s=0.5)
    box.drain(NOW, 10)
    assert [key for path, _, key in handler.got if path == "/200"] == ["n0", "n1", "n2"]
    assert box.sent == {"200": 3}
    assert box.problems == {"500": "answered 500", "hang": "no end within 0 s"}
    before = len(handler.got)
    box.step(NOW)  # nothing is due before its pause is over
    assert len(handler.got) == before


def test_what_was_not_taken_is_sent_later_by_another_process_and_what_was_taken_is_not(
    hook: tuple[str, type[Hook]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = hook
    monkeypatch.setenv("GOOD", f"{url}/200")
    monkeypatch.setenv("BAD", f"{url}/503")
    good = open_channel(ChannelSettings("good", "webhook", url_env="GOOD"))
    bad = open_channel(ChannelSettings("bad", "webhook", url_env="BAD"))
    store = stored(tmp_path, ["good", "bad"], [NOTICE])
    Outbox(store, {"good": good, "bad": bad}).drain(NOW, 10)
    monkeypatch.setenv("BAD", f"{url}/200-mended")
    mended = open_channel(ChannelSettings("bad", "webhook", url_env="BAD"))
    for minutes in (0, 1, 2, 300):
        Outbox(store, {"good": good, "bad": mended}).drain(NOW + timedelta(minutes=minutes), 10)
    assert [path for path, _, _ in handler.got] == ["/200", "/503", "/200-mended"] or [
        path for path, _, _ in handler.got
    ] == ["/503", "/200", "/200-mended"]


def test_a_notice_is_given_up_after_days_and_a_clock_set_back_delays_by_a_pause_at_most(
    hook: tuple[str, type[Hook]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("URL", f"{hook[0]}/500")
    send = open_channel(ChannelSettings("a", "webhook", url_env="URL"))
    store = stored(tmp_path, ["a"], [NOTICE])
    box = Outbox(store, {"a": send})
    box.drain(NOW, 10)
    box.drain(NOW - timedelta(days=300), 10)
    assert len(hook[1].got) == 2
    box.drain(NOW + timedelta(days=3), 10)
    box.drain(NOW + timedelta(days=4), 10)
    assert len(hook[1].got) == 3
    assert box.given_up["a"] == 1


def test_an_attempt_waits_for_nothing_but_the_store(tmp_path: Path) -> None:
    began = time.monotonic()
    free = threading.Event()
    box = Outbox(stored(tmp_path, ["a"], [NOTICE]), {"a": lambda _: (free.wait(20), None)[1]})
    box.step(NOW)
    assert time.monotonic() - began < 10
    free.set()
