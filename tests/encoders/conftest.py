"""Fixtures for tests of encoders: tiny checkpoints, and open_clip's list of architectures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def known_architectures() -> Iterator[None]:
    """Restore open_clip's list of architectures afterwards: the checkpoints add to it."""
    import open_clip

    paths, configs = list(open_clip.factory._MODEL_CONFIG_PATHS), dict(open_clip.factory._MODEL_CONFIGS)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS[:] = paths
    open_clip.factory._MODEL_CONFIGS.clear()
    open_clip.factory._MODEL_CONFIGS.update(configs)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP folder of transformers."""
    from tests.encoders import checkpoints

    return checkpoints.clip(tmp_path_factory.mktemp("clip")).folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, known_architectures: None) -> Path:
    """A state dict of the open_clip architecture tiny-clip."""
    from tests.encoders import checkpoints

    folder = tmp_path_factory.mktemp("tiny")
    checkpoints.open_clip_file(folder, "tiny-clip")
    return folder / "tiny-clip.pt"


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    """A copy of `clip` that a test may damage."""
    return Path(shutil.copytree(clip, tmp_path / "copy"))
