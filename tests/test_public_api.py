"""The public names of `firstsight`: exported, typed to the end, and with a short help."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import rlcompleter
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path

import pytest

import firstsight
from firstsight import public_names
from firstsight.records import Record

PACKAGE = Path(firstsight.__file__).parent
PARTS = [
    firstsight.Database,
    *(firstsight.Indexing, firstsight.EventLog, firstsight.ColdStart, firstsight.Rerankers, firstsight.SemanticIds),
    *(firstsight.Duplicates, firstsight.Evaluation, firstsight.Maintenance, firstsight.RankingModels),
    *(firstsight.Safety, firstsight.HashLists, firstsight.SafetyHeads, firstsight.AuditTrail),
    *(firstsight.Facts, firstsight.Quality),
]
TWO_SCREENS = 110 if sys.version_info < (3, 13) else 170
"""Lines of two terminal windows. Python 3.13 writes each parameter of a long signature on a line of its own."""


# ---- names


def test_all_is_sorted_and_every_name_in_it_is_there() -> None:
    assert firstsight.__all__ == sorted(firstsight.__all__)
    for name in firstsight.__all__:
        assert getattr(firstsight, name) is not None


def test_names_for_type_checkers_and_names_at_run_time_are_the_same() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imported = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == public_names.MODULES
    assert set(imported) < set(firstsight.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        firstsight.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_tab_completion_finds_the_public_names() -> None:
    completer = rlcompleter.Completer({"firstsight": firstsight})
    assert completer.complete("firstsight.SearchRes", 0) == "firstsight.SearchResult("
    assert firstsight.SearchResult is firstsight.retrieval.results.SearchResult  # type: ignore[attr-defined]


def test_importing_firstsight_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'lancedb', 'pyarrow', 'openvino', 'numpy', 'PIL', 'sqlglot'}"
    code = f"import sys, firstsight, firstsight.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert firstsight.__version__ == version("firstsight")


# ---- types


@cache
def module_of(name: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(name)))


def classes_in(annotation: ast.expr | None, module: str) -> Iterator[type]:
    """Classes of firstsight that an annotation names, found through the imports of its module."""
    if annotation is None:
        return
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    for node in ast.walk(module_of(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("firstsight"):
            for alias in node.names:
                if alias.name in names:
                    yield from classes_named(str(node.module), alias.name)
        if isinstance(node, ast.ClassDef | ast.Assign | ast.AnnAssign):
            for name in names & {getattr(node, "name", None), *map(ast.unparse, getattr(node, "targets", []))}:
                yield from classes_named(module, str(name))


def classes_named(module: str, name: str) -> Iterator[type]:
    value = getattr(importlib.import_module(module), name)
    if isinstance(value, type) and value.__module__.startswith("firstsight"):
        yield value


def methods(part: type) -> Iterator[ast.FunctionDef]:
    """The public methods of a class, with their overloads."""
    for node in ast.walk(module_of(part.__module__)):
        if isinstance(node, ast.ClassDef) and node.name == part.__name__:
            for child in node.body:
                if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
                    yield child


def fields_of(record: type) -> Iterator[ast.expr]:
    for node in ast.walk(module_of(record.__module__)):
        if isinstance(node, ast.ClassDef) and node.name == record.__name__:
            yield from (child.annotation for child in node.body if isinstance(child, ast.AnnAssign))


def returned_types() -> dict[type, str]:
    """Every type that the API returns, and the types of its fields, with the place that names it."""
    found: dict[type, str] = {}
    waiting = [
        (returned, f"{part.__name__}.{method.name}")
        for part in PARTS
        for method in methods(part)
        for returned in classes_in(method.returns, part.__module__)
    ]
    while waiting:
        returned, place = waiting.pop()
        if returned in found:
            continue
        found[returned] = place
        for annotation in fields_of(returned) if is_dataclass(returned) else ():
            waiting += [(other, returned.__name__) for other in classes_in(annotation, returned.__module__)]
    return found


def test_every_returned_type_is_exported() -> None:
    types = returned_types()
    assert len(types) > 60
    missing = {
        returned: place for returned, place in types.items() if getattr(firstsight, returned.__name__, 0) != returned
    }
    assert missing == {}


def test_every_type_of_an_argument_is_exported() -> None:
    missing = {
        (part.__name__, method.name, kind.__name__)
        for part in PARTS
        for method in methods(part)
        for argument in [*method.args.args, *method.args.kwonlyargs, method.args.kwarg]
        if argument is not None
        for kind in classes_in(argument.annotation, part.__module__)
        if getattr(firstsight, kind.__name__, None) != kind
    }
    assert missing == set()


def test_every_result_is_a_frozen_record() -> None:
    others = {firstsight.Database, firstsight.Encoder, *PARTS}
    others.add(firstsight.VectorMatrix)  # a pair, to be unpacked: ids, matrix = db.vectors()
    for returned, place in returned_types().items():
        if returned not in others and not issubclass(returned, Exception):
            assert is_dataclass(returned), place
            assert returned.__dataclass_params__.frozen, place  # type: ignore[attr-defined]
            assert issubclass(returned, Record) or callable(getattr(returned, "to_dict", None)), (returned, place)


def test_no_public_call_takes_or_returns_any() -> None:
    for part in PARTS:
        for method in methods(part):
            arguments = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
            arguments += [extra for extra in (method.args.vararg, method.args.kwarg) if extra is not None]
            annotations = [argument.annotation for argument in arguments if argument.arg != "self"] + [method.returns]
            for annotation in annotations:
                assert annotation is not None, (part, method.name)
                names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
                assert not names & {"Any", "Store"}, (part, method.name)


def test_every_public_call_has_a_docstring() -> None:
    for part in PARTS:
        assert part.__doc__
        overloads = {"overload"}
        for method in methods(part):
            if not overloads & {ast.unparse(decorator) for decorator in method.decorator_list}:
                assert ast.get_docstring(method), (part, method.name)


# ---- help


@pytest.mark.parametrize("thing", [firstsight, firstsight.Database])
def test_help_fits_on_two_screens_and_shows_how_to_begin(thing: object) -> None:
    text = pydoc.render_doc(thing, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    assert len(text.splitlines()) <= TWO_SCREENS
    assert 'firstsight.open("shop-db")' in text
    assert 'db.search("red running shoes"' in text


def test_the_help_of_the_database_names_each_part(tmp_path: Path) -> None:
    db = firstsight.open(tmp_path)
    assert firstsight.Database.__doc__
    for name, part in vars(db).items():
        if type(part) in PARTS:
            assert f" db.{name} " in firstsight.Database.__doc__
