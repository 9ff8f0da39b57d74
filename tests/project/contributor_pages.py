"""Names in the pages for contributors: paths, modules, words of code and make targets."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PATH = re.compile(r"\.?\w[\w./-]*/|\.?[\w./-]*[\w-]+\.(?:py|md|txt|toml|yaml|yml)|\.ci/run")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code(text: str) -> list[str]:
    """Everything between backticks, without blocks of code."""
    return _CODE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def paths(text: str) -> list[str]:
    """The paths between backticks. NAME and <folder> stand for a name that the reader chooses."""
    return [name for name in code(text) if _PATH.fullmatch(name) and "NAME" not in name]


def words(text: str) -> set[str]:
    """The names of functions, classes, constants and attributes between backticks."""
    return {found[1] for name in code(text) if (found := re.fullmatch(r"(?:options\.)?(\w+)(?:\(.*\))?", name))}


def sections(text: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    _, *rest = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))


@cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):(?!=)", read("Makefile"), re.MULTILINE))


def module_exists(dotted: str) -> bool:
    """Whether a dotted name is a package, a module, or a word in the source of a module of this project."""
    place = ROOT.joinpath(*dotted.split("."))
    if place.is_dir() or place.with_suffix(".py").is_file():
        return True
    module, _, name = dotted.rpartition(".")
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return source.is_file() and re.search(rf"\b{name}\b", source.read_text(encoding="utf-8")) is not None
