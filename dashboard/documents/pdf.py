"""A page as PDF, printed by the Chromium or Chrome of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ingest.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PATIENCE_S = 120


def find_browser() -> str:
    """The first browser found on the path. Raises InputError that says what to do without one."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise InputError(
        "--pdf needs Chromium or Chrome, and none is on the path",
        remedy="Install one, or open the HTML report and print it to a PDF.",
    )


def print_page(browser: str, page: str, target: Path) -> None:
    """Print an HTML document to `target`. Raises InputError with what the browser said if that fails."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "report.html"
        made = Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        command = [
            browser, "--headless", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=15000",
            f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}", source.as_uri(),
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium's sandbox refuses to run as root, as in a container
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise InputError("the browser did not print within two minutes", where=browser) from error
        if not made.is_file():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise InputError(f"the browser printed nothing: {last}", where=browser)
        try:
            shutil.copy(made, target)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=str(target)) from error
