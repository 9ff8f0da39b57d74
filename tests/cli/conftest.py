"""What several tests of the command line share."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.cli.calling import Run, call_in_process


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sample_db: Path) -> Run:
    """Call the command in this process on the sample index; gives exit code, stdout and stderr."""
    monkeypatch.setenv("FIRSTSIGHT_DB", str(sample_db))
    return partial(call_in_process, monkeypatch, capsys)
