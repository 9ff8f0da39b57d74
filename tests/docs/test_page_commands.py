"""Commands and Python blocks of the pages on content understanding run as written, on the sample catalogue.

The detectors' page runs in tests/understanding/facts, the Python blocks of quality, tags and OCR beside their tests.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

import firstsight
from firstsight.understanding.ocr.model_files import PACKAGED_RECOGNISER, packaged_folder
from tests.cli.calling import Run
from tests.conftest import SAMPLE_CATALOGUE

CATEGORIES = ("shoes", "fruit", "music")
DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{language})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def page_commands(page: str) -> list[list[str]]:
    """Arguments of the commands `firstsight` of a page."""
    found = []
    for block in blocks(page, "bash|console"):
        lines = block.splitlines()
        for line in [line[2:] for line in lines if line.startswith("$ ")] or lines:
            name, *words = shlex.split(line, comments=True)
            if name == "firstsight":
                found.append(words)
            else:
                assert line.startswith("pip install 'firstsight["), line
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue of fifteen sample items in three categories, labels, a model and a database."""
    folder = tmp_path_factory.mktemp("pages")
    rows: list[dict[str, str]] = []
    with SAMPLE_CATALOGUE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if sum(other["category"] == row["category"] for other in rows) < 5:
                rows += [row] if row["category"] in CATEGORIES else []
    (folder / "pictures").mkdir()
    for picture in {name for row in rows for name in row["images"].split("|") if name}:
        shutil.copy(SAMPLE_CATALOGUE.parent / picture, folder / picture)
    for name in ("catalogue.csv", "products.csv"):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    labels = [f"{row['item_id']},{row['category']}" for row in rows]
    (folder / "labels.csv").write_text("\n".join(["item_id,label", *labels]), encoding="utf-8")
    (folder / "models" / "cyrillic").mkdir(parents=True)
    shutil.copy(packaged_folder() / PACKAGED_RECOGNISER, folder / "models" / "cyrillic")
    firstsight.open(folder / "db").index(folder / "catalogue.csv")
    return folder


@pytest.fixture
def own(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """The command in that folder, on a copy of its database."""
    monkeypatch.chdir(shop)
    monkeypatch.setenv("FIRSTSIGHT_DB", str(shutil.copytree(shop / "db", tmp_path / "db")))
    return run


@pytest.mark.parametrize(
    "page",
    ["colours.md", "languages.md", "ocr.md", "quality.md", "query-understanding.md", "tags.md", "understanding.md"],
)
def test_the_commands_of_a_page_run(page: str, own: Run) -> None:
    commands = page_commands(page)
    assert commands
    for words in commands:
        code, _, err = own(*words)
        assert code == 0, f"firstsight {shlex.join(words)}: {err}"


@pytest.mark.parametrize("page", ["colours.md", "query-understanding.md"])
def test_a_python_block_runs(page: str) -> None:
    (block,) = blocks(page, "python")
    exec(compile(block, f"docs/{page}", "exec"), {})


def test_what_is_understood_is_shown_as_the_page_says(own: Run, run_on_terminal: Run) -> None:
    (session,), (answer,) = blocks("query-understanding.md", "console"), blocks("query-understanding.md", "json")
    _, shown = session.splitlines()
    (words,) = page_commands("query-understanding.md")
    assert shown in run_on_terminal(*words)[2]
    (line, *_) = own(*words, "--json")[1].splitlines()
    assert json.loads(line)["understood"] == json.loads(answer)
