"""The command line and the service reach trust and safety through `db.safety` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CALLERS = [*sorted((ROOT / "cli").rglob("*.py")), *sorted((ROOT / "service").rglob("*.py"))]


def runtime_imports(node: ast.AST) -> Iterator[str]:
    """Yield the modules that code imports, without imports for type checking."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from runtime_imports(child)


def test_imports_are_found_where_they_run() -> None:
    code = "if TYPE_CHECKING:\n    import firstsight.safety.a\ndef f():\n    from firstsight.safety import b\n"
    assert list(runtime_imports(ast.parse(code))) == ["firstsight.safety.b"]


def test_commands_and_routes_import_nothing_of_the_safety_package() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in CALLERS
        for name in runtime_imports(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert len(found) > 100
    assert {pair for pair in found if pair[1].startswith("firstsight.safety")} == set()
