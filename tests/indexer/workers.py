"""Processes that index while a test runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]


class Worker:
    """A running `index_worker`."""

    def __init__(self, job: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "tests.indexer.index_worker", json.dumps(job)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.answer() == "ready"

    def go(self) -> None:
        """Let the worker begin, or continue."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Read the next line of the worker."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().rstrip("\n")
        if not line and self.process.wait() != -9:
            assert self.process.stderr is not None
            raise AssertionError(self.process.stderr.read())
        return line

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class StartWorker(Protocol):
    def __call__(self, **job: Any) -> Worker: ...
