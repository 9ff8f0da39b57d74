"""Plans of small catalogues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from firstsight.indexer.catalog import Catalog, check_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.formats.opening import open_source
from firstsight.storage.columns import ColumnKind
from tests.indexer.shop import write_jsonl

Check = Callable[..., Catalog]


@pytest.fixture
def check(tmp_path: Path) -> Iterator[Check]:
    """Check a catalogue of these rows."""
    made: list[Catalog] = []

    def call(rows: Sequence[object], stored: dict[str, ColumnKind] | None = None, **options: Any) -> Catalog:
        path = write_jsonl(tmp_path / "c.jsonl", rows)
        made.append(check_catalog(open_source(str(path)), CatalogOptions(**options), stored))
        return made[-1]

    yield call
    for catalog in made:
        catalog.close()
