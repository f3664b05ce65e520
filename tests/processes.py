"""Which processes a process has started."""

from __future__ import annotations

from pathlib import Path


def children(pid: int, named: str) -> list[int]:
    """The living children of `pid` whose command line contains `named`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if int(parent) == pid and named in command:
            found.append(int(folder.name))
    return found
