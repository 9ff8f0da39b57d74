"""An installed package with detectors, for tests: a module and its metadata in a folder on the import path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MODULE = """
import os
from firstsight.media.picture_facts import picture_fact

@picture_fact(version="{version}", min_side=64, parts=("image", "frame"))
def red(picture, source):
    share = picture.resize((1, 1)).getpixel((0, 0))[0] / 255
    return [{{"label": "RED", "score": share, "box": [0, 0, source.width, source.height]}}]

@picture_fact(parts=("image", "frame"))
def broken(picture, source):
    raise ValueError("no\\nidea")

def infinite(picture, source):
    return float("inf")

@picture_fact(parts=("image", "frame"))
def ends(picture, source):
    os._exit(3)
"""


@contextmanager
def installed(folder: Path, *, version: str = "1") -> Iterator[None]:
    """Install the detectors red, broken, infinite and ends in a folder, for this process and its children."""
    (folder / "toy_detectors.py").write_text(MODULE.format(version=version), encoding="utf-8")
    metadata = folder / "toy_detectors-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-detectors\nVersion: 1.0\n", encoding="utf-8")
    names = "".join(f"{name} = toy_detectors:{name}\n" for name in ("red", "broken", "infinite", "ends"))
    (metadata / "entry_points.txt").write_text(f"[firstsight.picture_facts]\n{names}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(__import__("sys").modules, "toy_detectors", raising=False)
        yield
        patch.delitem(__import__("sys").modules, "toy_detectors", raising=False)
