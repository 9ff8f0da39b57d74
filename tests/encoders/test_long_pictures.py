"""Long, thin pictures take little memory, and cropping before the resize keeps their vectors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import av
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode, functional

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.encoders.families.picture_transform import SquareTransform
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.pictures import crop_long, open_picture, shrink
from tests.encoders import checkpoints
from tests.encoders.checkpoints import Checkpoint

CAT, COFFEE = (getattr(skimage.data, name)() for name in ("chelsea", "coffee"))  # partial type hints
SIZES = [(1, 40_000), (40_000, 1), (2, 20_000), (3, 100_001), (100_001, 3), (1, 2), (1, 1)]
KINDS: dict[str, Callable[[Path], Checkpoint]] = {
    "transformers, the middle cropped": checkpoints.clip,
    "transformers, squashed": checkpoints.chinese_clip,
    "transformers, patches of any shape": checkpoints.siglip_2_naflex,
    "transformers, its own processor": checkpoints.align,
    "open_clip, the middle cropped": lambda folder: checkpoints.open_clip_file(folder, "tiny-clip"),
    "open_clip, padded": lambda folder: checkpoints.open_clip_folder(folder, "tiny-clip", {"resize_mode": "longest"}),
    "open_clip, not square": lambda folder: checkpoints.open_clip_folder(folder, "tiny-clip", {}),
}


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def transform(**changes: Any) -> SquareTransform:
    settings: dict[str, Any] = {"size": (224, 224), "resize": "shortest", "edge": 224, "crop_start": round}
    settings |= {"interpolation": InterpolationMode.BICUBIC, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return SquareTransform(**settings | changes)


def whole_resized(made: SquareTransform, picture: Image.Image) -> NDArray[np.uint8]:
    """Resize all pixels, then crop."""
    pixels = functional.pil_to_tensor(picture)
    pixels = functional.resize(pixels, [made.edge], interpolation=made.interpolation, antialias=True)
    top, left = (made.crop_start((full - kept) / 2) for full, kept in zip(pixels.shape[1:], made.size, strict=True))
    return np.asarray(pixels[:, top : top + made.size[0], left : left + made.size[1]].permute(1, 2, 0).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "starter"])
def test_every_kind_of_encoder_accepts_thin_pictures(kind: str, tmp_path: Path, starter: Encoder) -> None:
    encoder = starter if kind == "starter" else firstsight.load_encoder(KINDS[kind](tmp_path).name, runtime="torch")
    pictures = [noise(*size) for size in SIZES]
    vectors = encoder.encode_images(pictures)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_thin_picture_is_never_resized_as_a_whole() -> None:
    picture = noise(1, 40_000)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    (pixels,) = transform()([picture])
    assert pixels.shape == (1, 224, 224, 3)
    unit = 1 if sys.platform == "darwin" else 1024
    assert (getrusage(RUSAGE_SELF).ru_maxrss - before) * unit < 200_000_000  # the whole would be 6 GB


@pytest.mark.slow
@pytest.mark.parametrize("size", [(2, 20_000), (20_000, 2)])
def test_frames_of_a_thin_video_are_encoded(size: tuple[int, int], tmp_path: Path, starter: Encoder) -> None:
    with av.open(str(tmp_path / "thin.mov"), "w") as opened:
        stream = opened.add_stream("png", rate=2)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        for shade in (0, 200):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), shade, np.uint8), "rgb24")
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode())
    encoders = (starter, firstsight.load_encoder(checkpoints.clip(tmp_path).name, runtime="torch"))
    with VideoSampler() as sampler:
        for encoder in encoders:
            frames = sampler.sample(tmp_path / "thin.mov", count=2, min_side=encoder.spec.min_side)
            assert np.isfinite(encoder.encode_images([frame.picture for frame in frames])).all()


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (300, 300), (100, 1600), (1600, 100), (224, 224), (90, 200)])
def test_an_ordinary_picture_equals_the_full_resize_bit_by_bit(size: tuple[int, int]) -> None:
    picture = Image.fromarray(CAT).resize(size)
    for made in (transform(), transform(edge=256, crop_start=int), transform(interpolation=InterpolationMode.BILINEAR)):
        np.testing.assert_array_equal(made([picture])[0][0], whole_resized(made, picture))


@pytest.mark.parametrize("size", [(60, 1300), (1301, 60), (448, 9000), (31, 997), (997, 31), (50, 1001), (7, 333)])
def test_the_middle_of_a_long_picture_equals_the_middle_of_the_full_resize(size: tuple[int, int]) -> None:
    picture = Image.fromarray(COFFEE).resize(size)
    for made in (transform(), transform(edge=256, crop_start=int), transform(interpolation=InterpolationMode.BILINEAR)):
        difference = np.abs(made([picture])[0][0].astype(int) - whole_resized(made, picture))
        assert difference.max() <= 2
        assert difference.mean() <= 0.25


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60, 700), (700, 60), (50, 450), (33, 1000)])
def test_a_librarys_own_crop_of_a_long_picture_keeps_its_vector(size: tuple[int, int], tmp_path: Path) -> None:
    """The processor gets the middle in whole pixels, so its resize starts at a slightly different position."""
    import transformers

    checkpoint = checkpoints.clip(tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    picture = Image.fromarray(COFFEE).resize(size)

    def vector(image: Image.Image) -> NDArray[np.float32]:
        inputs = processor.image_processor(images=[image], return_tensors="pt")
        row = model.get_image_features(**inputs)
        row = getattr(row, "pooler_output", row)[0].detach().numpy()
        return np.asarray(row / np.linalg.norm(row), dtype=np.float32)

    assert vector(crop_long(picture, 8)) @ vector(picture) > 0.995
    (ours,) = firstsight.load_encoder(checkpoint.name, runtime="torch").encode_images([picture])
    assert ours @ vector(picture) > 0.9999


def test_the_crop_of_a_long_picture_keeps_its_middle_and_leaves_others_alone() -> None:
    picture = noise(5, 101)
    assert crop_long(picture, 21) is picture
    cropped = crop_long(picture, 4)
    assert cropped.size == (5, 19)
    np.testing.assert_array_equal(np.asarray(cropped), np.asarray(picture)[41:60])
    assert crop_long(noise(101, 5), 4).size == (19, 5)


def test_a_picture_too_thin_to_shrink_is_cropped_to_the_usual_number_of_pixels() -> None:
    for size in ((1, 3_000_000), (3_000_000, 1), (2, 2_000_000)):
        small = shrink(Image.new("RGB", size), 64)
        assert small.width * small.height <= 16 * 64**2
    assert shrink(Image.new("RGB", (640, 6400)), 64).size == (64, 640)  # unchanged: shrinking is enough
    assert open_picture(np.zeros((1, 300_000, 3), np.uint8), min_side=64).size[1] == 1
