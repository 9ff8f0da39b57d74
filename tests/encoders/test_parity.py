"""Every family and runtime gives the vectors of the library's own code."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
import transformers
from PIL import Image, ImageDraw

import firstsight
from firstsight.encoders.base import Vectors
from firstsight.encoders.runtimes.dual_encoder import DualEncoder
from tests.encoders import checkpoints
from tests.encoders.checkpoint_tokenizers import WORDS
from tests.encoders.checkpoints import Checkpoint, OpenClipCheckpoint

pytestmark = pytest.mark.slow

Own: TypeAlias = tuple[Callable[[Sequence[Image.Image]], Vectors], Callable[[Sequence[str]], Vectors]]
"""The library's own functions from pictures, and from texts, to unit vectors."""

OFF_CENTRE = {"interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.25] * 3}
FAMILIES: dict[str, Callable[[Path], Checkpoint]] = {
    "open_clip .pt": lambda folder: checkpoints.open_clip_file(folder, "tiny-clip", ".pt"),
    "open_clip .bin": lambda folder: checkpoints.open_clip_file(folder, "tiny-quickgelu", ".bin"),
    "open_clip .safetensors": lambda folder: checkpoints.open_clip_file(folder, "tiny-custom-text", ".safetensors"),
    "open_clip CoCa": lambda folder: checkpoints.open_clip_file(folder, "tiny-coca"),
    "open_clip ResNet": lambda folder: checkpoints.open_clip_file(folder, "tiny-resnet"),
    "open_clip timm": lambda folder: checkpoints.open_clip_file(folder, "tiny-timm"),
    "open_clip folder": lambda folder: checkpoints.open_clip_folder(folder, "tiny-clip", {}),
    "open_clip squash": lambda folder: checkpoints.open_clip_folder(
        folder, "tiny-clip", OFF_CENTRE | {"resize_mode": "squash"}
    ),
    "open_clip longest": lambda folder: checkpoints.open_clip_folder(
        folder, "tiny-clip", {"resize_mode": "longest", "fill_color": 127}
    ),
    "open_clip SigLIP": checkpoints.open_clip_siglip_folder,
    "open_clip RoBERTa": checkpoints.open_clip_roberta_folder,
    "CLIP": checkpoints.clip,
    "CLIP of 2021": checkpoints.clip_2021,
    "MetaCLIP 2": checkpoints.metaclip_2,
    "SigLIP": checkpoints.siglip,
    "SigLIP 2": checkpoints.siglip_2,
    "SigLIP 2 masked": checkpoints.siglip_2_masked,
    "SigLIP 2 NaFlex": checkpoints.siglip_2_naflex,
    "Chinese-CLIP": checkpoints.chinese_clip,
    "ALIGN": checkpoints.align,
    "AltCLIP": checkpoints.altclip,
}
RUNTIMES = {name: ["torch", "openvino"] for name in FAMILIES}
for _name in ("SigLIP 2 NaFlex", "ALIGN"):
    RUNTIMES[_name] = ["torch"]  # their picture towers cannot be exported: see test_runtimes.py
for _name in ("open_clip .pt", "SigLIP", "Chinese-CLIP"):
    RUNTIMES[_name].append("auto")

MIN_PICTURE_COSINE = {"torch": 0.9999, "openvino": 0.9995, "auto": 0.999}  # pixels are rounded to bytes
MIN_TEXT_COSINE = {"torch": 1 - 1e-6, "openvino": 0.99999, "auto": 0.999}

LONG = " ".join(["A small red leather shoe with black laces, on the wooden table in summer."] * 60)
TEXTS = ["", "shoe", LONG, "Café №5: 红色鞋子 ☕ naïve", "  A RED   (leather) shoe!? "]


@pytest.fixture(scope="module", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory, known_architectures: None) -> Iterator[None]:
    """Work offline, with a separate cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setenv("FIRSTSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(
    scope="module", params=[(name, runtime) for name in FAMILIES for runtime in RUNTIMES[name]], ids=" in ".join
)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    family, runtime = request.param
    return family, runtime


@pytest.fixture(scope="module")
def family(case: tuple[str, str]) -> str:
    return case[0]


@pytest.fixture(scope="module")
def runtime(case: tuple[str, str]) -> str:
    return case[1]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Checkpoint, Own]]:
    """The checkpoint of a family, and the library's own way with it; one for all runtimes, which come in a row."""

    @lru_cache(maxsize=1)
    def made(family: str) -> tuple[Checkpoint, Own]:
        checkpoint = FAMILIES[family](tmp_path_factory.mktemp("checkpoint"))
        if isinstance(checkpoint, OpenClipCheckpoint):
            return checkpoint, _open_clips_own(checkpoint)
        return checkpoint, _transformers_own(checkpoint)

    return made


@pytest.fixture(scope="module")
def checkpoint(family: str, make: Callable[[str], tuple[Checkpoint, Own]]) -> Checkpoint:
    return make(family)[0]


@pytest.fixture(scope="module")
def own(family: str, make: Callable[[str], tuple[Checkpoint, Own]]) -> Own:
    return make(family)[1]


@pytest.fixture(scope="module")
def encoder(checkpoint: Checkpoint, runtime: str) -> DualEncoder:
    loaded = firstsight.load_encoder(checkpoint.name, runtime=runtime)
    assert isinstance(loaded, DualEncoder)
    assert runtime == "auto" or loaded.runtime == f"{runtime}:fp32"
    return loaded


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    cat, coffee, rocket = (Image.fromarray(getattr(skimage.data, name)()) for name in ("chelsea", "coffee", "rocket"))
    shapes = Image.new("RGB", (300, 300), "white")
    draw = ImageDraw.Draw(shapes)
    draw.ellipse((30, 60, 200, 220), fill="crimson", outline="navy", width=8)
    draw.polygon([(150, 20), (290, 120), (180, 290)], fill="seagreen")
    ramp = np.stack(np.meshgrid(np.linspace(0, 255, 64), np.linspace(255, 0, 48)), axis=-1)
    return [
        cat,
        coffee,
        rocket,
        shapes,
        cat.crop((180, 0, 240, 300)),  # tall
        coffee.crop((0, 180, 600, 230)),  # wide
        shapes.resize((7, 5), Image.Resampling.BOX),  # tiny
        rocket.crop((0, 200, 300, 400)).resize((2400, 1600), Image.Resampling.BICUBIC),  # much larger than needed
        Image.fromarray(np.dstack([ramp, ramp[..., :1]]).astype(np.uint8)),  # needs no resize in some families
        Image.new("RGB", (1, 1), "orange"),
    ]


@pytest.fixture(scope="module")
def large_file(pictures: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    pictures[2].resize((2000, 1333), Image.Resampling.BICUBIC).save(path, quality=92)
    return path


@pytest.fixture(scope="module")
def mixed_texts() -> list[str]:
    """Thirty texts of 0 to 29 words, in random order."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=length)) for length in range(30)]
    draw.shuffle(texts)
    return texts


def test_pictures_have_the_librarys_vectors(
    encoder: DualEncoder, own: Own, runtime: str, pictures: list[Image.Image]
) -> None:
    expected = own[0](pictures)
    assert _apart(expected) > 0.01  # else mistakes would stay hidden
    assert _cosines(encoder.encode_images(pictures), expected).min() >= MIN_PICTURE_COSINE[runtime]


def test_texts_have_the_librarys_vectors(encoder: DualEncoder, own: Own, runtime: str) -> None:
    expected, vectors = own[1](TEXTS), encoder.encode_texts(TEXTS)
    assert _apart(expected) > 0.01
    assert _cosines(vectors, expected).min() >= MIN_TEXT_COSINE[runtime]
    if runtime == "torch":
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_thirty_texts_keep_their_order_and_do_not_depend_on_each_other(
    encoder: DualEncoder, own: Own, runtime: str, mixed_texts: list[str]
) -> None:
    together = encoder.encode_texts(mixed_texts)
    alone = np.concatenate([encoder.encode_texts([text]) for text in mixed_texts[:6]])
    assert _cosines(together, own[1](mixed_texts)).min() >= MIN_TEXT_COSINE[runtime]
    assert _cosines(together[:6], alone).min() >= MIN_TEXT_COSINE[runtime]


def test_a_large_file_decoded_at_a_reduced_scale_keeps_its_vector(
    family: str, encoder: DualEncoder, own: Own, large_file: Path
) -> None:
    if family == "open_clip ResNet":
        pytest.skip(
            "random convolutions amplify scaling differences; benchmarks/encoders.py measures a trained network"
        )
    with Image.open(large_file) as decoded:
        expected = own[0]([decoded.convert("RGB")])
    assert _cosines(encoder.encode_images([large_file]), expected).min() >= 0.995


def test_a_picture_does_not_depend_on_its_batch(
    encoder: DualEncoder, runtime: str, pictures: list[Image.Image]
) -> None:
    together = encoder.encode_images(pictures)
    alone = np.concatenate([encoder.encode_images([picture]) for picture in pictures])
    assert _cosines(together, alone).min() >= MIN_TEXT_COSINE[runtime]


def _open_clips_own(checkpoint: OpenClipCheckpoint) -> Own:
    model, _, preprocess = open_clip.create_model_and_transforms(checkpoint.model, pretrained=checkpoint.weights)
    tokenizer = open_clip.get_tokenizer(checkpoint.model)
    model.eval()

    def images(pictures: Sequence[Image.Image]) -> Vectors:
        with torch.inference_mode():
            return _rows(model.encode_image(torch.stack([preprocess(picture) for picture in pictures]), normalize=True))

    def texts(words: Sequence[str]) -> Vectors:
        with torch.inference_mode():
            return _rows(model.encode_text(tokenizer(list(words)), normalize=True))

    return images, texts


def _transformers_own(checkpoint: checkpoints.TransformersCheckpoint) -> Own:
    model = transformers.AutoModel.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(checkpoint.folder)
    padding = {} if checkpoint.padding is None else {"padding": checkpoint.padding}

    def images(pictures: Sequence[Image.Image]) -> Vectors:
        with torch.inference_mode():
            features = model.get_image_features(**processor(images=list(pictures), return_tensors="pt"))
        return _rows(getattr(features, "pooler_output", features))

    def texts(words: Sequence[str]) -> Vectors:
        inputs = processor(text=list(words), truncation=True, return_tensors="pt", **padding)
        with torch.inference_mode():
            features = model.get_text_features(**inputs)
        return _rows(getattr(features, "pooler_output", features))

    return images, texts


def _rows(features: torch.Tensor) -> Vectors:
    rows: Vectors = torch.nn.functional.normalize(features.float(), dim=-1).numpy()
    return rows


def _cosines(a: Vectors, b: Vectors) -> Vectors:
    assert a.shape == b.shape
    products: Vectors = (a.astype(np.float64) * b).sum(axis=1)
    return products


def _apart(rows: Vectors) -> float:
    """Compute 1 minus the median cosine of two different rows."""
    return float(1 - np.median((rows @ rows.T)[~np.eye(len(rows), dtype=bool)]))
