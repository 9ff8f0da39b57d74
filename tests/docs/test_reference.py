"""The reference is complete: the page of the command line is current, and the API pages have every public name once."""

from __future__ import annotations

import re
from pathlib import Path

import firstsight
from scripts import write_cli_reference
from scripts.grouped_parameters import split_groups

API = Path(__file__).parents[2] / "docs" / "reference" / "api"


def test_the_page_of_the_command_line_is_current() -> None:
    written = write_cli_reference.PAGE.read_text(encoding="utf-8")
    assert written == write_cli_reference.render_page(), "docs/reference/cli.md is out of date; run: make reference"


def test_every_public_name_is_on_one_page_of_the_api() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in API.glob("*.md")}
    found = [name for text in pages.values() for name in re.findall(r"^::: firstsight\.(?:\w+\.)*(\w+)$", text, re.M)]
    missing = set(firstsight.__all__) - set(found) - {"__version__"}
    assert missing == set(), "add a line such as `::: firstsight.Status` to a page in docs/reference/api"
    assert {name for name in found if found.count(name) > 1} == set()


def test_a_group_of_parameters_becomes_an_entry_for_each() -> None:
    docstring = """Find items.

Args:
    query: a text.
    k, seed: as for `index`,
        or as for `add`.

Raises:
    QueryError, StoreError: always.
"""
    entries = """    query: a text.
    k: as for `index`,
        or as for `add`.
    seed: as for `index`,
        or as for `add`.
"""
    before, _, after = docstring.partition("    query")
    assert split_groups(docstring) == before + entries + after[after.index("\nRaises") :]
