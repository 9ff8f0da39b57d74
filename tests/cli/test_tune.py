"""`firstsight tune` on the command line: what it prints, its exit codes, and the lines of docs/tuning.md."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.starter_model import BRIDGE_PATH, save_starter
from tests.cli.calling import Run, call_in_process, parse_json_lines
from tests.tuning.conftest import tuning_cache  # noqa: F401  # a fixture
from tests.tuning.shop import write_shop

DOCS = Path(__file__).parents[2] / "docs"
QUICK = ("--folds", "2", "--seeds", "1", "--steps", "10", "--max-forgetting", "0.5")


def test_the_lines_of_the_page_tune_a_shop_and_index_it(
    tmp_path: Path,
    tuning_cache: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_shop(tmp_path, 32)
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tuning.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for line in lines.splitlines():
        words = shlex.split(line)[1:]
        quick = QUICK if words[0] == "tune" else ()
        code, out, err = call_in_process(monkeypatch, capsys, *words, *quick)
        assert code == 0, err
        if "--dry-run" in words:
            (preview,) = parse_json_lines(out)
            assert [row["phrases"] for row in preview["phrases"]] == ["title", "color", "category", "color category"]
            assert not Path("shop-encoder").exists()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    quick_call = block.replace('"shop-encoder")', '"shop-encoder", folds=2, seeds=1, steps=10, max_forgetting=0.5)')
    assert quick_call != block
    names: dict[str, object] = {}
    exec(compile(quick_call, "docs/tuning.md", "exec"), names)
    assert "title -> picture P@10" in capsys.readouterr().out
    database = firstsight.open("new-db")
    assert (database.count(), names["encoder"].spec) == (32, database.encoder.spec)  # type: ignore[attr-defined]


def test_a_refused_tuning_prints_its_reason_and_exits_with_1(tmp_path: Path, run: Run, run_on_terminal: Run) -> None:
    catalogue = str(write_shop(tmp_path / "shop", 8))
    code, out, err = run("tune", catalogue, "--out", str(tmp_path / "encoder"))
    (report,) = parse_json_lines(out)
    assert (code, report["model"], report["figures"]) == (1, None, [])
    assert "8 held-out products" in report["refused"]
    assert f"refused: {report['refused']}; nothing was written" in err
    assert not (tmp_path / "encoder").exists()
    code, _, err = run_on_terminal("tune", catalogue, "--out", str(tmp_path / "encoder"))
    assert (code, "8 items of 8 products with 8 pictures" in err) == (1, True)


def test_force_writes_and_exits_with_0_and_the_table_has_all_shares(
    tmp_path: Path,
    tuning_cache: Path,  # noqa: F811
    run_on_terminal: Run,
) -> None:
    catalogue = str(write_shop(tmp_path / "shop", 8))
    code, out, err = run_on_terminal("tune", catalogue, "--out", str(tmp_path / "encoder"), "--force", *QUICK)
    assert code == 0, err
    assert "written all the same" in err
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert "title -> picture P@10" in plain
    assert all(re.search(rf"^{share}\s", plain, re.MULTILINE) for share in ("0", "0.25", "0.5", "0.75", "1"))
    assert json.loads((tmp_path / "encoder" / "tuning.json").read_text())["forced"] is True


def test_a_missing_folder_and_a_foreign_one_are_named(tmp_path: Path, run: Run) -> None:
    catalogue = str(write_shop(tmp_path / "shop", 2))
    code, _, err = run("tune", catalogue)
    assert (code, "--dry-run" in err) == (2, True)
    code, _, err = run("tune", catalogue, "--out", str(tmp_path / "shop"))
    assert (code, "is not empty and holds no model" in err) == (1, True)


@pytest.fixture(scope="module")
def small_teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A starter with pictures of 96 pixels, so that a student costs little."""
    folder = tmp_path_factory.mktemp("teacher")
    save_starter(folder, Bridge.load(BRIDGE_PATH).weights, image_size=96)
    return f"starter:{folder}"


@pytest.mark.slow
def test_a_distillation_prints_its_figures_and_force_writes_what_they_refuse(
    tmp_path: Path, small_teacher: str, run: Run, run_on_terminal: Run
) -> None:
    catalogue = str(write_shop(tmp_path / "shop", 110))
    out = tmp_path / "student"
    given = ("tune", catalogue, "--out", str(out), "--distil", "--encoder", small_teacher, "--image-size", "64")
    code, printed, err = run_on_terminal(*given, "--min-overlap", "1", "--steps", "40", "--force")
    assert code == 0, err
    assert "(required: 1)" in err
    assert "written all the same" in err
    report = json.loads((out / "distillation.json").read_text(encoding="utf-8"))
    assert (report["model"], report["image_size"], report["required_overlap"]) == (f"starter:{out}", 64, 1.0)
    assert report["held_out"] >= 30
    (cosine,) = (figure for figure in report["figures"] if figure["measure"] == "cosine of pictures")
    assert cosine["gain_low"] > 0
    assert re.search(rf"cosine of pictures +1\.000 +{cosine['untrained']:.3f} +{cosine['student']:.3f}", printed)
    assert firstsight.load_encoder(f"starter:{out}").spec.image_size == 64
    assert "tune --distil" in (out / "README.md").read_text(encoding="utf-8")
    code, _, err = run(*given)
    assert (code, "exists and is not an empty folder" in err) == (1, True)


def test_options_of_the_other_kind_are_named(tmp_path: Path, run: Run) -> None:
    catalogue = str(write_shop(tmp_path / "shop", 2))
    out = ("--out", str(tmp_path / "encoder"))
    code, _, err = run("tune", catalogue, *out, "--prune", "0.5")
    assert (code, "--prune" in err, "add --distil" in err) == (2, True, True)
    code, _, err = run("tune", catalogue, *out, "--distil", "--share", "1", "--db", "shop-db")
    assert (code, "--share, --db" in err) == (2, True)
    code, _, err = run("tune", catalogue, *out, "--distil", "--encoder", "open_clip:ViT-B-32")
    assert (code, "nothing would change in open_clip:ViT-B-32; add --prune" in err) == (1, True)
    code, printed, err = run("tune", catalogue, *out, "--distil")
    (report,) = parse_json_lines(printed)
    assert (code, report["model"], report["image_size"], report["figures"]) == (1, None, 192, [])
    assert f"refused: {report['refused']}; nothing was written" in err
