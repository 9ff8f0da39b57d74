"""Fixtures for tests of tuned networks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a tiny CLIP of transformers."""
    from tests.encoders import checkpoints

    return checkpoints.clip(tmp_path_factory.mktemp("tiny-clip")).name


@pytest.fixture(scope="session")
def uninterrupted(tiny_clip: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """The work folder and the vectors of one training that nothing interrupted."""
    from tests.tuning.networks import training

    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, training.vectors(training.train(tiny_clip, folder))
