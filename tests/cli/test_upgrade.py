"""`firstsight upgrade`, and what `status` says of the layout."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from firstsight.storage.layout import store_layout
from firstsight.storage.store import Store
from firstsight.storage.tables import CURRENT_LAYOUT
from tests.cli.calling import Run, parse_json_lines

PAGE = (Path(__file__).parents[2] / "docs" / "upgrading.md").read_text(encoding="utf-8")


@pytest.fixture
def db(layout_1_db: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(layout_1_db, tmp_path / "shop-db"))


def test_a_plan_then_an_upgrade_then_nothing_to_do(run: Run, db: str) -> None:
    code, out, err = run("upgrade", "--db", db, "--dry-run", "--json")
    (plan,) = parse_json_lines(out)
    assert (code, plan["before"], plan["after"], plan["dry_run"], plan["encode_again"]) == (
        0,
        1,
        CURRENT_LAYOUT,
        True,
        0,
    )
    assert parse_json_lines(run("status", "--db", db, "--json")[1])[0]["layout"] == 1
    code, out, err = run("upgrade", "--db", db, "--json")
    assert code == 0
    assert parse_json_lines(out)[0] | {"seconds": 0.0, "dry_run": True} == plan
    assert err.startswith(f"upgrade from layout 1 to layout {CURRENT_LAYOUT}, less than a second\n")
    assert parse_json_lines(run("status", "--db", db, "--json")[1])[0]["layout"] == CURRENT_LAYOUT
    code, out, err = run("upgrade", "--db", db, "--json")
    (nothing,) = parse_json_lines(out)
    assert (code, nothing["before"], nothing["after"], nothing["changes"]) == (0, CURRENT_LAYOUT, CURRENT_LAYOUT, [])


def test_on_a_terminal_it_is_a_table_and_a_sentence(run: Run, db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(db).views.drop_columns(["version"])
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert f"1 of {CURRENT_LAYOUT}; firstsight upgrade or the next write upgrades it" in run("status", "--db", db)[1]
    _, out, err = run("upgrade", "--db", db, "--dry-run")
    assert "Add empty columns to the table of views: version, text, line_starts, language." in out
    assert f"upgrade from layout 1 to layout {CURRENT_LAYOUT}, less than a second; nothing was written\n" in err
    _, out, err = run("upgrade", "--db", db)
    assert "Add empty columns to the table of views: version, text, line_starts, language." in out
    assert re.search(rf"shop-db has layout {CURRENT_LAYOUT} now, after [0-9.]+ s\n", err)
    assert run("upgrade", "--db", db) == (
        0,
        "",
        f"{db} has layout {CURRENT_LAYOUT}, the newest: there is nothing to do\n",
    )


def test_what_cannot_be_upgraded_is_answered(run: Run, db: str, tmp_path: Path) -> None:
    code, _, err = run("upgrade", "--db", str(tmp_path / "nothing"))
    assert (code, err.startswith("firstsight: there is no database at")) == (2, True)
    store_layout(Store.open(db).items, CURRENT_LAYOUT + 1)
    code, _, err = run("upgrade", "--db", db, "--dry-run")
    assert (code, err) == (
        1,
        f"firstsight: {db} was written by a newer firstsight (layout {CURRENT_LAYOUT + 1}); upgrade firstsight\n",
    )


def test_the_examples_of_its_page_run(
    run: Run, db: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    monkeypatch.chdir(Path(db).parent)
    exec(compile(blocks["python"], "upgrading.md", "exec"), {})
    assert capsys.readouterr().out.startswith(f"1 {CURRENT_LAYOUT} 0.")
    commands = [shlex.split(line, comments=True) for line in blocks["bash"].splitlines()]
    assert [command[:2] for command in commands] == [["firstsight", name] for name in ("upgrade", "upgrade", "status")]
    for command in commands:
        assert run(*command[1:], "--db", db)[0] == 0
