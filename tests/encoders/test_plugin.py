"""The example of docs/encoders.md, installed like another package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text(encoding="utf-8")


def block(language: str, holding: str) -> str:
    (found,) = (b for b in re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL) if holding in b)
    return str(found)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on the import path with the example and its installed metadata."""
    site = tmp_path / "site"
    (site / "colour_encoder-1.dist-info").mkdir(parents=True)
    (site / "colour_encoder.py").write_text(block("python", "class ColourEncoder"), encoding="utf-8")
    metadata = "Metadata-Version: 2.1\nName: colour-encoder\nVersion: 1\n"
    (site / "colour_encoder-1.dist-info" / "METADATA").write_text(metadata, encoding="utf-8")
    (line,) = re.findall(r'^(\w+) = "(.*)"$', block("toml", "entry-points"), re.MULTILINE)
    points = "[firstsight.encoders]\n{} = {}\n".format(*line) + "broken = nowhere:Nothing\nstarter = colour_encoder:X\n"
    (site / "colour_encoder-1.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")
    return site


def run(site: Path, code: str) -> str:
    env = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=site, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_indexes_and_searches(site: Path) -> None:
    rows = "item_id,title\na,a red shoe\nb,a blue teapot\n"
    (site / "catalogue.csv").write_text(rows, encoding="utf-8")
    output = run(
        site,
        "import firstsight\n"
        "db = firstsight.open('db', encoder='colour:mean')\n"
        "db.index('catalogue.csv')\n"
        "from PIL import Image\n"
        "Image.new('RGB', (40, 40), (250, 10, 10)).save('red.png')\n"
        "print([r.item_id for r in firstsight.open('db').search(image='red.png')])\n",
    )
    assert output == "['a', 'b']\n"


def test_a_package_cannot_replace_a_built_in_family_and_a_broken_one_gets_a_one_line_error(site: Path) -> None:
    output = run(
        site,
        "import firstsight\n"
        "print(firstsight.load_encoder('starter').spec.dim)\n"
        "try:\n"
        "    firstsight.load_encoder('broken:x')\n"
        "except firstsight.EncoderError as error:\n"
        "    print(error)\n",
    )
    assert output.splitlines() == [
        "384",
        "the family 'broken' of colour-encoder cannot be loaded: No module named 'nowhere'",
    ]
