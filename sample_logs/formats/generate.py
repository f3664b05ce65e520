"""Write the samples of this folder again: `python -m sample_logs.formats.generate`."""

from __future__ import annotations

from pathlib import Path

from sample_logs.formats.truth import true_calls
from sample_logs.formats.writers import WRITERS

SAMPLE_CALLS = 6


def write_samples(folder: Path) -> list[Path]:
    """One file per format, the same bytes every time."""
    calls = true_calls(SAMPLE_CALLS)
    written = []
    for name, writer in WRITERS.values():
        path = folder / name
        path.write_text(writer(calls))
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write_samples(Path(__file__).parent):
        print(path.name)
