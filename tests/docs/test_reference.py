"""The reference is complete: the page of the command line is current, and the API pages have every public name once."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
import pytest

import firstsight
from scripts import write_cli_reference
from scripts.docstring_extensions import DocstringHabits, split_groups

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


PACKAGE = """
from dataclasses import dataclass
from typing import TypedDict, Unpack

@dataclass(frozen=True)
class Query:
    \"\"\"A query.\"\"\"

    text: str  # words
    # number of results,
    # 1 to 100
    k: int = 10

class QuerySettings(TypedDict, total=False):
    \"\"\"The fields of `Query`.\"\"\"

    k: int

class SearchSettings(QuerySettings, total=False):
    \"\"\"Settings.

    Attributes:
        wait: seconds.
    \"\"\"

    wait: float

def search(text: str, **settings: Unpack[SearchSettings]) -> None:
    \"\"\"Search.

    Args:
        text: words.
        settings: fields.
    \"\"\"
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> griffe.Module:
    folder = tmp_path_factory.mktemp("package")
    (folder / "shop.py").write_text(PACKAGE, encoding="utf-8")
    extensions = griffe.load_extensions(DocstringHabits())
    loaded = griffe.load("shop", search_paths=[folder], extensions=extensions, docstring_parser="google")
    assert isinstance(loaded, griffe.Module)
    return loaded


def test_options_in_a_typed_dict_become_parameters(package: griffe.Module) -> None:
    entries = package["search"].docstring.parsed[1].value
    assert [(entry.name, entry.description, entry.value) for entry in entries] == [
        ("text", "words.", None),
        ("k", "number of results, 1 to 100", "10"),
        ("wait", "seconds.", "..."),
    ]


def test_comments_of_fields_become_a_table(package: griffe.Module) -> None:
    entries = package["Query"].docstring.parsed[1].value
    assert [(entry.name, entry.description) for entry in entries] == [
        ("text", "words"),
        ("k", "number of results, 1 to 100"),
    ]
