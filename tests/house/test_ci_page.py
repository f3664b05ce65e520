"""The workflow and the hook of docs/ci.md: valid YAML, scripts that bash reads, options and files that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from analysis.gates.settings import read
from cli.app import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text("utf-8")
WORKFLOW, HOOK = (yaml.load(block, yaml.BaseLoader) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["check"]["steps"]
SCRIPTS = [step["run"] for step in STEPS if "run" in step]


def test_the_workflow_has_what_github_asks_for():
    assert set(WORKFLOW) == {"name", "on", "permissions", "jobs"}
    assert set(WORKFLOW["on"]) == {"pull_request", "schedule"}
    assert all(("uses" in step) != ("run" in step) for step in STEPS)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in STEPS if "uses" in step)
    named = {name for step in STEPS for name in step.get("env", {})}
    used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", "\n".join(SCRIPTS)))
    assert used - named <= {"GITHUB_STEP_SUMMARY"}
    assert not any("${{" in script for script in SCRIPTS)  # what others wrote reaches no script but by a variable


@pytest.mark.parametrize("script", [*SCRIPTS, HOOK["repos"][0]["hooks"][0]["entry"].removesuffix(" --")])
def test_its_scripts_are_read_by_bash_and_its_options_exist(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known: Any = get_command(app)
    for command, rest in re.findall(r"hindcast (check|report|ingest)\b([^\n|&]*)", script):
        options = {name for param in known.commands[command].params for name in param.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options


def test_the_limits_of_the_page_are_read(tmp_path):
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "hindcast.toml").write_text(block)
    found = read(tmp_path / "hindcast.toml")
    assert [one.name for one in found.budgets] == [
        "budget usd_per_day", "budget usd_per_month", "budget usd_per_day agent=drafting_agent",
        "budget tokens_per_week tag.team=search",
    ]  # fmt: skip
    assert found.rollout is not None
    assert found.cannot_say is False


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """A repository with one changed, one new and one untouched prompt, and its first commit; `hindcast` and `gh` are
    stubs that print what they are given."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("config", "user.email", "a@example.com")
    git("config", "user.name", "a")
    (tmp_path / "prompts").mkdir()
    for name in ("a draft.txt", "b.txt"):
        (tmp_path / "prompts" / name).write_text("old text\n")
    git("add", ".")
    git("commit", "-qm", "one")
    base = git("rev-parse", "HEAD")
    (tmp_path / "prompts" / "a draft.txt").write_text("new text\n")
    (tmp_path / "prompts" / "c.txt").write_text("another\n")
    git("add", ".")
    git("commit", "-qm", "two")
    (tmp_path / "bin").mkdir()
    for name, body in (("hindcast", 'printf "%s|" "$@"; exit 1'), ("gh", "cat comment.md > sent.md")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path, base


def bash(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", **variables}
    return subprocess.run(["bash", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_changed_prompts_of_a_branch_are_handed_to_the_check(repository):
    folder, base = repository
    script = next(script for script in SCRIPTS if "gh pr comment" in script)
    done = bash(folder, "-e", "-c", script, BASE=base, NUMBER="3", GITHUB_STEP_SUMMARY="sum.md")
    assert done.returncode == 1, done.stderr
    assert (folder / "sent.md").read_text() == (
        "check|--prompt|before/prompts/a draft.txt=prompts/a draft.txt|--format|markdown|"
    )
    assert (folder / "before" / "prompts" / "a draft.txt").read_text() == "old text\n"


def test_the_hook_checks_the_prompts_that_the_last_commit_has(repository):
    folder, _ = repository
    program, *words = shlex.split(HOOK["repos"][0]["hooks"][0]["entry"])  # as pre-commit reads it
    assert program == "bash"
    (folder / "prompts" / "new.txt").write_text("not committed yet")
    done = bash(folder, *words, "prompts/a draft.txt", "prompts/new.txt")
    assert done.returncode == 1
    assert re.fullmatch(r"check\|--prompt\|/\S+=prompts/a draft.txt\|", done.stdout)
    assert bash(folder, *words, "prompts/new.txt").returncode == 0
