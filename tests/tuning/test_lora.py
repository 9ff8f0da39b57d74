"""LoRA in starter's text tower: merged on saving, and exactly the old encoder at share 0."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.tuning.starter.bridge_trainer import BridgeTrainer, TunedBridge
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import ClickedQuery, TuningData, TuningItem
from tests.tuning.conftest import QUICK, Tuned
from tests.tuning.shop import COLOURS, SHAPES, picture

TEXTS = ["red blorp", "a green zindle on the table", "trimp", "quave"]
FEW = TuneSettings(method="lora", steps=3, batch_size=8, learning_rate=3e-3, lora_rank=2)


@pytest.fixture(scope="module")
def data() -> TuningData:
    pictures = [picture(shape, colour, 3) for shape in SHAPES for colour in COLOURS]
    names = [(colour, shape) for shape in SHAPES for colour in COLOURS]
    items = tuple(
        TuningItem(str(row), str(row), {"title": f"{colour} {shape}", "category": shape}, (row,))
        for row, (colour, shape) in enumerate(names)
    )
    return TuningData(items, pictures, tuple(range(len(items))), (ClickedQuery("roundish", (0, 1, 2)),))


@pytest.fixture(scope="module")
def trained(data: TuningData, tuning_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TunedBridge:
    trainer = BridgeTrainer("starter", EncoderOptions(), data, [], FEW, tmp_path_factory.mktemp("work"))
    return trainer.fit(range(len(data.items)), (), label="final", on_progress=lambda line: None)


def test_the_saved_encoder_gives_the_vectors_that_were_measured(
    trained: TunedBridge, data: TuningData, starter: Encoder, tmp_path: Path
) -> None:
    encoder = firstsight.load_encoder(trained.save(tmp_path / "half", 0.5))
    measured = trained.encode_texts(TEXTS, 0.5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), measured, atol=2e-3)
    np.testing.assert_allclose(
        encoder.encode_images(data.pictures[:3]), trained.encode_pictures([0, 1, 2], 0.5), atol=2e-3
    )
    assert (measured * starter.encode_texts(TEXTS)).sum(axis=1).max() < 0.9999  # every text changed
    assert encoder.spec.fingerprint != starter.spec.fingerprint


def test_share_0_is_the_encoder_before_the_tuning(trained: TunedBridge, starter: Encoder, tmp_path: Path) -> None:
    encoder = firstsight.load_encoder(trained.save(tmp_path / "none", 0.0))
    assert encoder.spec.fingerprint == starter.spec.fingerprint
    assert np.array_equal(encoder.encode_texts(TEXTS), trained.encode_texts(TEXTS, 0.0))


def test_the_share_scales_the_change_of_the_weights(trained: TunedBridge) -> None:
    texts = trained._texts
    assert texts is not None
    none, half, whole = (texts.tower(share).state_dict() for share in (0.0, 0.5, 1.0))
    changed = {name for name in none if not np.array_equal(none[name], whole[name])}
    assert changed == {f"layers.{layer}.{part}.weight" for layer in range(6) for part in ("query", "value")}
    for name in changed:
        np.testing.assert_allclose(half[name], (none[name] + whole[name]) / 2, atol=1e-6)


def test_a_shop_is_tuned_with_lora_and_found(tuned: Tuned, tmp_path: Path) -> None:
    settings = QUICK | {"method": "lora", "steps": 3, "batch_size": 16, "learning_rate": 1e-3}
    general = [
        {"item_id": f"{colour}-{shape}", "title": f"{colour} {shape}", "image": picture(shape, colour, 7)}
        for shape in SHAPES
        for colour in COLOURS
    ]
    report = firstsight.tune(tuned.catalogue, tmp_path / "encoder", general=general, **settings)
    assert report.refused == ""
    assert (tmp_path / "encoder" / "text_tower.safetensors").is_file()
    curve = {point.share: point.figures["title -> picture P@10"] for point in report.curve}
    assert curve[0.0] == report.figures[0].before < curve[0.5]


def test_several_languages_are_refused(data: TuningData, tuning_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(firstsight.EncoderError, match="starter:multilingual cannot be tuned with lora"):
        BridgeTrainer("starter:multilingual", EncoderOptions(), data, [], FEW, tmp_path)


def test_the_missing_extra_is_named_before_the_work(
    data: TuningData, tuning_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.delitem(sys.modules, "firstsight.tuning.starter.text_adapters", raising=False)
    with pytest.raises(firstsight.OptionalDependencyError, match=r"pip install 'firstsight\[tune\]', or choose"):
        BridgeTrainer("starter", EncoderOptions(), data, [], FEW, tmp_path)
