"""What several tests share: the sample catalogue, indexed once with the real starter encoder; a web server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.media.http_source import close_shared_sources
from tests.media.conftest import Server

SAMPLE_CATALOGUE = Path(__file__).parent.parent / "sample_media" / "catalogue.csv"


@pytest.fixture(scope="session")
def sample_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the sample catalogue; not to be written to."""
    path = tmp_path_factory.mktemp("sample") / "db"
    firstsight.open(path).index(SAMPLE_CATALOGUE)
    return path


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
