"""Workflows, issue forms, the citation and the hooks are valid, and agree with pyproject.toml."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import check_jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from click.testing import CliRunner
from coverage import CoverageData
from pre_commit.clientlib import load_config  # type: ignore[import-untyped]

from tests.project.contributor_pages import ROOT, make_targets, read

PROJECT: dict[str, Any] = tomllib.loads(read("pyproject.toml"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
SCHEMAS = [
    *(("vendor.github-workflows", path) for path in WORKFLOWS),
    *(("custom.github-workflows-require-timeout", path) for path in WORKFLOWS),
    *(("vendor.github-issue-forms", path) for path in FORMS),
    ("vendor.github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"),
    ("vendor.dependabot", ROOT / ".github" / "dependabot.yml"),
    ("vendor.citation-file-format", ROOT / "CITATION.cff"),
]


def problems(schema: str, path: Path) -> str:
    """What check-jsonschema reports about a file; empty if it is valid."""
    done = CliRunner().invoke(
        check_jsonschema.main, ["--builtin-schema", schema, "--default-filetype", "yaml", str(path)]
    )
    return "" if done.exit_code == 0 else done.output or repr(done.exception)


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=[f"{path.name}, {schema}" for schema, path in SCHEMAS])
def test_a_file_follows_its_schema(schema: str, path: Path) -> None:
    assert problems(schema, path) == ""


def test_a_workflow_with_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "ci.yml"
    broken.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("runs-on:", "run-on:"), encoding="utf-8")
    assert "run-on" in problems("vendor.github-workflows", broken)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_can_only_read_and_pins_its_actions_by_commit(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    used = re.findall(r"uses: (.+)", text)
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    assert "secrets." not in text


def test_ci_runs_the_script_on_linux_and_the_suite_on_arm_macs() -> None:
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands["linux"][-1] == ".ci/run"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert commands["macos"][-1] == "make test"
    assert "test" in make_targets()
    assert int(jobs["macos"]["runs-on"].removeprefix("macos-")) >= 14  # ARM; PyAV has no wheels for older ones
    supported = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert set(jobs["linux"]["strategy"]["matrix"]["python"]) == supported
    assert set(jobs["macos"]["strategy"]["matrix"]["python"]) <= supported


def test_hooks_are_valid_and_run_tools_of_the_environment() -> None:
    hooks = [hook for repo in load_config(str(ROOT / ".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]]
    tools = {re.match(r"[\w.-]+", name)[0] for name in PROJECT["optional-dependencies"]["dev"]} | {"python"}  # type: ignore[index]
    for hook in hooks:
        tool, *arguments = hook["entry"].split()
        assert tool.removeprefix(".venv/bin/") in tools
        assert all((ROOT / name).exists() for name in arguments if name.endswith(".py"))


def test_the_citation_agrees_with_the_package() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"])
    assert (citation["license"], citation["keywords"]) == (PROJECT["license"], PROJECT["keywords"])
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    assert citation["authors"] == [{"name": "The firstsight maintainers"}]


def test_there_is_one_address_of_the_repository() -> None:
    address = PROJECT["urls"]["Repository"]
    pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", ".github/ISSUE_TEMPLATE/config.yml"]
    found = [url for page in pages for url in re.findall(r"https://github\.com/firstsight[^\s)>]*", read(page))]
    assert all(url == address or url.startswith(f"{address}/") for url in [*PROJECT["urls"].values(), *found])
    assert f"{address}/security/advisories/new" in found


@pytest.mark.slow
def test_coverage_measures_processes_and_names_files_by_their_real_paths(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    code = "import firstsight.media.policy"
    script.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "coverage", "run", f"--data-file={tmp_path / 'data'}", str(script)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured: dict[str, int] = {}  # path -> lines that ran
    for part in tmp_path.glob("data.*"):
        data = CoverageData(str(part))
        data.read()
        for name in data.measured_files():
            measured[name] = max(measured.get(name, 0), len(data.lines(name) or ()))
    assert measured["media/policy.py"] > 10
    assert "cli/main.py" in measured  # although it was not imported
    assert [name for name in measured if (ROOT / name).resolve() != ROOT / name] == []
