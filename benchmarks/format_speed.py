"""CPU seconds of an ingest of the same calls in several formats, beside the columnar path of OpenAI pairs, in one run.

    python -m benchmarks.format_speed [--calls 20000] [FORMAT...]

Each format is read in a process of its own, one worker, into a fresh store, without pricing: with messages, and with
metadata alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORMATS = ("openai_chat", "hindcast", "litellm", "langfuse", "otlp", "codex", "claude_code", "anthropic_messages",
           "langsmith", "posthog", "gemini", "bedrock")  # fmt: skip
INGEST = """
import sys
from ingest.pipeline.run import ingest
from ingest.store.database import Store
if __name__ == "__main__":
    report = ingest(Store(sys.argv[2]), [sys.argv[1]], workers=1, metadata_only=sys.argv[3] == "metadata")
    assert report.calls == int(sys.argv[4]), (report.calls, sys.argv[4])
"""


def cpu_seconds(log: Path, store: Path, mode: str, calls: int) -> float:
    """User and system seconds of one ingest."""
    before = os.times()
    subprocess.run([sys.executable, "-c", INGEST, str(log), str(store), mode, str(calls)], check=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main() -> None:
    """Print a line for each format."""
    from sample_logs.formats.truth import true_calls
    from sample_logs.formats.writers import WRITERS

    parser = argparse.ArgumentParser()
    parser.add_argument("formats", nargs="*", default=FORMATS)
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    truth = true_calls(options.calls)
    plain: dict[str, float] = {}
    print(f"{'format':20} {'MB':>6} {'with texts':>12} {'metadata':>12}   microseconds of CPU a call, times OpenAI's")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "one.jsonl")
        empty.write_text(WRITERS["openai_chat"][1](truth[:1]))
        start = cpu_seconds(empty, Path(folder, "one.duckdb"), "texts", 1)
        for name in options.formats:
            log = Path(folder, WRITERS[name][0])
            log.write_text(WRITERS[name][1](truth))
            shown = []
            for mode in ("texts", "metadata"):
                spent = cpu_seconds(log, Path(folder, f"{name}.{mode}.duckdb"), mode, options.calls) - start
                plain.setdefault(mode, spent)
                shown.append(f"{1e6 * spent / options.calls:5.0f} {spent / plain[mode]:5.2f}x")
            print(f"{name:20} {log.stat().st_size / 1e6:6.1f} {shown[0]:>12} {shown[1]:>12}")


if __name__ == "__main__":
    main()
