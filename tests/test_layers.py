"""Imports run one way only: between packages, between the folders of a package, and between modules."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each layer imports the layers above it in this list; packages of one layer do not import each other.
LAYERS = [
    {"errors", "config", "public_names"},
    {"extras", "keywords", "threads"},
    {"records"},
    {"vectors"},
    {"storage", "media"},
    {"encoders", "duplicates"},
    {"indexer"},
    {"heads"},
    {"understanding"},
    {"retrieval"},
    {"recommend", "safety"},
    {"tuning"},
    {"api"},
    {"database"},
    {""},  # firstsight itself: the public names
    {"service"},
    {"cli"},
    {"__main__"},
]
PACKAGES = ["storage", "media", "encoders", "indexer", "duplicates", "heads", "retrieval", "recommend", "safety"]
PACKAGES += ["understanding", "tuning", "service", "cli"]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def files() -> Iterator[tuple[str, Path]]:
    """All modules of the package with their dotted names."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield dotted(path, ROOT), path
    for path in [*(ROOT / "firstsight").glob("*.py"), *(ROOT / "firstsight" / "api").rglob("*.py")]:
        yield dotted(path, ROOT / "firstsight"), path


def dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = dict(files())


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, also inside functions and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "firstsight":
            base = (node.module or "").partition(".")[2]
            names = {f"{base}.{alias.name}".strip(".") for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            found |= {name.partition(".")[2] for name in names if name.partition(".")[0] == "firstsight"}
    return found


GRAPH = {name: imports(path) - {name} for name, path in MODULES.items()}


def package_of(module: str) -> str:
    return module.partition(".")[0]


def cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Modules of a circle of imports; empty without a circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", sorted({package_of(name) for name in MODULES}))
def test_a_package_imports_only_from_earlier_layers(package: str) -> None:
    wrong = {
        (module, other)
        for module, others in GRAPH.items()
        if package_of(module) == package
        for other in others
        if package_of(other) != package and LEVEL[package_of(other)] >= LEVEL[package]
    }
    assert wrong == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    # `firstsight/__init__` imports its public names when they are first used
    assert cycle({module: others - {""} for module, others in GRAPH.items() if module}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_folders_of_a_package_import_each_other_one_way(package: str) -> None:
    folders: dict[str, set[str]] = {}
    for module, others in GRAPH.items():
        if package_of(module) == package:
            folders.setdefault(folder(module), set()).update(
                folder(other) for other in others if package_of(other) == package
            )
    assert cycle({name: others - {name} for name, others in folders.items()}) == []


def folder(module: str) -> str:
    """The folder of a module in a sub-package; a module at the root of its package is its own folder."""
    path = MODULES[module]
    return module if path.name == "__init__.py" or module.count(".") < 2 else module.rsplit(".", 1)[0]
