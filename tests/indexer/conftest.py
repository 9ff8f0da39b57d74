"""Fixtures of index runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.shop import make_shop, write_csv


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A catalogue of twelve items in its own folder, with two broken pictures."""
    return write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 12, broken=2))
