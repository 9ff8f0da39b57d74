"""CONTRIBUTING.md and SECURITY.md name only files, modules, functions and targets that exist."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.project.contributor_pages import ROOT, code, make_targets, module_exists, paths, read, sections, words

CONTRIBUTING, SECURITY = read("CONTRIBUTING.md"), read("SECURITY.md")
GUIDES = {title: text for title, text in sections(CONTRIBUTING).items() if title.startswith("How to add")}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_and_link_exists(page: str) -> None:
    text = read(page)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert links
    assert [name for name in [*paths(text), *links] if not (ROOT / name).exists()] == []


def test_every_section_that_is_linked_exists() -> None:
    for page in (CONTRIBUTING, SECURITY):
        for target, anchor in re.findall(r"\]\(([^)#:]+)#([^)]+)\)", page):
            headings = re.findall(r"^#+ (.+)$", read(target), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_there_is_a_guide_for_each_kind_of_part() -> None:
    assert [title.removeprefix("How to add ") for title in GUIDES] == ["an encoder", "a decoder", "a source"]


@pytest.mark.parametrize("title", GUIDES)
def test_every_name_of_a_guide_is_in_a_file_of_that_guide(title: str) -> None:
    text = GUIDES[title]
    files = [ROOT / name for name in paths(text) if name.endswith(".py")]
    sources = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert len(files) > 5
    missing = {name for name in words(text) if not re.search(rf"\b{name}\b", sources)}
    assert missing == set()


def test_every_module_in_the_threat_model_exists() -> None:
    modules = [name for name in code(SECURITY) if name.startswith("firstsight.")]
    assert len(modules) > 20
    assert [name for name in modules if not module_exists(name)] == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", CONTRIBUTING, re.MULTILINE))
    assert targets >= {"demo", "test", "test-fast", "lint", "coverage"}
    assert targets <= make_targets()


def test_coverage_counts_every_code_folder_by_its_real_path() -> None:
    tool = tomllib.loads(read("pyproject.toml"))["tool"]
    real = {folder.split("/")[0] for folder in tool["setuptools"]["package-dir"].values()}
    assert tool["coverage"]["run"]["source"] == sorted(real)
    assert not any((ROOT / folder).is_symlink() for folder in real)
