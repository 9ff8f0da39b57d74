"""Shared fixtures: the indexed sample catalogue, databases of earlier layouts, the starter encoder, a web server."""

from __future__ import annotations

import os

# Threads of OpenMP and OpenBLAS that wait sleep at once, here and in processes that tests start. They spin by default:
# with several testers on a few cores, most of the processor time went into that. Read when the libraries are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

import tarfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.media.fetch.http_source import close_shared_sources
from tests.indexer.workers import StartWorker, Worker
from tests.media.conftest import Server

SAMPLE_CATALOGUE = Path(__file__).parent.parent / "sample_media" / "catalogue.csv"

# A busy machine makes an example slow, which proves nothing: time never decides a test.
settings.register_profile("firstsight", deadline=None)
settings.load_profile("firstsight")

EARLIER_LAYOUTS = sorted((Path(__file__).parent / "databases").glob("layout-*.tar.gz"))
"""Databases of earlier layouts, made by the code of that time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--allowed-skips",
        metavar="FILE",
        help="fail if a test is skipped and no pattern in FILE matches its id: one shell pattern per line, # starts a "
        "comment",
    )


def pytest_configure(config: pytest.Config) -> None:
    listed = config.getoption("--allowed-skips")
    if listed and not hasattr(config, "workerinput"):  # processes of pytest-xdist report to this one
        lines = (line.partition("#")[0].strip() for line in Path(listed).read_text(encoding="utf-8").splitlines())
        config.pluginmanager.register(SkipGate([line for line in lines if line]))


class SkipGate:
    """Fails a run with a skipped test that is not in the list; with everything installed, all tests run."""

    def __init__(self, allowed: list[str]) -> None:
        self.allowed = allowed
        self.unexpected: dict[str, str] = {}  # test -> reason

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._check(report)  # a whole module, such as by importorskip

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._check(report)

    def _check(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        is_skip = report.skipped and not hasattr(report, "wasxfail")
        if is_skip and not any(fnmatch(report.nodeid, pattern) for pattern in self.allowed):
            self.unexpected[report.nodeid] = str(report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexpected:
            terminalreporter.section("skipped, and not in the list of allowed skips", red=True)
            for test, reason in sorted(self.unexpected.items()):
                terminalreporter.line(f"{test}: {reason}")


@pytest.fixture(scope="session")
def sample_db(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A database of the sample catalogue, one for all processes of the run; read only."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # of all processes
    path = folder / "sample-db"
    with FileLock(folder / "sample-db.lock"):
        if not path.exists():
            draft = tmp_path_factory.mktemp("sample") / "db"
            firstsight.open(draft).index(SAMPLE_CATALOGUE)
            draft.rename(path)
    return path


@pytest.fixture(scope="session", params=EARLIER_LAYOUTS, ids=lambda path: path.name.removesuffix(".tar.gz"))
def earlier_db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of each earlier layout in turn; read only."""
    return _unpack(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def layout_1_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of layout 1; read only."""
    return _unpack(Path(__file__).parent / "databases" / "layout-1.tar.gz", tmp_path_factory)


def _unpack(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder / "db"


@pytest.fixture(scope="session", autouse=True)
def _keep_compiled_graphs() -> Iterator[None]:
    """Keep each compiled graph of starter to the end: it takes half a second, and hundreds of tests open a database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firstsight.encoders.runtimes.openvino_runtime._compiled_graphs", {})
        yield


@pytest.fixture(scope="session")
def starter() -> Encoder:
    """The real encoder, loaded once."""
    return firstsight.load_encoder("starter")


@pytest.fixture
def server() -> Iterator[Server]:
    """A local web server, without connections of earlier tests."""
    running = Server()
    yield running
    close_shared_sources()
    running.close()


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Start processes that can index; they end with the test."""
    workers: list[Worker] = []

    def start(**job: Any) -> Worker:
        workers.append(Worker({name: str(v) if isinstance(v, Path) else v for name, v in job.items()}))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()
