"""`firstsight safety hashes` as its users meet it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from firstsight.safety.audit.audit_log import AuditLog
from tests.cli.calling import Run, parse_json_lines

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
GUITAR = sorted(PICTURES.glob("*guitar*"))[0]


@pytest.fixture
def db(sample_db: Path, tmp_path: Path) -> Path:
    """A copy of the sample database that may be written to."""
    return Path(shutil.copytree(sample_db, tmp_path / "db"))


@pytest.mark.slow
def test_a_picture_is_added_matched_exported_removed_and_imported(run: Run, db: Path, tmp_path: Path) -> None:
    at = ["--db", str(db)]
    assert run("safety", "hashes", "list", *at) == (0, "", "")
    assert run("safety", "hashes", "match", *at) == (0, "", "")
    added = run(
        "safety", "hashes", "add", str(GUITAR), "--policy", "weapons", "--tag", "batch-7", "--by", "ana", "--exact", *at
    )
    assert added == (0, "", "1 hashes and 0 videos, 1 of them new\n")
    (entry,) = parse_json_lines(run("safety", "hashes", "list", *at)[1])
    assert (entry["set"], entry["policy"], entry["tags"]) == ("bad", "weapons", ["batch-7"])
    (match,) = parse_json_lines(run("safety", "hashes", "match", *at)[1])
    assert (match["uri"], match["policy"], match["hash"]) == (f"pictures/{GUITAR.name}", "weapons", entry["hash"])
    assert parse_json_lines(run("safety", "hashes", "match", "--item", "green-mug", *at)[1]) == []
    listed = tmp_path / "ours.csv"
    assert run("safety", "hashes", "export", str(listed), *at)[0] == 0
    assert run("safety", "hashes", "remove", entry["hash"], *at) == (0, "", "1 entries removed\n")
    assert run("safety", "hashes", "match", *at)[1] == ""
    assert run("safety", "hashes", "import", str(listed), *at)[2] == "1 hashes, 1 of them new; 0 rows left out\n"
    text = tmp_path / "ours.txt"
    assert run("safety", "hashes", "export", str(text), "--policy", "weapons", *at)[0] == 0
    assert text.read_text() == f"{entry['hash']},,batch-7\n"
    log = AuditLog.of(str(db))
    assert [entry.record["action"] for entry in log.entries()] == ["add", "remove", "add"]
    assert log.verify().ok


def test_a_mirrored_copy_is_found_by_the_variants_which_go_with_their_source(
    run: Run, db: Path, tmp_path: Path
) -> None:
    at = ["--db", str(db)]
    with Image.open(GUITAR) as file:
        ImageOps.mirror(file.convert("RGB")).save(tmp_path / "mirrored.png")
    assert run("safety", "hashes", "add", str(tmp_path / "mirrored.png"), "--policy", "weapons", "--exact", *at)[0] == 0
    assert parse_json_lines(run("safety", "hashes", "match", *at)[1]) == []
    assert run("safety", "hashes", "add", str(tmp_path / "mirrored.png"), "--policy", "weapons", *at)[0] == 0
    (match,) = parse_json_lines(run("safety", "hashes", "match", *at)[1])
    assert (match["uri"], match["tags"]) == (f"pictures/{GUITAR.name}", ["variant-mirrored"])
    assert run("safety", "hashes", "remove", "--source", str(tmp_path / "mirrored.png"), *at)[0] == 0
    assert parse_json_lines(run("safety", "hashes", "list", *at)[1]) == []


@pytest.mark.slow
def test_a_good_item_takes_a_match_back(run: Run, db: Path) -> None:
    at = ["--db", str(db)]
    assert run("safety", "hashes", "add", str(GUITAR), "--policy", "weapons", *at)[0] == 0
    (match,) = parse_json_lines(run("safety", "hashes", "match", *at)[1])
    assert match["set"] == "bad"
    assert run("safety", "hashes", "add", "--item", match["item_id"], "--good", *at)[0] == 0
    assert {one["set"] for one in parse_json_lines(run("safety", "hashes", "match", *at)[1])} == {"good"}


def test_bad_rows_are_named_and_the_others_kept(run: Run, db: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("ab" * 32 + "\nxyz\n")
    code, _, err = run("safety", "hashes", "import", str(listed), "--policy", "weapons", "--db", str(db))
    assert code == 1
    assert f"{listed}:2: 'xyz' is no PDQ hash" in err
    assert "1 hashes, 1 of them new; 1 rows left out" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["add"], 2, "name a picture"),
        (["add", "a.jpg"], 2, "use --policy ID for"),
        (["add", "gone.jpg", "--policy", "p"], 1, "left out: "),
        (["add", "--item", "nobody", "--good"], 1, "there is no item 'nobody'"),
        (["add", str(GUITAR), "--good", "--tag", "two words"], 1, "is no tag"),
        (["remove", "abc"], 2, "is no PDQ hash"),
        (["remove"], 2, "name a hash"),
        (["import", "gone.txt"], 1, "gone.txt cannot be read"),
        (["match", "--max-distance", "32"], 2, "31"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, db: Path, arguments: list[str], code: int, says: str) -> None:
    answer = run("safety", "hashes", *arguments, "--db", str(db))
    assert answer[0] == code
    assert says in answer[2]
    assert "Traceback" not in answer[2]


@pytest.mark.slow
def test_on_a_terminal_it_is_a_table(run: Run, run_on_terminal: Run, db: Path) -> None:
    assert run("safety", "hashes", "add", str(GUITAR), "--policy", "weapons", "--db", str(db))[0] == 0
    code, shown, said = run_on_terminal("safety", "hashes", "match", "--db", str(db))
    assert code == 0, said
    assert "weapons" in shown
    assert "1 items match known-bad pictures or videos" in said
