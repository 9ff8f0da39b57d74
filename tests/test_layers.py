"""Imports run one way only between the rooms, so that no circle can form and each room can be read alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BASE = {"errors", "config"}
ALLOWED = {
    "media": BASE,
    "encoders": BASE | {"media"},
    "indexer": BASE | {"media", "encoders"},
    "retrieval": BASE | {"media", "encoders", "indexer"},
    "recommend": BASE | {"media", "encoders", "indexer", "retrieval"},
    "safety": BASE | {"media", "encoders", "indexer"},
    "service": BASE | {"", "encoders", "indexer", "media", "recommend", "retrieval", "safety"},
    "cli": BASE | {"", "encoders", "indexer", "recommend", "retrieval", "safety", "service"},  # "": the public API
}


def imports(room: str) -> Iterator[tuple[str, str]]:
    """Every (file, room it imports from) of a room, inside functions and type checking as well."""
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                if module == "firstsight" or module.startswith("firstsight."):
                    yield path.name, module.partition(".")[2].split(".")[0]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_from_below(room: str) -> None:
    wrong = {(file, other) for file, other in imports(room) if other not in ALLOWED[room] | {room}}
    assert wrong == set()


def test_errors_and_config_import_no_room() -> None:
    for name in BASE:
        assert "firstsight." not in (ROOT / "firstsight" / f"{name}.py").read_text(encoding="utf-8").split('"""', 2)[2]
