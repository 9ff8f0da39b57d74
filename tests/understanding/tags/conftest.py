"""A database of the sample catalogue with three tags."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

import firstsight

SAMPLE = Path(__file__).parents[3] / "sample_media" / "catalogue.csv"

ATTRIBUTES = {
    "fruit": ["edible", "natural"],
    "pets": ["natural"],
    "kitchen": ["household"],
    "furniture": ["household"],
    "music": ["instrument"],
}
"""Attributes of the sample categories; the others have none."""


def sample_rows() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def category_labels(step: int = 3) -> list[dict[str, str]]:
    """Labels of two thirds of the sample catalogue."""
    return [
        {"item_id": row["item_id"], "label": row["category"]} for n, row in enumerate(sample_rows()) if n % step != 0
    ]


@pytest.fixture(scope="session")
def _tagged(sample_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tags") / "db"
    shutil.copytree(sample_db, path)
    with firstsight.open(path) as db:
        db.tags.train(category_labels(), method="linear", use=True)
        db.tags.train(column="category", tag="shelf", method="prompt-offset", prompts=True)
        labels = [
            {"item_id": row["item_id"], "tag": "attribute", "label": label}
            for row in sample_rows()
            for label in ATTRIBUTES.get(row["category"], ["other"])
        ]
        db.tags.train(labels, method="linear", precision=0.9)
    return path


@pytest.fixture
def tagged(_tagged: Path) -> firstsight.Database:
    """A database with the tags category (labels), shelf (a column) and attribute (several values); read only."""
    return firstsight.open(_tagged)


@pytest.fixture
def own_tagged(_tagged: Path, tmp_path: Path) -> firstsight.Database:
    """A copy of it to change."""
    shutil.copytree(_tagged, tmp_path / "db")
    return firstsight.open(tmp_path / "db")
