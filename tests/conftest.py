"""What several tests share: the sample catalogue, indexed with the real starter encoder; databases; a web server."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.media.http_source import close_shared_sources
from tests.media.conftest import Server

SAMPLE_CATALOGUE = Path(__file__).parent.parent / "sample_media" / "catalogue.csv"

EARLIER_LAYOUTS = sorted((Path(__file__).parent / "databases").glob("layout-*.tar.gz"))
"""Databases of earlier layouts, as the code of their time made them."""


@pytest.fixture(scope="session")
def sample_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the sample catalogue; not to be written to."""
    path = tmp_path_factory.mktemp("sample") / "db"
    firstsight.open(path).index(SAMPLE_CATALOGUE)
    return path


@pytest.fixture(scope="session", params=EARLIER_LAYOUTS, ids=lambda path: path.name.removesuffix(".tar.gz"))
def earlier_db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of an earlier layout; not to be written to."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder / "db"


@pytest.fixture(scope="session")
def starter() -> Encoder:
    """The real encoder, loaded once."""
    return firstsight.load_encoder("starter")


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on this machine, with no connection left of an earlier test."""
    running = Server()
    yield running
    close_shared_sources()
    running.close()
