"""What is installed is what was chosen: dependencies are pinned with hashes, and their licences let them be used."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
# licences that ask for no more than their text beside a copy; MPL-2.0 covers its own files only
FREE = re.compile(
    r"MIT(-0|-CMU)?|BSD([ -][023]-Clause)?|0BSD|Apache([ -]2\.0)?|ISC|PSF-2\.0|Python-2\.0|CNRI-Python|MPL[ -]2\.0"
    r"|Unlicense|Zlib|CC0-1\.0|CC-BY-4\.0|AFL-2\.1|HPND|BSL-1\.0|Apache[- ]2\.0 WITH LLVM-exception",
    re.IGNORECASE,
)
WORDS = {  # as authors write them in the old field or as a classifier
    "mit license": "MIT", "the mit license": "MIT", "the mit license (mit)": "MIT", "bsd license": "BSD",
    "modified bsd": "BSD", "bsd 3-clause license": "BSD-3-Clause", "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause", "new bsd": "BSD", "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0", "apache license, version 2.0": "Apache-2.0", "apache license": "Apache-2.0",
    "apache 2.0": "Apache-2.0", "isc license (iscl)": "ISC", "isc license": "ISC", "psf": "PSF-2.0",
    "python software foundation license": "PSF-2.0", "the unlicense (unlicense)": "Unlicense",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
}  # fmt: skip
READ = {"fastokens": "Apache-2.0"}  # no field says it: read in the package's LICENSE, November 2026


def pins(lock: str) -> dict[str, tuple[str, list[str]]]:
    """By name: the version and the hashes of a lock file."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / lock).read_text()):
        match = re.match(r"([\w.\-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", entry)
        if match:
            found[plain(match[1])] = (match[2], re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry))
        else:
            assert not entry.strip() or entry.startswith("#"), f"{lock}: not pinned: {entry.splitlines()[0]}"
    return found


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licences(name: str) -> list[str]:
    """The licences that an installed distribution names, any of which may be chosen."""
    told = metadata.metadata(name)
    expression = told.get("License-Expression")
    if expression:
        return [part.strip("() ") for part in re.split(r"\s+(?:AND|OR)\s+", expression)]
    classes = [text.rsplit(" :: ", 1)[1] for text in told.get_all("Classifier") or () if text.startswith("License ::")]
    named = [text for text in classes if text not in ("OSI Approved", "DFSG approved")]
    written = (told.get("License") or READ.get(name, "unknown")).splitlines()[0]
    named = named or re.split(r"\s+(?:AND|OR)\s+", written)
    return [WORDS.get(text.strip().lower(), text.strip()) for text in named]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_with_hashes(lock: str) -> None:
    found = pins(lock)
    assert len(found) > 50
    assert [name for name, (_, hashes) in found.items() if not hashes] == []


def test_the_locks_hold_what_the_project_asks_for_and_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    own, dev = pins(LOCKS[0]), pins(LOCKS[1])
    for asked in project["project"]["dependencies"]:
        assert plain(re.split(r"[<>=~! \[;]", asked)[0]) in own, asked
    for asked in project["dependency-groups"]["dev"]:
        assert plain(re.split(r"[<>=~! \[;]", asked)[0]) in dev, asked
    assert {name: version for name, (version, _) in own.items() if dev.get(name, (None,))[0] != version} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_licence_lets_the_package_be_used_and_passed_on(lock: str) -> None:
    refused, installed = {}, 0
    for name in pins(lock):
        try:
            named = licences(name)
        except metadata.PackageNotFoundError:  # for another system
            continue
        installed += 1
        if not named or not all(FREE.fullmatch(text) for text in named):
            refused[name] = named
    assert installed > 50
    assert refused == {}
