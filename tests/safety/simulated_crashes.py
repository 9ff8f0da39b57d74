"""Kills before every write: each commit of LanceDB, each append to the audit log, each write of its head."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lancedb
import pytest
from lancedb.merge import LanceMergeInsertBuilder
from lancedb.table import LanceTable

from firstsight.errors import AuditLogError
from firstsight.safety.audit import audit_log

COMMITS = [
    (lancedb.db.LanceDBConnection, "create_table"),
    (lancedb.db.LanceDBConnection, "drop_table"),
    (LanceMergeInsertBuilder, "execute"),
    *((LanceTable, name) for name in ("add", "add_columns", "delete", "optimize", "update")),
]
LOG_WRITES = [
    (audit_log, "_write"),
    (Path, "replace"),
]  # an append, or a new head; the head in the place of the old one


class SimulatedCrash(BaseException):
    """Stands for the end of the process."""


@contextmanager
def unwritable_log_after(appends: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a number of writes to the log or its head through, then let each one fail as on a full disk."""
    done, real = [0], audit_log._write

    def write(*arguments: Any) -> None:
        if done[0] >= appends:
            raise OSError(28, os.strerror(28))
        done[0] += 1
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "_write", write)
        yield


def killed_before_each_write(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], Any], path: Path) -> list[Path]:
    """Run a command and copy its database before each write: a kill at that moment leaves these files."""
    copies: list[Path] = []

    def copied(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **settings: Any) -> Any:
            copies.append(shutil.copytree(path, path.with_name(f"{path.name}-{len(copies)}")))
            return real(*arguments, **settings)

        return write

    with monkeypatch.context() as patch:
        for owner, name in [*COMMITS, *LOG_WRITES]:
            patch.setattr(owner, name, copied(getattr(owner, name)))
        act(path)
    return copies


def put_back(copy: Path, path: Path) -> None:
    """Put a copy of a database in the place of the database."""
    shutil.rmtree(path)
    copy.rename(path)


def run_with_unwritable_log(
    monkeypatch: pytest.MonkeyPatch, appends: int, act: Callable[[Path], Any], path: Path
) -> None:
    """Run a command whose log cannot be written after a number of writes to it."""
    with unwritable_log_after(appends, monkeypatch), pytest.raises(AuditLogError, match="cannot be written"):
        act(path)
