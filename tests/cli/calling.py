"""How the tests of the command line call it and read what it says."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from firstsight.cli.main import main

Run = Callable[..., tuple[int, str, str]]


def call_in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Call `firstsight` in this process; gives exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["firstsight", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def call_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Call `firstsight` in this process with a terminal of 200 columns; gives exit code, stdout and stderr."""
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("COLUMNS", "200")
        patch.setenv("TERM", "xterm")
        code, _, err = call_in_process(monkeypatch, capsys, *arguments)
    return code, terminal.getvalue(), err


def call_process_on_a_terminal(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Call `firstsight` as a process with a real terminal as its stdout; gives exit code, stdout and stderr."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "firstsight", *arguments]
    with subprocess.Popen(command, stdout=child, stderr=subprocess.PIPE, env=environment) as process:
        os.close(child)
        shown = b""
        try:
            while chunk := os.read(parent, 4096):
                shown += chunk
        except OSError:  # how a pseudo-terminal says that the other end is closed
            pass
        assert process.stderr is not None
        said = process.stderr.read().decode()
    os.close(parent)
    return process.returncode, shown.decode(), said


def parse_json_lines(out: str) -> list[dict[str, Any]]:
    """The JSON parse_json_lines of an output."""
    return [json.loads(line) for line in out.splitlines()]
