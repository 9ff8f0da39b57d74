"""The package works with its hard dependencies alone, and names the extra that a feature needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, TypeAlias

import openpyxl
import pytest
from packaging.requirements import Requirement

from firstsight.cli.main import COMMANDS
from tests.encoders import checkpoints
from tests.project.test_dependencies import HARD, ROOT, installed_packages, normal

pytestmark = pytest.mark.slow

RunCommands: TypeAlias = Callable[..., list[tuple[int, str, str]]]

SAMPLE_MEDIA = ROOT / "sample_media"

NEED_AN_EXTRA = {
    "firstsight.retrieval.rerank.lambdamart",
    "firstsight.service",
    "firstsight.tuning.networks.adapters",
    "firstsight.tuning.starter.text_adapters",
    "firstsight.understanding.ocr.text_reader",
}
"""Modules that cannot be imported without an extra."""

# Python imports this file at its start, also in the child processes that decode media.
HIDE_PACKAGES = """
import json, os, sys
from importlib.machinery import PathFinder

HIDDEN = set(json.loads(os.environ["HIDDEN_PACKAGES"]))


class PathFinderWithoutExtras(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if HIDDEN & {name, name.partition(".")[0]} else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = PathFinderWithoutExtras
"""

IMPORT_EVERYTHING = """
import importlib, json, pkgutil
import firstsight
from firstsight.errors import OptionalDependencyError

refused = {}
def walk(package):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name.endswith("__main__"):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except OptionalDependencyError as error:
            refused[module.name] = str(error)
        else:
            if module.ispkg:
                walk(loaded)
walk(firstsight)
print(json.dumps(refused))
"""

RUN_COMMANDS = """
import contextlib, io, json, sys
from firstsight.cli.main import main

answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["firstsight", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""


def hard_packages() -> set[str]:
    """Normal names of the hard dependencies and of all that they install."""
    found: set[str] = set()
    waiting = [(name, "") for name in HARD]
    while waiting:
        name, extra = waiting.pop()
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = normal(requirement.name)
                waiting += [(needed, own) for own in ("", *requirement.extras) if needed not in found or own]
    return found


@cache
def hidden_packages() -> list[str]:
    """Import names of all other installed packages, apart from the build tools that an environment has anyway."""
    kept = hard_packages() | {"firstsight", "pip", "setuptools"}
    owners = installed_packages()
    hidden = [top for top, names in owners.items() if not kept & set(map(normal, names))]
    return hidden if "protobuf" in kept else [*hidden, "google.protobuf"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment variables for a Python that has only the hard dependencies."""
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE_PACKAGES)
    return os.environ | {"PYTHONPATH": str(folder), "HIDDEN_PACKAGES": json.dumps(hidden_packages())}


def run_python(code: str, *arguments: str, environment: dict[str, str]) -> Any:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_only_modules_of_extras_need_an_extra(environment: dict[str, str]) -> None:
    refused = run_python(IMPORT_EVERYTHING, environment=environment)
    assert set(refused) == NEED_AN_EXTRA
    assert all("pip install 'firstsight[" in message for message in refused.values())


@pytest.fixture
def run_commands(environment: dict[str, str]) -> RunCommands:
    """Runs commands in one process; gives the exit code, stdout and stderr of each."""

    def run(*commands: Sequence[str]) -> list[tuple[int, str, str]]:
        return [tuple(answer) for answer in run_python(RUN_COMMANDS, json.dumps(commands), environment=environment)]

    return run


def test_main_commands_need_no_extra_and_an_evaluation_names_its_own(tmp_path: Path, run_commands: RunCommands) -> None:
    catalogue, picture = tmp_path / "catalogue.csv", SAMPLE_MEDIA / "pictures" / "sneakers-red.jpg"
    catalogue.write_text(f"item_id,title,images\na,Red running shoes,{picture}\nb,Blue teapot,\nc,Green tea,\n")
    db = ("--db", str(tmp_path / "db"))
    *answers, evaluation = run_commands(
        ["--help"],
        ["index", str(catalogue), "--allow-anywhere", *db],
        ["search", "red shoes", "-k", "1", "--json", *db],
        ["recommend", "--history", "a", "-k", "1", "--json", *db],
        ["safety", "score", *db],
        ["evaluate", "search", *db],
    )
    assert [code for code, _, _ in answers] == [0] * 5, answers
    help_page, _, search, *_ = (out for _, out, _ in answers)
    assert all(f" {name} " in help_page for commands in COMMANDS.values() for name in commands)
    assert json.loads(search)["item_id"] == "a"
    require_message(evaluation, "evaluate")


def test_the_commands_of_the_service_name_its_extra(tmp_path: Path, run_commands: RunCommands) -> None:
    db = ("--db", str(tmp_path / "db"))
    for answer in run_commands(["serve", *db], ["keys", "list", *db]):
        require_message(answer, "serve")


def test_text_in_pictures_names_its_extra_before_anything_is_written(tmp_path: Path, run_commands: RunCommands) -> None:
    db = tmp_path / "db"
    (answer,) = run_commands(["index", str(SAMPLE_MEDIA / "pictures"), "--ocr", "--db", str(db)])
    require_message(answer, "ocr")
    assert not db.exists()


def test_a_tokeniser_names_the_extra_that_it_needs(tmp_path: Path, run_commands: RunCommands) -> None:
    (tmp_path / "siglip").mkdir()
    name = checkpoints.siglip(tmp_path / "siglip").name
    (answer,) = run_commands(["models", "check", name])
    require_message(answer, "siglip")


def test_a_map_a_workbook_and_training_name_the_extras_that_they_need(
    sample_db: Path, tmp_path: Path, run_commands: RunCommands
) -> None:
    workbook, judged = tmp_path / "catalogue.xlsx", tmp_path / "judged.csv"
    book = openpyxl.Workbook()
    book["Sheet"].append(["item_id", "title"])
    book.save(workbook)
    judged.write_text("query,item_id,grade\nshoes,sneakers-red,1\n")
    db, page = ("--db", str(sample_db)), ("--html", str(tmp_path / "map.html"))
    plot, table, reranker = run_commands(
        ["map", "--method", "umap", *page, *db],
        ["index", str(workbook), "--db", str(tmp_path / "db")],
        ["rerank", "fit", "--judgements", str(judged), *db],
    )
    require_message(plot, "umap", ", or use --method tsne")
    require_message(table, "xlsx", ", or save the sheet as CSV")
    require_message(reranker, "rerank")


def require_message(answer: tuple[int, str, str], extra: str, alternative: str = "") -> None:
    code, out, err = answer
    assert (code, out) == (1, ""), answer
    *_, line = err.splitlines()  # after the progress
    assert line.startswith("firstsight: ")
    assert line.endswith(f" needs more packages: pip install 'firstsight[{extra}]'{alternative}")


def test_a_data_frame_names_its_extra(environment: dict[str, str]) -> None:
    code = """
import json
from dataclasses import dataclass
from firstsight.records import Record, RecordList

@dataclass(frozen=True)
class Records(RecordList[Record]):
    records: tuple[Record, ...] = (Record(),)

try:
    Records().to_pandas()
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    name, message = run_python(code, environment=environment)
    assert name == "OptionalDependencyError"
    assert message == "a data frame needs more packages: pip install 'firstsight[pandas]'"


def test_lightgbm_without_openmp_names_the_remedy() -> None:
    code = """
import ctypes, json
load = ctypes.CDLL

class Without(load):
    def __init__(self, name, *arguments, **settings):
        if "lightgbm" in str(name):
            raise OSError("Library not loaded: @rpath/libomp.dylib")
        super().__init__(name, *arguments, **settings)

ctypes.CDLL = Without
ctypes.cdll = ctypes.LibraryLoader(Without)
try:
    import firstsight.retrieval.rerank.lambdamart
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    name, message = run_python(code, environment=dict(os.environ))
    assert name == "OptionalDependencyError"
    assert "libomp.dylib" in message
    assert message.endswith("on macOS run: brew install libomp")
