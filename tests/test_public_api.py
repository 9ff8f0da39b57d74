"""The public names of `firstsight`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import firstsight


def test_all_is_sorted_and_every_name_in_it_is_there() -> None:
    assert firstsight.__all__ == sorted(firstsight.__all__)
    for name in firstsight.__all__:
        assert getattr(firstsight, name) is not None


def test_dir_shows_the_public_names_only() -> None:
    assert dir(firstsight) == firstsight.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        firstsight.nothing  # noqa: B018


def test_importing_firstsight_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'lancedb', 'pyarrow', 'openvino', 'numpy', 'PIL', 'sqlglot'}"
    code = f"import sys, firstsight, firstsight.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert firstsight.__version__ == version("firstsight")
