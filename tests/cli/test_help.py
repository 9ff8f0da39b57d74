"""Help pages: the list of commands, options in panels, examples, documentation, and old names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

from firstsight.cli import panels
from firstsight.cli.deferred import DeferredCommand
from firstsight.cli.main import app
from firstsight.cli.models import ListByDefault
from tests.cli.calling import Run

ROOT = Path(__file__).parents[2]
PANELS = {panel.keywords["rich_help_panel"] for panel in vars(panels).values() if isinstance(panel, partial)}


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and group below a group, hidden ones too, with what to type for it."""
    for name, command in group.commands.items():
        loaded = command.load() if isinstance(command, DeferredCommand) else command
        yield f"{path}{name}", loaded
        if hasattr(loaded, "commands"):
            yield from commands(loaded, f"{path}{name} ")


COMMANDS = dict(commands(typer.main.get_command(app)))
LISTED = [path for path, command in COMMANDS.items() if not command.hidden]


def test_the_list_of_commands_is_this(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("--help")
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert code == 0
    panels_shown = plain[plain.index("╭─ Catalogue") :]  # the panel above depends on Typer's version
    assert panels_shown.split() == (Path(__file__).parent / "commands.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("path", LISTED)
def test_every_option_has_a_help_text_in_a_panel(path: str) -> None:
    for parameter in COMMANDS[path].params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        assert parameter.help, parameter.name
        assert parameter.help[0].isupper(), parameter.help
        assert parameter.help.endswith("."), parameter.help
        if parameter.param_type_name == "option":
            assert parameter.rich_help_panel in PANELS, parameter.name


def test_an_option_is_in_the_same_panel_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for path in LISTED:
        for parameter in COMMANDS[path].params:
            if parameter.param_type_name == "option" and parameter.name in {"db", "wait", "json", "encoder", "runtime"}:
                found.setdefault(parameter.name, set()).add(parameter.rich_help_panel)
    assert found == {
        "db": {"Database"},
        "wait": {"Database"},
        "json": {"Output"},
        "encoder": {"Encoder"},
        "runtime": {"Encoder"},
    }


@pytest.mark.parametrize("path", LISTED)
def test_every_command_has_a_sentence_and_an_example(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert command.help.partition("\n\n")[0].endswith(".")
    assert f"firstsight {path}" in command.epilog


@pytest.mark.parametrize("path", [path for path in LISTED if not hasattr(COMMANDS[path], "commands")])
def test_every_command_is_in_the_readme_or_the_docs(path: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = " ".join("\n".join(page.read_text(encoding="utf-8") for page in pages).split())
    assert f"firstsight {path}" in text


def test_examples_are_of_commands_and_options_that_exist() -> None:
    for path in LISTED:
        for line in re.findall(r"^firstsight (.*)$", COMMANDS[path].epilog, re.MULTILINE):
            words = line.partition(" && ")[0].split()
            name = max((p for p in COMMANDS if f"{line} ".startswith(f"{p} ")), key=len)
            if isinstance(COMMANDS[name], ListByDefault):
                name += " list"
            params = COMMANDS[name].params
            options = {option for parameter in params for option in (*parameter.opts, *parameter.secondary_opts)}
            assert {word for word in words if re.match(r"--?[a-z]", word)} <= options, line


@pytest.mark.parametrize(
    ("old", "new"),
    [("rerank status", "rerank list"), ("rerank promote", "rerank use"), ("semantic-ids status", "semantic-ids list")],
)
def test_an_old_name_of_a_command_still_works(run: Run, old: str, new: str) -> None:
    assert COMMANDS[old].hidden
    assert run(*old.split()) == run(*new.split())
    assert [p.opts for p in COMMANDS[old].params] == [p.opts for p in COMMANDS[new].params]


def test_an_old_name_of_an_option_still_works(run: Run, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text('{"history": ["guitar-acoustic"]}')
    old, new = (
        run("recommend", option, str(tmp_path / "profile.json"), "--seed", "1", "-k", "3")
        for option in ("--json-profile", "--profile")
    )
    assert old[0] == new[0] == 0
    without_id = partial(re.sub, r'"slate_id": "[^"]*"', "")
    assert without_id(old[1]) == without_id(new[1])
    assert "--json-profile" not in run("recommend", "--help")[1]


def test_a_typing_error_gets_a_suggestion(run: Run) -> None:
    code, _, err = run("serach")
    assert code == 2
    assert "Did you mean 'search'?" in err


def test_the_list_of_commands_imports_no_command_and_no_command_imports_a_heavy_library() -> None:
    code = """
import sys, typer
from firstsight.cli.main import app
from firstsight.cli.models import ListByDefault
from firstsight.cli.deferred import DeferredCommand
group = typer.main.get_command(app)
print([name for name in sys.modules if name.startswith(("firstsight.cli.catalogue", "firstsight.cli.search"))])
for command in group.commands.values():
    command.load()
heavy = {"torch", "transformers", "open_clip", "openvino", "lancedb", "pyarrow", "numpy", "sklearn", "fastapi", "PIL"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"
