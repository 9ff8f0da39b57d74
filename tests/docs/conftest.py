"""Fixtures of the command line, for the commands of pages."""

from __future__ import annotations

from functools import partial

import pytest

from tests.cli.calling import Run, call_in_process, call_on_a_terminal


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process; gives exit code, stdout and stderr."""
    return partial(call_in_process, monkeypatch, capsys)


@pytest.fixture
def run_on_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process with a terminal as its stdout; gives exit code, stdout and stderr."""
    return partial(call_on_a_terminal, monkeypatch, capsys)
