"""A catalogue and a small teacher for distillations."""

from __future__ import annotations

import pytest

from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import BRIDGE_PATH, save_starter
from firstsight.tuning.distillation.text_student import with_layers
from firstsight.tuning.tuning_data import TuningData
from tests.tuning.distillation.drawn_things import drawn_catalogue


@pytest.fixture(scope="session")
def data() -> TuningData:
    return drawn_catalogue(132)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory, starter: StarterEncoder) -> str:
    """A starter with pictures of 96 pixels and two text layers."""
    folder = tmp_path_factory.mktemp("teacher")
    tower = with_layers(starter.load_text_tower(), (0, 5))
    save_starter(folder, Bridge.load(BRIDGE_PATH).weights, image_size=96, text_tower=tower.state_dict())
    return f"starter:{folder}"
