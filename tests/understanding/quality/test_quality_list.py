"""The list of a shop's problems: the API, the command and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

import firstsight
from firstsight.errors import QueryError
from firstsight.media.pictures import open_picture
from tests.cli.calling import call_in_process, call_on_a_terminal, parse_json_lines

PICTURES = Path(__file__).parents[3] / "sample_media" / "pictures"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a good, a blurred, a dark and a missing picture; read only."""
    folder = tmp_path_factory.mktemp("quality")
    picture = open_picture(PICTURES / "espresso-cup.jpg")
    picture.save(folder / "good.png")
    picture.filter(ImageFilter.GaussianBlur(2)).save(folder / "blurred.png")
    picture.point(lambda level: level * 0.2).save(folder / "dark.png")
    Image.new("RGB", (600, 500), "white").save(folder / "empty.png")
    rows = [
        {"id": "good", "title": "A cat", "image": str(folder / "good.png"), "price": 3},
        {
            "id": "both",
            "title": "Two <cats>",
            "image": [str(folder / f"{n}.png") for n in ("blurred", "dark")],
            "price": 9,
        },
        {"id": "empty", "title": "No cat", "image": str(folder / "empty.png"), "price": 5},
    ]
    with firstsight.open(folder / "db", policy=firstsight.MediaPolicy(allow_anywhere=True)) as db:
        db.index(rows, quality=True, colours=False, detect_language=False)
    (folder / "dark.png").unlink()
    return folder / "db"


@pytest.fixture
def db(shop: Path) -> firstsight.Database:
    return firstsight.open(shop)


def test_problems_come_with_their_picture_measure_threshold_and_advice(db: firstsight.Database) -> None:
    report = db.quality.find()
    assert {(found.item_id, found.problem) for found in report} == {
        *(("empty", "near_empty"), ("both", "blurred"), ("both", "dark")),
    }
    assert [found.severity for found in report] == sorted((found.severity for found in report), reverse=True)
    (blurred,) = [found for found in report if found.problem == "blurred"]
    assert blurred.uri is not None
    assert blurred.uri.endswith("blurred.png")
    assert (blurred.measure, blurred.threshold) == ("blur", 0.68)
    assert blurred.value > blurred.threshold
    assert blurred.advice.endswith(".")
    assert (report.pictures, report.unmeasured, report.without_text) == (4, 0, 4)
    assert report.counts == {"near_empty": 1, "blurred": 1, "dark": 1}


def test_a_problem_a_filter_and_a_limit_choose_the_list_but_not_the_counts(db: firstsight.Database) -> None:
    assert [found.problem for found in db.quality.find(["dark"])] == ["dark"]
    assert {found.item_id for found in db.quality.find(where="price < 6")} == {"empty"}
    report = db.quality.find(limit=1)
    assert len(report) == 1
    assert sum(report.counts.values()) == 3


def test_wrong_arguments_are_named(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="no problem 'blury'; give one of near_empty, blurred"):
        db.quality.find(["blury"])
    with pytest.raises(QueryError, match="is 0; give 1 or more"):
        db.quality.find(limit=0)
    with pytest.raises(QueryError, match="prise"):
        db.quality.find(where="prise < 3")


def test_a_database_without_the_measures_says_how_many_pictures_lack_them(sample_db: Path) -> None:
    report = firstsight.open(sample_db).quality.find()
    assert (list(report), report.pictures) == ([], 0)
    assert report.unmeasured > 0


def test_the_page_has_pictures_and_opens_without_a_server(db: firstsight.Database, tmp_path: Path) -> None:
    page = tmp_path / "quality.html"
    db.quality.write_page(page, db.quality.find())
    text = page.read_text(encoding="utf-8")
    assert text.count('<img src="data:image/jpeg;base64,') == 2
    assert text.count('class="detail"') == 1
    assert "Two &lt;cats&gt;" in text
    assert "dark.png" in text  # why its picture is missing
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_the_page_shows_a_limited_number_of_pictures(db: firstsight.Database, tmp_path: Path) -> None:
    db.quality.write_page(tmp_path / "quality.html", db.quality.find(), max_pictures=1)
    text = (tmp_path / "quality.html").read_text(encoding="utf-8")
    assert text.count("<li>") == 1
    assert "2 less severe problems are not shown" in text


def test_the_command_prints_json_lines_and_counts(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "quality.html"
    arguments = ("quality", "--db", str(shop), "--problem", "blurred", "--html", str(page))
    code, out, err = call_in_process(monkeypatch, capsys, *arguments)
    assert code == 0
    (row,) = parse_json_lines(out)
    assert (row["item_id"], row["problem"], row["measure"]) == ("both", "blurred", "blur")
    assert "4 pictures measured; pictures with a problem: near_empty 1, blurred 1, dark 1" in err
    assert f"wrote {page}" in err
    assert page.exists()


def test_the_command_prints_a_table_on_a_terminal(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call_on_a_terminal(monkeypatch, capsys, "quality", "--db", str(shop), "-k", "2")
    assert code == 0
    assert "near_empty" in out
    assert "1.0 %" in out
    code, out, _ = call_on_a_terminal(monkeypatch, capsys, "quality", "--db", str(shop), "--columns", "price,problem")
    assert "near_empty" in out


def test_the_command_says_how_to_measure(
    sample_db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call_in_process(monkeypatch, capsys, "quality", "--db", str(sample_db))
    assert (code, out) == (0, "")
    assert "pictures were not measured" in err
    assert "--quality" in err


def test_items_can_be_filtered_by_measures_and_problems(shop: Path) -> None:
    with firstsight.open(shop) as db:
        assert {row.item_id for row in db.search("cat", where="quality.problems LIKE '%dark%'")} == {"both"}
        assert {row.item_id for row in db.search("cat", where="quality.blur < 0.6 AND quality.content > 0.1")} <= {
            "good"
        }


def test_the_measures_are_stored_with_the_view(shop: Path) -> None:
    from firstsight.storage.facts.view_fact_table import read_view_facts
    from firstsight.storage.store import Store

    facts = read_view_facts(Store.open(shop), ["good"])
    (stored,) = facts.values()
    assert stored["quality"]["version"] == "1"
    assert json.loads(json.dumps(stored["quality"]["value"]))["width"] > 0


def test_the_python_block_of_the_page_about_quality_runs(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "quality.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with firstsight.open(shop) as db:
        exec(compile(block, "docs/quality.md", "exec"), {"db": db})
    assert (tmp_path / "quality.html").exists()
