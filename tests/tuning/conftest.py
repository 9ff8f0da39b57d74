"""A shop that is tuned once for all tests of a process, and a cache folder for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import firstsight
from firstsight.config import CACHE_VARIABLE, cache_dir
from tests.tuning.shop import write_shop

QUICK = firstsight.TuneOptions(folds=2, seeds=1, steps=12, max_forgetting=0.5)


class Tuned(NamedTuple):
    """A tuned shop."""

    catalogue: Path
    folder: Path
    report: firstsight.TuneReport
    lines: list[str]


@pytest.fixture(scope="session")
def tuning_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder with the exported graphs of the usual one: only the outputs of towers are new."""
    folder = tmp_path_factory.mktemp("tuning-cache")
    usual = cache_dir()
    if usual.is_dir():
        for entry in usual.iterdir():
            if entry.name != "tuning":
                (folder / entry.name).symlink_to(entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory, tuning_cache: Path) -> Tuned:
    """A shop of 36 products, and the encoder that was tuned on it; read only."""
    folder = tmp_path_factory.mktemp("shop")
    catalogue = write_shop(folder / "shop", 36)
    lines: list[str] = []
    report = firstsight.tune(catalogue, folder / "encoder", on_progress=lines.append, **QUICK)
    return Tuned(catalogue, folder / "encoder", report, lines)
