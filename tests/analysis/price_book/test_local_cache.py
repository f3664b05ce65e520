"""A new store takes its prices from this machine's copy of the book, which says the same as the book itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import analysis
from analysis.price_book import local_cache
from analysis.price_book.book import book_version, compile_book, stored_rows, sync_book
from analysis.pricing.model_names import resolve, resolve_all

NAMES = [("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-20250514"), (None, "no such model"), ("vllm", "x")]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HINDCAST_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def store() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("CREATE TABLE meta (key VARCHAR, value VARCHAR)")
    return con


def everything(con: duckdb.DuckDBPyConnection) -> tuple[object, object]:
    meta = con.execute("SELECT * FROM meta ORDER BY key").fetchall()
    return meta, con.execute("SELECT * FROM prices ORDER BY price_id").fetchall()


def test_prices_are_the_same_with_a_copy_and_without(empty_folder: Path) -> None:
    first, second = store(), store()
    sync_book(first)
    assert list(empty_folder.glob("prices-*"))
    sync_book(second)
    assert everything(first) == everything(second)
    assert tuple(row for _, row in stored_rows(second, "true", [])) == compile_book().rows


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x00" * 4000])
def test_a_damaged_copy_is_made_anew(empty_folder: Path, damage: bytes) -> None:
    first, second = store(), store()
    sync_book(first)
    (copy,) = empty_folder.glob("prices-*")
    copy.write_bytes(damage)
    sync_book(second)
    assert everything(first) == everything(second)
    assert local_cache.load_rows(book_version()) is not None


def test_names_resolve_as_the_rules_say_when_they_are_met_again(empty_folder: Path) -> None:
    expected = [resolve(*name) for name in NAMES]
    con = store()
    assert resolve_all(con, NAMES) == expected
    assert ["openai", "gpt-4o"] in [row[:2] for row in local_cache.load_names(book_version())]
    assert resolve_all(con, NAMES) == expected


def test_only_names_of_the_catalogue_are_kept_beside_the_store(empty_folder: Path) -> None:
    own = [
        ("openai", "ft:gpt-4o:acme::x"),
        ("openai", "gpt-4o-acme"),
        ("azure", "acme-eu/gpt-4o"),
        ("acme-gateway", "gpt-4o"),
        ("aws", "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/nova"),
    ]
    public = [("openai", "gpt-4o"), ("anthropic", "claude-haiku-4-5-20251001")]
    resolve_all(store(), [*own, *public])
    assert [tuple(row[:2]) for row in local_cache.load_names(book_version())] == public


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HINDCAST_CACHE", str(tmp_path / "file" / "below"))
    con = store()
    assert sync_book(con)
    assert resolve_all(con, NAMES) == [resolve(*name) for name in NAMES]


def test_another_book_does_not_take_this_ones_copy() -> None:
    con = store()
    sync_book(con)
    assert local_cache.load_rows("another version") is None
    for number in range(2 * local_cache.COPIES):
        local_cache.keep_names(f"version {number}", [])
    assert len(list(local_cache.folder().glob("names-*"))) == local_cache.COPIES


def test_no_copy_outlives_a_change_of_any_module_that_makes_rows_or_resolves_names(tmp_path: Path) -> None:
    """The mark in a copy's name covers every module of `analysis` that compiling and resolving import."""
    program = (
        "import sys; from analysis.price_book import book; from analysis.pricing.model_names import resolve;"
        "book.compile_book(); resolve('openai', 'gpt-4o');"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('analysis.') and n.count('.') > 0))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    package = Path(str(analysis.__file__)).parent
    modules = [Path(file).relative_to(package) for file in ran.stdout.split()]
    assert Path("price_book/rows.py") in modules
    for number, module in enumerate(modules):
        copied = tmp_path / str(number)
        shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__"))
        before = local_cache.code_mark("v", copied)
        (copied / module).write_bytes((copied / module).read_bytes() + b"#")
        local_cache.code_mark.cache_clear()
        assert local_cache.code_mark("v", copied) != before, f"a change of {module} leaves the copies valid"
