"""One environment variable bounds what runs side by side."""

from __future__ import annotations

import pytest

from ingest import threads
from ingest.errors import InputError
from ingest.pipeline import workers
from ingest.store.database import connect


def test_the_variable_bounds_connections_and_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, "3")
    with connect() as con:
        assert con.execute("SELECT current_setting('threads')").fetchall() == [(3,)]
    assert (threads.at_most(), threads.at_most(2), workers.count(None), workers.count(5)) == (3, 2, 3, 5)


@pytest.mark.parametrize("given", ["0", "-1", "many", "1.5", "99999"])
def test_anything_else_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(threads.VARIABLE, given)
    with pytest.raises(InputError, match="not a number of threads"):
        threads.at_most()
