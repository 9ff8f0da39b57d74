"""The built-in encoder with its real towers, without a network."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.encoders.registry import load_encoder
from firstsight.encoders.runtimes import openvino_runtime
from firstsight.encoders.starter import starter_encoder, starter_model
from firstsight.encoders.starter.starter_encoder import StarterEncoder, fit_square
from firstsight.encoders.starter.starter_model import StarterModel, save_starter
from firstsight.encoders.starter.towers import MiniLM
from firstsight.errors import EncoderError, MediaError

TITLES = ["red running shoes", "a cup of coffee", "", "Ünïcode 靴 👟", "wooden chair with four legs " * 80]

# First six entries of the shipped bridge's vectors.
KNOWN_TEXT = [-0.0655, -0.0517, -0.0381, 0.037, 0.0562, 0.0167]
KNOWN_PICTURE = [-0.024, 0.0178, -0.0361, -0.0162, 0.0445, -0.0407]


@pytest.fixture(scope="module")
def encoder() -> StarterEncoder:
    return StarterEncoder("openvino", threads=2)


def scenes() -> list[Image.Image]:
    """Make pictures of several kinds: flat, striped, round, noisy, and one pixel."""
    generator = np.random.default_rng(7)
    stripes = Image.fromarray(np.tile(np.arange(300, dtype=np.uint8)[None, :, None] % 64 * 3, (120, 1, 3)))
    ball = Image.new("RGB", (200, 400), "white")
    ImageDraw.Draw(ball).ellipse((30, 120, 170, 260), fill=(250, 130, 20), outline="black", width=4)
    noise = Image.fromarray(generator.integers(0, 256, (280, 280, 3), dtype=np.uint8))
    return [stripes, ball, noise, Image.new("RGB", (640, 480), (30, 90, 200)), Image.new("RGB", (1, 1), "green")]


def photos() -> list[Image.Image]:
    """Load CC0 pictures of scikit-image; skips the test if it is not installed."""
    data = pytest.importorskip("skimage.data")
    return [Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket")]


def cosines(first: Vectors, second: Vectors) -> Vectors:
    return np.asarray((first * second).sum(axis=1), dtype=np.float32)


def assert_unit_rows(vectors: Vectors, rows: int) -> None:
    assert vectors.shape == (rows, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_it_is_an_encoder(encoder: StarterEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert (encoder.spec.name, encoder.spec.dim, encoder.spec.image_size) == ("starter", 384, 260)


@pytest.mark.slow
def test_texts_and_pictures_become_unit_rows(encoder: StarterEncoder) -> None:
    assert_unit_rows(encoder.encode_texts(TITLES), len(TITLES))
    assert_unit_rows(encoder.encode_images(scenes()), 5)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_an_empty_batch_gives_no_rows(runtime: str) -> None:
    empty = StarterEncoder(runtime)
    assert empty.encode_texts([]).shape == (0, 384)
    assert empty.encode_images([]).shape == (0, 384)


@pytest.mark.slow
def test_texts_keep_their_order_and_do_not_depend_on_their_batch(encoder: StarterEncoder) -> None:
    generator = np.random.default_rng(3)
    texts = [" ".join(generator.choice(["blue", "cat", "on", "sofa"], size)) for size in generator.integers(1, 30, 150)]
    together = encoder.encode_texts(texts)
    for position in (0, 63, 64, 149):
        np.testing.assert_allclose(together[position], encoder.encode_texts([texts[position]])[0], atol=1e-4)


@pytest.mark.slow
def test_pictures_keep_their_order_and_do_not_depend_on_their_batch(encoder: StarterEncoder) -> None:
    pictures = [scenes()[i % 5] for i in range(starter_encoder.IMAGE_BATCH + 3)]
    together = encoder.encode_images(pictures)
    alone = np.concatenate([encoder.encode_images([picture]) for picture in scenes()])
    np.testing.assert_allclose(together, alone[np.arange(len(pictures)) % 5], atol=1e-5)


@pytest.mark.slow
def test_both_runtimes_give_the_same_vectors(encoder: StarterEncoder) -> None:
    other = StarterEncoder("torch", threads=2)
    pictures = [*scenes(), *photos()]
    assert other.spec == encoder.spec
    assert cosines(encoder.encode_images(pictures), other.encode_images(pictures)).min() > 0.9999
    assert cosines(encoder.encode_texts(TITLES), other.encode_texts(TITLES)).min() > 0.9999


def test_every_kind_of_input_gives_the_same_vector(encoder: StarterEncoder, tmp_path: Path) -> None:
    picture = scenes()[1]
    path = tmp_path / "ball.png"
    picture.save(path)
    inputs: Sequence[ImageInput] = [picture, np.asarray(picture), path.read_bytes(), path, str(path)]
    vectors = encoder.encode_images(inputs)
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], 5, axis=0), atol=1e-5)


def test_a_text_finds_its_picture(encoder: StarterEncoder) -> None:
    scores = encoder.encode_texts(["a cat", "espresso in a cup", "rocket launch"]) @ encoder.encode_images(photos()).T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]


def test_known_vectors_stay(encoder: StarterEncoder) -> None:
    """Recorded values: if they change, raise PREPROCESSING so that the fingerprint changes too."""
    text, picture = encoder.encode_texts(["red running shoes"])[0], encoder.encode_images(scenes()[1:2])[0]
    np.testing.assert_allclose(text[:6], KNOWN_TEXT, atol=2e-3)
    np.testing.assert_allclose(picture[:6], KNOWN_PICTURE, atol=2e-3)


def test_the_fingerprint_is_the_same_in_every_runtime_and_changes_with_the_bridge(tmp_path: Path) -> None:
    first = StarterEncoder("torch").spec.fingerprint
    assert first == StarterEncoder("openvino", threads=1).spec.fingerprint
    other = tmp_path / "bridge.safetensors"
    other.write_bytes(starter_model.BRIDGE_PATH.read_bytes() + b" ")
    assert StarterEncoder("torch", model=StarterModel(bridge=other)).spec.fingerprint != first


def test_a_saved_copy_gives_the_same_vectors(encoder: StarterEncoder, tmp_path: Path) -> None:
    save_starter(tmp_path, load_file(starter_model.BRIDGE_PATH))
    copy = load_encoder(f"starter:{tmp_path}", runtime="openvino", threads=2)
    assert copy.spec.name == f"starter:{tmp_path}"
    np.testing.assert_array_equal(copy.encode_texts(TITLES[:2]), encoder.encode_texts(TITLES[:2]))
    np.testing.assert_array_equal(copy.encode_images(scenes()[1:2]), encoder.encode_images(scenes()[1:2]))


def test_a_folder_may_hold_a_smaller_text_tower(encoder: StarterEncoder, tmp_path: Path) -> None:
    tower = MiniLM([(6, 512), (12, 1536)])
    save_starter(tmp_path, load_file(starter_model.BRIDGE_PATH), text_tower=tower.state_dict())
    smaller = load_encoder(f"starter:{tmp_path}", runtime="torch", threads=2)
    assert_unit_rows(smaller.encode_texts(TITLES), len(TITLES))
    assert smaller.spec.fingerprint != encoder.spec.fingerprint
    (tmp_path / starter_model.TEXT_TOWER_FILE).write_bytes(b"damaged")
    with pytest.raises(EncoderError, match=r"cannot be used .* write the model again with firstsight tune"):
        load_encoder(f"starter:{tmp_path}", runtime="torch").encode_texts(["shoe"])


def test_a_folder_may_ask_for_smaller_pictures(tmp_path: Path) -> None:
    save_starter(tmp_path, load_file(starter_model.BRIDGE_PATH), image_size=192)
    small = StarterEncoder("torch", threads=2, model=StarterModel.of_folder(str(tmp_path)))
    assert small.spec.image_size == 192
    assert small.pixels(scenes()[1:2]).shape == (1, 192, 192, 3)
    assert_unit_rows(small.encode_images(scenes()[1:2]), 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "format None is not known"),
        ('{"format": 2}', "format 2 is not known, only 1; update firstsight"),
        ('{"format": 1, "image_size": 100000}', "image_size 100000 must be a whole number from 64 to 512"),
        ('{"format": 1, "image_size": true}', "image_size True must be a whole number"),
        ('{"format": 1}', "lacks bridge.safetensors"),
    ],
)
def test_a_wrong_folder_is_refused(config: str, message: str, tmp_path: Path) -> None:
    (tmp_path / starter_model.CONFIG_FILE).write_text(config)
    with pytest.raises(EncoderError, match=message):
        load_encoder(f"starter:{tmp_path}")


@pytest.mark.slow
def test_a_picture_that_cannot_be_read_is_named_by_its_position(encoder: StarterEncoder) -> None:
    pictures: list[ImageInput] = [scenes()[0]] * 40
    pictures[37] = b"no picture at all"
    with pytest.raises(MediaError, match="picture 37") as caught:
        encoder.encode_images(pictures)
    assert caught.value.reason in ("corrupt", "unsupported")


def test_an_unknown_runtime_is_an_error() -> None:
    with pytest.raises(EncoderError, match=r"no runtime 'cuda'; choose auto, fast, torch"):
        StarterEncoder("cuda")
    with pytest.raises(
        EncoderError, match=r"starter does not run as openvino:bf16, only as openvino:fp32 or torch:fp32"
    ):
        StarterEncoder("openvino:bf16")


def test_no_threads_is_an_error() -> None:
    with pytest.raises(EncoderError, match="at least 1"):
        StarterEncoder(threads=0)


def test_a_picture_is_padded_with_white_not_cropped() -> None:
    square = fit_square(Image.new("RGB", (400, 100), "black"))
    assert square.shape == (260, 260, 3)
    assert (np.concatenate([square[:90], square[-90:]]) == 255).all()
    assert (square[110:150] == 0).all()


def test_transparent_is_white(encoder: StarterEncoder) -> None:
    clear, white = io.BytesIO(), Image.new("RGB", (50, 50), "white")
    Image.new("RGBA", (50, 50), (200, 0, 0, 0)).save(clear, "PNG")
    one, other = encoder.encode_images([clear.getvalue(), white])
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_encoders_share_a_compiled_graph_run_at_once_and_free_it_with_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = WeakValueDictionary[object, object]()
    monkeypatch.setattr(openvino_runtime, "_compiled_graphs", graphs)
    encoders = [StarterEncoder("openvino", threads=2) for _ in range(3)]
    expected = encoders[0].encode_texts(TITLES[:2])
    with ThreadPoolExecutor(3) as pool:
        for vectors in pool.map(lambda encoder: encoder.encode_texts(TITLES[:2]), encoders):
            np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert len(graphs) == 1
    encoders.clear()
    gc.collect()
    assert not graphs


COLD_SEARCH = """
import json, sys
from firstsight.encoders.starter.starter_encoder import StarterEncoder
vectors = StarterEncoder("openvino").encode_texts(["red running shoes"])
heavy = [name for name in ("torch", "transformers", "timm") if name in sys.modules]
print(json.dumps({"heavy": heavy, "first": float(vectors[0, 0])}))
"""


def run_cold(cache: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COLD_SEARCH],
        env=os.environ | {"FIRSTSIGHT_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
def test_a_text_query_imports_no_torch_once_the_graph_is_cached_and_a_damaged_graph_is_made_again(
    tmp_path: Path,
) -> None:
    first = run_cold(tmp_path)
    assert first["heavy"] == ["torch"]  # to export the graph
    assert run_cold(tmp_path) == {"heavy": [], "first": first["first"]}
    assert not list(tmp_path.rglob(".draft-*"))
    (graph,) = tmp_path.rglob("graph.xml")
    graph.write_text("cut short")
    assert run_cold(tmp_path) == first


@pytest.mark.slow
def test_encoding_works_without_a_writable_cache(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run_cold(blocked)["heavy"] == ["torch"]
