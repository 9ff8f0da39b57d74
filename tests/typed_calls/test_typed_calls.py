"""mypy and pyright accept the right calls of the public API and refuse each wrong one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CALLS = [HERE / "right_calls.py", HERE / "wrong_calls.py"]
WRONG = {
    number
    for number, line in enumerate(CALLS[1].read_text(encoding="utf-8").splitlines(), start=1)
    if line.endswith("# wrong")
}


def mypy_errors() -> set[tuple[str, int]]:
    """(file name, line) of each error."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *map(str, CALLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    found = re.findall(r"^.*?(\w+\.py):(\d+): error: ", done.stdout, re.MULTILINE)
    return {(name, int(line)) for name, line in found}


def pyright_errors() -> set[tuple[str, int]]:
    """(file name, line) of each error. Pyright runs in the Node.js that the package playwright brings."""
    spec = find_spec("pyright")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "dist" / "index.js"
    node = compute_driver_executable()[0]
    command = [str(node), str(program), "--pythonpath", sys.executable, "--outputjson", *map(str, CALLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 2
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1)
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    }


@pytest.mark.slow
@pytest.mark.parametrize("errors", [mypy_errors, pyright_errors])
def test_type_checkers_refuse_the_wrong_calls_and_no_others(errors: object) -> None:
    assert callable(errors)
    assert errors() == {("wrong_calls.py", line) for line in WRONG}
