"""Two fast encoders that load by their names, and a database with the vectors of one."""

from __future__ import annotations

from pathlib import Path

import pytest

import firstsight
from firstsight.encoders import registry
from firstsight.encoders.base import Encoder, EncoderSpec
from firstsight.encoders.encoder_options import EncoderOptions
from tests.indexer.shop import ColourEncoder, make_shop, write_csv

OLD, NEW = "colours:16", "colours:24"


class NamedColours(ColourEncoder):
    """The fast encoder of index tests, under a name that has its dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__(f"c0105-{dim}", dim)
        self.spec = EncoderSpec(f"colours:{dim}", dim, 32, f"c0105-{dim}")


loaded: list[NamedColours] = []
"""All encoders that were loaded by name in this test."""


def load_colours(model: str, options: EncoderOptions) -> Encoder:
    if model == "99":
        raise firstsight.EncoderError("the files of colours:99 are gone")
    loaded.append(NamedColours(int(model)))
    return loaded[-1]


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `load_encoder("colours:24")` make the fast encoder with 24 dimensions."""
    loaded.clear()
    monkeypatch.setitem(registry.FAMILIES, "colours", load_colours)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A catalogue of twelve items in its own folder."""
    return write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 12))


@pytest.fixture
def db(tmp_path: Path, shop: Path) -> firstsight.Database:
    """A database of the catalogue, with the vectors of `OLD`."""
    database = firstsight.open(tmp_path / "db", encoder=OLD)
    database.index(shop)
    return database
