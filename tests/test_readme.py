"""All commands and Python lines of the README run as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest

from firstsight.config import cache_dir
from firstsight.encoders.registry import FAMILIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A working directory with the sample media, for the files that the commands write."""
    (tmp_path / "sample_media").symlink_to(ROOT / "sample_media")
    return tmp_path


ONE_AFTER_ANOTHER = """
import shlex, sys
import firstsight
from PIL import Image
from firstsight.cli.main import main
kept = firstsight.load_encoder()
kept.encode_texts(["keeps the compiled graph of texts"])
kept.encode_images([Image.new("RGB", (8, 8))])
for line in sys.stdin:
    name, *arguments = shlex.split(line, comments=True)
    assert name == "firstsight", line
    sys.argv = [name, *arguments]
    try:
        main()
    except SystemExit as exit_:
        assert not exit_.code, line
"""
"""Calls each command in one process, which loads the model once; `make demo` calls the installed command."""


@pytest.mark.slow
def test_the_command_line_examples_run(checkout: Path) -> None:
    script = blocks("bash")[0]  # tests/service/test_readme.py runs the others
    waiting = {name: os.environ[name] for name in ("OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT")}
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER],
        input=script,
        cwd=checkout,
        env=waiting | {"PATH": "/usr/bin:/bin", "HOME": str(checkout), "FIRSTSIGHT_CACHE": str(cache_dir())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (checkout / "page.html").stat().st_size > 10_000
    assert "75 unchanged" in done.stderr


@pytest.mark.slow
def test_the_python_example_runs(checkout: Path) -> None:
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("75 items encoded, 1 media failed\n")
    assert "Red running shoes" in done.stdout


@pytest.mark.slow
def test_make_demo_prints_its_results_and_the_paths_of_its_pages(checkout: Path) -> None:
    # -o: the present environment is installed already
    made = ["make", "-f", str(ROOT / "Makefile"), "demo", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.installed"]
    done = subprocess.run(made, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for item in ("sneakers-red", "guitar-acoustic", "green-mug"):
        assert item in done.stdout
    pages = re.findall(r"file://(\S+\.html)", done.stdout)
    assert len(pages) == 3
    assert all("data:image/jpeg" in Path(page).read_text() for page in pages)


def test_every_block_has_a_known_language() -> None:
    assert set(re.findall(r"^```(\w*)$", README, re.MULTILINE)) == {"", "console", "bash", "python", "text"}
    assert README.count("```") == 2 * len(re.findall(r"^```\w+$", README, re.MULTILINE))


def test_its_console_lines_use_existing_targets_encoders_and_versions() -> None:
    """Commands that install or download cannot run in a test; their targets, encoders and versions exist."""
    makefile = (ROOT / "Makefile").read_text()
    for line in "".join(blocks("console")).splitlines():
        if target := re.match(r"make (\w+)", line):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE)
        elif encoder := re.match(r"firstsight index \S+ --db \S+ --encoder (\w+):(\S+)$", line):
            assert encoder[1] in FAMILIES
            arch, _, tag = encoder[2].partition("/")
            if encoder[1] == "open_clip" and "@" not in encoder[2]:
                assert tag in open_clip.list_pretrained_tags_by_model(arch)
        else:
            constraints = (ROOT / "constraints.txt").read_text().splitlines()
            pinned = [
                next(pin for pin in constraints if pin.startswith(f"{name}==")) for name in ("torch", "torchvision")
            ]
            assert line.startswith(f"python3 -m venv .venv && .venv/bin/pip install {' '.join(pinned)} --index-url ")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w/.-]+)\)", README))))
def test_its_links_exist(path: str) -> None:
    assert (ROOT / path).exists()
