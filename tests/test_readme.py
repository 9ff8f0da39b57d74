"""Every command and every Python line of the README runs as written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A working directory that looks like the checkout, for what the commands write."""
    (tmp_path / "sample_media").symlink_to(ROOT / "sample_media")
    return tmp_path


def test_the_command_line_examples_run(checkout: Path) -> None:
    (script,) = blocks("bash")
    installed = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euxc", script],
        cwd=checkout,
        env={"PATH": f"{installed}:/usr/bin:/bin", "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (checkout / "page.html").stat().st_size > 10_000
    assert "75 unchanged" in done.stderr


def test_the_python_example_runs(checkout: Path) -> None:
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("75 items encoded, 1 media failed\n")
    assert "Red running shoes" in done.stdout


def test_the_make_targets_it_names_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w/.-]+)\)", README))))
def test_its_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
