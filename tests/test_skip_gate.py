"""CI fails if a test is skipped that is not in the list of allowed skips."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SKIPPED = """
import pytest

@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_runs_on(device):
    if device == "cuda":
        pytest.skip("no GPU")

@pytest.mark.xfail(strict=True)
def test_fails_as_expected():
    assert False
"""


SKIPPED_MODULE = """
import pytest

pytest.importorskip("no_such_package")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("allowed", "code"), [("# devices\ntest_one.py::test_runs_on*  # no GPU\n", 0), ("test_two.py*\n", 1)]
)
def test_a_skip_that_no_pattern_matches_fails_the_run(tmp_path: Path, allowed: str, code: int) -> None:
    (tmp_path / "test_one.py").write_text(SKIPPED)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run_tests(tmp_path, allowed)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("test_one.py::test_runs_on[cuda]: " in done.stdout) == bool(code)
    assert "1 passed, 1 skipped, 1 xfailed" in done.stdout


@pytest.mark.slow
def test_a_module_that_skips_itself_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_passes():\n    pass\n")
    (tmp_path / "test_two.py").write_text(SKIPPED_MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run_tests(tmp_path, "", "-n", "1")  # as in CI: a worker process sends the report
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_two.py: " in done.stdout


def run_tests(folder: Path, allowed: str, *options: str) -> subprocess.CompletedProcess[str]:
    listed = folder / "allowed.txt"
    listed.write_text(allowed)
    plugins = ["-p", "tests.conftest", "-p", "xdist"]
    command = [sys.executable, "-m", "pytest", *plugins, "--rootdir", str(folder), str(folder), *options]
    return subprocess.run(
        [*command, "--allowed-skips", str(listed)],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # the others take longer to load than the tests
        capture_output=True,
        text=True,
        check=False,
    )


def test_ci_uses_the_gate() -> None:
    assert "--allowed-skips tests/allowed_skips.txt" in (ROOT / ".ci" / "run").read_text()
