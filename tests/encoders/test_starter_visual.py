"""`starter:visual`: pictures are compared by a visual part, and texts find the same pictures as with `starter`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.starter_parts import starter_parts
from firstsight.encoders.models.model_list import list_models
from firstsight.encoders.registry import load_encoder
from firstsight.encoders.starter import starter_model
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import VISUAL_PATH, StarterModel, save_starter
from firstsight.encoders.starter.visual import VisualPart
from firstsight.encoders.training.visual import expected_activation, visual_weights
from firstsight.errors import EncoderError

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
PAIRS = [  # pictures of one product
    ("sneakers-green.jpg", "sneakers-red.jpg"),
    ("tee-black.jpg", "tee-red.jpg"),
    ("joystick-beige.jpg", "joystick-black.jpg"),
    ("fedora-brown.jpg", "fedora-red.png"),
]
TEXTS = ["red running shoes", "a black t-shirt", "joystick", "a felt hat", ""]


@pytest.fixture(scope="module")
def encoder() -> StarterEncoder:
    return StarterEncoder("openvino", threads=2, model=StarterModel.of_name("visual"))


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return [PICTURES / name for pair in PAIRS for name in pair]


def test_texts_find_the_pictures_of_starter_in_its_order(
    encoder: StarterEncoder, starter: Encoder, files: list[Path]
) -> None:
    share = VisualPart.load(VISUAL_PATH).share
    before = starter.encode_texts(TEXTS) @ starter.encode_images(files).T
    after = encoder.encode_texts(TEXTS) @ encoder.encode_images(files).T
    np.testing.assert_allclose(after, np.sqrt(1 - share) * before, atol=1e-5)


def test_texts_are_compared_with_texts_as_by_starter(encoder: StarterEncoder, starter: Encoder) -> None:
    vectors = encoder.encode_texts(TEXTS)
    np.testing.assert_array_equal(vectors[:, :384], starter.encode_texts(TEXTS))
    assert not vectors[:, 384:].any()


def test_pictures_are_compared_by_both_parts(encoder: StarterEncoder, starter: Encoder, files: list[Path]) -> None:
    part = VisualPart.load(VISUAL_PATH)
    joint, semantic = encoder.encode_images(files), starter.encode_images(files)
    assert joint.shape == (len(files), encoder.spec.dim) == (8, 768)
    np.testing.assert_allclose(np.linalg.norm(joint, axis=1), 1, atol=1e-5)
    visual = part.visual(encoder.picture_outputs(encoder.pixels(files))[0])
    expected = (1 - part.share) * semantic @ semantic.T + part.share * visual @ visual.T
    np.testing.assert_allclose(joint @ joint.T, expected, atol=1e-5)
    scores = joint @ joint.T - 2 * np.eye(len(files))
    assert (scores.argmax(axis=1) == np.arange(len(files)) ^ 1).all()


def test_empty_batches_and_flat_pictures(encoder: StarterEncoder) -> None:
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 768)
    flat = encoder.encode_images([Image.new("RGB", (40, 40), colour) for colour in ("white", "black")])
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), 1, atol=1e-5)


def test_names_are_of_one_order_and_have_their_own_fingerprints() -> None:
    names = ["", "visual", "multilingual", "multilingual+visual"]
    prints = [StarterModel.of_name(name).fingerprint() for name in names]
    assert len(set(prints)) == len(names)
    both = StarterModel.of_name("visual+multilingual")
    assert (both.name, both.fingerprint()) == ("starter:multilingual+visual", prints[-1])
    assert [StarterModel.of_name(name).dim for name in names] == [384, 768, 384, 768]
    assert next(model for model in list_models("visual") if model.name == "starter:visual").dim == 768


@pytest.mark.slow
def test_both_parts_work_together(files: list[Path]) -> None:
    both = load_encoder("starter:visual+multilingual", threads=2)
    scores = both.encode_texts(["schwarzes T-Shirt", "操纵杆"]) @ both.encode_images(files).T
    assert [PAIRS[best // 2][0] for best in scores.argmax(axis=1)] == ["tee-black.jpg", "joystick-beige.jpg"]


def test_a_tuned_folder_keeps_its_visual_part(encoder: StarterEncoder, files: list[Path], tmp_path: Path) -> None:
    save_starter(tmp_path, load_file(starter_model.BRIDGE_PATH), base=encoder.model)
    copy = load_encoder(f"starter:{tmp_path}", runtime="openvino", threads=2)
    assert copy.spec.dim == 768
    np.testing.assert_array_equal(copy.encode_images(files[:1]), encoder.encode_images(files[:1]))
    save_starter(tmp_path, load_file(starter_model.BRIDGE_PATH))
    assert StarterModel.of_folder(str(tmp_path)).dim == 384


def test_exported_towers_give_its_vectors(files: list[Path]) -> None:
    parts = starter_parts("visual", EncoderOptions(threads=2))
    pictures = [Image.open(file).convert("RGB") for file in files[:2]]
    with torch.inference_mode():
        for tower, inputs, expected in (
            (parts.pictures, parts.prepare_pictures(pictures), parts.reference_pictures(pictures)),
            (parts.texts, parts.prepare_texts(TEXTS[:2]), parts.reference_texts(TEXTS[:2])),
        ):
            found = tower.module(*map(torch.from_numpy, inputs)).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(EncoderError, match="tower of several languages is a program in NumPy"):
        starter_parts("multilingual+visual", EncoderOptions())


@pytest.mark.slow
def test_its_database_finds_pictures_of_the_same_product_and_refuses_starter(tmp_path: Path, files: list[Path]) -> None:
    items = [{"item_id": file.stem, "images": str(file)} for file in files]
    db = firstsight.open(tmp_path / "db", encoder="starter:visual")
    db.index(items)
    found = {file.stem: db.similar(file.stem, k=1)[0].item_id for file in files}
    for first, second in PAIRS:
        assert found[Path(first).stem] == Path(second).stem
    with pytest.raises(firstsight.EncoderMismatchError):
        firstsight.open(tmp_path / "db", encoder="starter").search("shoe")


def test_the_shipped_weights_are_those_that_the_script_computes() -> None:
    shipped = load_file(VISUAL_PATH)
    for name, values in visual_weights().items():
        np.testing.assert_allclose(shipped[name].astype(np.float32), values, atol=2e-3)


def test_the_mean_of_a_clipped_normal_variable() -> None:
    means, deviations = np.array([-2.0, 0.0, 3.0, 8.0]), np.array([1.0, 0.5, 2.0, 1.0])
    drawn = np.random.default_rng(3).normal(means, deviations, (200_000, 4)).clip(0, 6).mean(axis=0)
    np.testing.assert_allclose(expected_activation(means, deviations), drawn, atol=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": np.zeros(3, np.float32)}, r"needs mean of shape \(1280,\), not \(3,\)"),
        ({"projection": np.zeros((1280, 64), np.float32)}, r"needs projection of shape \(1280, 384\)"),
        ({"share": np.array([2], np.float32)}, "share of the visual part must be 0 to 1, not 2"),
        ({"share": np.array([np.nan], np.float32)}, "share of the visual part must be 0 to 1, not nan"),
    ],
)
def test_wrong_weights_are_refused(changes: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    save_file(load_file(VISUAL_PATH) | changes, tmp_path / "visual.safetensors")
    with pytest.raises(EncoderError, match=message):
        VisualPart.load(tmp_path / "visual.safetensors")
