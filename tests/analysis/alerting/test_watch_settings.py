"""The section [watch] of the settings: what it says, and words for what it gets wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.alerting.settings import read
from ingest.errors import InputError

WHOLE = """
[watch]
dashboard = "http://costs.example:8501/"
at_least_usd_per_hour = 1.5
[watch.channels.ops]
type = "slack"
url_env = "OPS_URL"
[watch.channels.post]
type = "mail"
host = "smtp.example"
from = "a@example.com"
to = "b@example.com"
tls = "none"
[[watch.silences]]
from = 2026-05-03T10:00:00+02:00
until = 2026-05-03T14:00:00
agent = "batch*"
[[watch.silences]]
days = ["Sat", "Sun"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "hindcast.toml"
    path.write_text(text)
    return path


def test_the_example_of_the_module_is_read(tmp_path: Path) -> None:
    from analysis.alerting import settings as module

    example = (module.__doc__ or "").split("\n\n", 1)[1]
    found = read(written(tmp_path, example))
    assert [(one.name, one.kind) for one in found.channels] == [("ops", "slack"), ("mail", "mail")]
    assert len(found.silences) == 2


def test_the_whole_section(tmp_path: Path) -> None:
    found = read(written(tmp_path, WHOLE))
    assert found.dashboard == "http://costs.example:8501"
    assert found.at_least_usd_per_hour == 1.5
    assert found.channels[1].recipients == ("b@example.com",)
    assert found.silences[0].begin is not None
    assert found.silences[0].begin.isoformat() == "2026-05-03T08:00:00"
    assert found.silences[1].days == (5, 6)


def test_one_day_is_a_list_of_one(tmp_path: Path) -> None:
    assert read(written(tmp_path, "[[watch.silences]]\ndays = 'Sat'")).silences[0].days == (5,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[watch.channels.a]\ntype = "slack"\nurl = "https://hooks.slack.com/x"', "url is a secret"),
        ('[watch.channels.a]\ntype = "mail"\npassword = "x"', "password is a secret"),
        ('[watch.channels.a]\ntype = "slak"\nurl_env = "A"', "type = 'slak'"),
        ('[watch.channels.a]\ntype = "slack"', "url_env"),
        ('[watch.channels.a]\ntype = "mail"', "needs from and to"),
        ('[watch.channels.a]\ntype = "mail"\nfrom = "a\\nBcc: x"\nto = "b"', "one line"),
        ('[watch.channels.a]\ntype = "mail"\nfrom = "a"\nto = "b"\nport = 99999', "port"),
        ('[watch.channels.a]\ntype = "mail"\nfrom = "a"\nto = 5', "one line"),
        ("[watch]\nchannel = 1", "no key 'channel'"),
        ('[watch]\ndashboard = "javascript:alert(1)"', "dashboard"),
        ("[watch]\nat_least_usd_per_hour = -1", "at_least_usd_per_hour"),
        ("[[watch.silences]]\nagent = 'x'", "has no time"),
        ("[[watch.silences]]\nfrom = 2026-05-03T10:00:00\nuntil = 2026-05-03T10:00:00", "never comes"),
        ("[[watch.silences]]\nhours = '22'", "are no hours"),
        ("[[watch.silences]]\nhours = '22:00+02:00-06:00'", "are no hours"),
        ("[[watch.silences]]\ndays = ['Samstag']", "Samstag"),
        ("[watch]\nsilences = 1", "list of tables"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        read(written(tmp_path, text))
    assert "hooks.slack.com" not in str(caught.value)
