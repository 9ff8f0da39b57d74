"""Databases of the sales catalogue, with and without promoted rerankers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from tests.retrieval.rerank.sales_catalogue import by_sales, catalogue, write_lines


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> Path:
    """The indexed catalogue without rerankers; read-only."""
    folder = tmp_path_factory.mktemp("shop")
    firstsight.open(folder / "db", encoder=starter).index(write_lines(folder / "c.jsonl", catalogue()))
    return folder / "db"


@pytest.fixture(scope="session")
def ranked(indexed: Path, tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> Path:
    """The same database with promoted rerankers for hybrid and vector; read-only."""
    folder = tmp_path_factory.mktemp("ranked")
    shutil.copytree(indexed, folder / "db")
    db = firstsight.open(folder / "db", encoder=starter)
    judged = write_lines(folder / "judged.jsonl", by_sales())
    for mode in ("hybrid", "vector"):
        db.rerankers.fit(judgements=judged, mode=mode)
        db.rerankers.promote()
    return folder / "db"


@pytest.fixture
def db(indexed: Path, tmp_path: Path, starter: Encoder) -> firstsight.Database:
    """A writable copy without rerankers."""
    shutil.copytree(indexed, tmp_path / "db")
    return firstsight.open(tmp_path / "db", encoder=starter)


@pytest.fixture
def shop(ranked: Path, starter: Encoder) -> firstsight.Database:
    """The database with rerankers; read-only."""
    return firstsight.open(ranked, encoder=starter)


@pytest.fixture
def own(ranked: Path, tmp_path: Path, starter: Encoder) -> firstsight.Database:
    """A writable copy with rerankers."""
    shutil.copytree(ranked, tmp_path / "db")
    return firstsight.open(tmp_path / "db", encoder=starter)


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A file of judgements graded by sales."""
    return write_lines(tmp_path / "judged.jsonl", by_sales())
