"""The `hindcast` command run inside the test's own process: what it prints and how it exits, without a start of Python.

Tests of what only a process of its own can show (signals, closed streams, imports) start one instead.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cli import app

WIDTH = "120"


def hindcast(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as if typed in `folder`, with `environment` beside the process's own; no store is inherited."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("HINDCAST_STORE", raising=False)
        for name, value in {"COLUMNS": WIDTH, **environment}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["hindcast", *arguments])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(app, "block_pandas", lambda: None)  # other tests of this process may use pandas
        try:
            app.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(["hindcast", *arguments], code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def hindcast_line(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell that begins with `hindcast` and names no other program: words, `*`, comments."""
    words: list[str] = []
    for word in shlex.split(line, comments=True)[1:]:
        matches = sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if "*" in word else []
        words += matches or [word]
    return hindcast(folder, *words, **environment)
