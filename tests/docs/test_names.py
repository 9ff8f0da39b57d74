"""Files, folders, modules, classes and functions that the documents name exist."""

from __future__ import annotations

import builtins
import re
import subprocess
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import firstsight

ROOT = Path(__file__).parents[2]
EARLIER_NAMES = {"docs/renamed.md"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    if path.relative_to(ROOT).as_posix() not in EARLIER_NAMES
)
NOT_OURS = {"DatasetDict", "IvfRq", "IvfSq", "StockCode"}
"""Classes of other libraries, and a column of a public data set."""


@cache
def files() -> frozenset[str]:
    """Files of the repository, ignored ones left out; those not yet committed too."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    listed = done.stdout.split() or [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return frozenset(listed)


@cache
def folders() -> frozenset[str]:
    return frozenset(folder.as_posix() for name in files() for folder in Path(name).parents)


@cache
def definitions() -> frozenset[str]:
    """Names of all classes, types and functions, without their modules."""
    found: set[str] = set()
    for name in files():
        if name.endswith(".py") and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            found |= set(re.findall(r"^ *(?:class|(?:async )?def) (\w+)", text, re.MULTILINE))
            found |= set(re.findall(r"^([A-Z]\w*)(?:: \w+)? = ", text, re.MULTILINE))
    return frozenset(found)


def ends_one_of(path: str, known: frozenset[str]) -> bool:
    return any(f"/{name}".endswith(f"/{path.strip('/')}") for name in known)


def has_member(holder: object, path: str) -> bool:
    """Whether an object has a member, or a class a field, at a dotted path."""
    name, _, rest = path.partition(".")
    if is_dataclass(holder) and name in {field.name for field in fields(holder)}:
        return True
    return hasattr(holder, name) and (not rest or has_member(getattr(holder, name), rest))


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if is_module(module):
            return length == len(parts) or has_member(import_module(module), ".".join(parts[length:]))
    return False


def is_module(name: str) -> bool:
    """Whether there is a module; it is not imported."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the part before the last dot is no package
        return False


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def code(page: str) -> list[str]:
    """The words in `backticks`."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES)
def test_files_and_folders_exist(page: str) -> None:
    python = [word for word in code(page) if re.fullmatch(r"[\w./-]+\.py", word)]
    within = [word for word in code(page) if re.fullmatch(r"\w[\w/-]*/", word) and not word.startswith("build/")]
    assert [word for word in python if not ends_one_of(word, files())] == []
    assert [word for word in within if not ends_one_of(word, folders())] == []


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_exist(page: str) -> None:
    text = re.sub(r'entry-points\."[\w.]+"', "", read(page))  # groups of entry points
    names = re.findall(r"(?<![\w./:@-])((?:firstsight|benchmarks)(?:\.[A-Za-z_]\w*)+)(?![\w/-])", text)
    assert [name for name in sorted(set(names)) if not name.endswith(".md") and not resolves(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_members_of_public_classes_exist(page: str) -> None:
    public = "|".join(name for name in firstsight.__all__ if name[0].isupper())
    names = re.findall(rf"(?<![\w.])({public})\.(\w+)", " ".join(code(page)))
    wrong = [f"{owner}.{name}" for owner, name in names if not has_member(getattr(firstsight, owner), name)]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_methods_of_a_database_exist(page: str, tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "shop-db")
    called = re.findall(r"(?<![\w.])(?:db|firstsight\.open\([^)]*\))\.([a-z_]\w*(?:\.[a-z_]\w*)*)(?=[(`])", read(page))
    assert [name for name in sorted(set(called)) if not has_member(db, name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_classes_exist(page: str) -> None:
    words = [word.partition(".")[0].partition("(")[0] for word in code(page)]
    classes = {word for word in words if re.fullmatch(r"[A-Z]+[a-z]+[A-Z]\w*", word)}
    assert {word for word in classes - definitions() - NOT_OURS if not hasattr(builtins, word)} == set()


def test_modules_in_the_drawings_of_the_architecture_exist() -> None:
    drawings = re.findall(r"^ {4}.*$", read("docs/architecture.md"), re.MULTILINE)
    paths = re.findall(r"(?<![\w./])(?:[a-z]\w*/)+[a-z]\w*\b", "\n".join(drawings))
    modules = frozenset(name.removesuffix(".py") for name in files()) | folders()
    assert len(paths) > 5
    assert [path for path in paths if not ends_one_of(path, modules)] == []
