"""The folders at the top level, their mapping, their links and the wheel agree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
MAPPING: dict[str, str] = SETUPTOOLS["package-dir"]
NOT_INSTALLED = {"tests", "benchmarks", "docs", "examples", "sample_media", "scripts"}


def code_folders() -> set[str]:
    found = {
        path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/*.py") if not path.is_relative_to(ROOT / ".venv")
    }
    linked = {ROOT.joinpath(folder) for folder in found}
    real = {folder for folder in linked if folder.resolve() == folder}
    names = {folder.relative_to(ROOT).as_posix() for folder in real}
    return {name for name in names if name.split("/")[0] not in NOT_INSTALLED | {"build", "dist"}}


def test_every_code_folder_is_mapped_into_the_package_and_listed() -> None:
    assert set(MAPPING.values()) == code_folders()
    assert sorted(MAPPING) == sorted(SETUPTOOLS["packages"])
    assert all(name == "firstsight" or name.startswith("firstsight.") for name in MAPPING)


@pytest.mark.parametrize(
    "package", sorted(name for name, folder in MAPPING.items() if "/" not in folder and "." in name)
)
def test_every_folder_has_a_link_in_the_package(package: str) -> None:
    link = ROOT / package.replace(".", "/")
    assert link.is_symlink()
    assert link.resolve() == (ROOT / MAPPING[package]).resolve()


@pytest.mark.slow
def test_the_wheel_holds_only_the_package_and_all_its_data(tmp_path: Path) -> None:
    copy = tmp_path / "checkout"  # setuptools leaves a build folder, and its old files get into later wheels
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "*-db"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"firstsight"}
    folders = {name.rsplit("/", 1)[0] for name in names if name.endswith(".py")}
    assert folders == {package.replace(".", "/") for package in MAPPING}
    for data in (
        "py.typed",
        "encoders/starter/weights/starter-bridge.safetensors",
        "retrieval/pages/templates/contact_sheet.html",
        "retrieval/pages/templates/map_painter.js",
        "retrieval/pages/templates/plots.css",
        "understanding/colours/shades.csv",
        "understanding/colours/colour_words.csv",
    ):
        assert f"firstsight/{data}" in names
