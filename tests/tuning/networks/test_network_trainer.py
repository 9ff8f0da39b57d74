"""Tuning of tiny checkpoints in the real formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_encoder
from firstsight.errors import EncoderError, MediaError
from firstsight.tuning.networks.network_trainer import NetworkTrainer
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData
from tests.encoders import checkpoints
from tests.encoders.conftest import known_architectures
from tests.tuning.networks import training
from tests.tuning.networks.drawn_shapes import drawn_catalogue, first_hits

__all__ = ["known_architectures"]

CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    "clip": checkpoints.clip,
    "siglip_2": checkpoints.siglip_2,
    "align": checkpoints.align,  # a tower of convolutions
    "open_clip_folder": lambda folder: checkpoints.open_clip_folder(folder, "tiny-clip", {"interpolation": "bilinear"}),
    "open_clip_file": lambda folder: checkpoints.open_clip_file(folder, "tiny-custom-text"),
    "open_clip_siglip": checkpoints.open_clip_siglip_folder,
    "open_clip_roberta": checkpoints.open_clip_roberta_folder,
}


@pytest.mark.parametrize(
    ("kind", "method"),
    [(kind, "lora") for kind in CHECKPOINTS] + [("clip", "lit"), ("clip", "full"), ("open_clip_file", "full")],
)
@pytest.mark.usefixtures("known_architectures")
def test_a_saved_model_is_ordinary_and_gives_the_same_vectors(kind: str, method: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    name = CHECKPOINTS[kind](tmp_path / "base").name
    rate = {"lora": 1e-2, "lit": 1e-3, "full": 1e-3}[method]
    tuned = training.trainer(name, tmp_path / "work", method=method, steps=2, learning_rate=rate, micro_batch=5).fit(
        range(20), [], label="final", on_progress=lambda line: None
    )
    base = load_encoder(name, runtime="torch:fp32", device="cpu", threads=1)
    loaded = load_encoder(tuned.save(tmp_path / "tuned", 0.5), runtime="torch:fp32", device="cpu", threads=1)
    pictures = list(training.DATA.pictures[:5])
    for share, encoder in ((0.0, base), (0.5, loaded)):
        np.testing.assert_allclose(tuned.encode_pictures(range(5), share), encoder.encode_images(pictures), atol=1e-5)
        np.testing.assert_allclose(
            tuned.encode_texts(training.TEXTS, share), encoder.encode_texts(training.TEXTS), atol=1e-5
        )
    assert loaded.spec.fingerprint != base.spec.fingerprint
    assert (loaded.spec.dim, loaded.spec.image_size) == (base.spec.dim, base.spec.image_size)
    changed = np.abs(loaded.encode_images(pictures) - base.encode_images(pictures)).max()
    assert changed < 1e-5 if method == "lit" else changed > 1e-4
    assert np.abs(loaded.encode_texts(training.TEXTS) - base.encode_texts(training.TEXTS)).max() > 1e-4
    np.testing.assert_allclose(tuned.encode_general_pictures(0.0), base.encode_images(pictures[:3]), atol=1e-5)


def test_tuning_finds_more_on_items_that_it_never_saw(tiny_clip: str, tmp_path: Path) -> None:
    data = drawn_catalogue(160)
    settings = TuneSettings(steps=60, batch_size=32, learning_rate=1e-2)
    trainer = NetworkTrainer(tiny_clip, EncoderOptions(device="cpu", threads=1), data, [], settings, tmp_path)
    tuned = trainer.fit(range(120), [], label="final", on_progress=lambda line: None)
    held_out = range(120, 160)
    shown = [data.items[row].phrases["title"] for row in held_out]
    titles = sorted(set(shown))

    def recall(share: float) -> float:
        return first_hits(tuned.encode_pictures(held_out, share), tuned.encode_texts(titles, share), titles, shown)

    assert recall(0.0) < 0.2
    assert recall(1.0) > 0.5


def test_seeds_are_averaged(tiny_clip: str, tmp_path: Path) -> None:
    def text_vectors(folder: str, seeds: int, seed: int) -> np.ndarray:
        tuned = training.trainer(tiny_clip, tmp_path / folder, steps=2, seeds=seeds, seed=seed, method="full").fit(
            training.ITEMS, [], label="final", on_progress=lambda line: None
        )
        state = tuned._change
        return np.concatenate([state._tuned[name].numpy().ravel() for name in sorted(state.names())])  # type: ignore[attr-defined]

    first, second = text_vectors("0", 1, 0), text_vectors("1", 1, 1)
    np.testing.assert_allclose(text_vectors("both", 2, 0), (first + second) / 2, atol=1e-6)
    assert np.abs(first - second).max() > 1e-4


def test_the_results_of_two_trainings_can_be_used_in_turn(tiny_clip: str, tmp_path: Path) -> None:
    trainer = training.trainer(tiny_clip, tmp_path, method="full", steps=2)
    first = trainer.fit(range(15), [], label="fold 1", on_progress=lambda line: None)
    before = training.vectors(first)
    second = trainer.fit(range(15, 30), [], label="fold 2", on_progress=lambda line: None)
    assert np.abs(training.vectors(second) - before).max() > 1e-4
    np.testing.assert_array_equal(training.vectors(first), before)


def test_training_stops_after_checks_without_a_gain(tiny_clip: str, tmp_path: Path) -> None:
    lines: list[str] = []
    tuned = training.train(tiny_clip, tmp_path, lines.append, method="full", learning_rate=1e-12, patience=2, steps=40)
    assert "update 8 of 40" in lines[-1]
    np.testing.assert_array_equal(training.vectors(tuned, 1.0), training.vectors(tuned, 0.0))


def test_the_weights_of_the_best_check_are_kept(uninterrupted: tuple[Path, np.ndarray]) -> None:
    folder, vectors = uninterrupted
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    scores = [line["held_out"] for line in lines]
    tuned = vectors[training.HELD_OUT.start : training.HELD_OUT.stop]
    assert max(scores) > scores[-1]  # the last weights are not the best here
    assert max(scores) == pytest.approx(training.reciprocal_rank(tuned, vectors[40:]), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "bridge"}, "method 'bridge' trains starter's bridge"),
        ({"image_size": 192}, "image_size 192 is for starter"),
        ({"batch_size": 3, "hard_negatives": 4}, "batch_size 3 is too small for 4 hard negatives"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    changes: dict[str, Any], sentence: str, tiny_clip: str, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match=sentence):
        training.trainer(tiny_clip, tmp_path, **changes)


def test_nothing_to_learn_from_is_refused(tiny_clip: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="fold 3 has 1 pictures and 2 different phrases; tuning needs two of each"):
        training.trainer(tiny_clip, tmp_path).fit([0], [], label="fold 3", on_progress=lambda line: None)


def test_a_diverging_training_names_its_learning_rate(tiny_clip: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no number any more at update \d+ of final; give a lower --learning-rate"):
        training.trainer(tiny_clip, tmp_path, method="full", learning_rate=1e12, hard_negatives=0).fit(
            training.ITEMS, [], label="final", on_progress=lambda line: None
        )


def test_an_unreadable_picture_is_named(tiny_clip: str, tmp_path: Path) -> None:
    pictures = list(training.DATA.pictures)
    pictures[4] = b"no picture"
    data = TuningData(training.DATA.items, pictures, training.DATA.picture_items)
    options = EncoderOptions(device="cpu", threads=1)
    trainer = NetworkTrainer(tiny_clip, options, data, [], training.settings(), tmp_path)
    with pytest.raises(MediaError, match=r"picture 4: .*take it out of the catalogue"):
        trainer.fit(training.ITEMS, [], label="final", on_progress=lambda line: None)
