"""An encoder failure on one query does not affect the other queries of the call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import firstsight
from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors
from firstsight.errors import MediaError, QueryError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.retrieval.pages.space_map import MapPoint
from firstsight.retrieval.pages.space_map_page import TILE, _thumbnail
from firstsight.retrieval.pages.thumbnails import jpeg_uri


class FailingEncoder:
    """The real starter encoder; it raises on the word "poison" and on pictures 50 pixels wide."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        if any(isinstance(image, Image.Image) and image.width == 50 for image in images):
            raise RuntimeError("no such width")
        return self._encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if "poison" in texts:
            raise UnicodeError("cannot be tokenised")
        return self._encoder.encode_texts(texts)


@pytest.mark.slow
def test_a_bad_text_and_a_bad_picture_cost_their_own_queries(sample_db: Path, starter: Encoder) -> None:
    queries = [
        firstsight.Query(text="a red shoe"),
        firstsight.Query(text="poison", mode="vector"),
        firstsight.Query(text="a teapot", minus=("poison",)),
        firstsight.Query(images=(Image.new("RGB", (50, 40), "red"),)),
        firstsight.Query(images=(Image.new("RGB", (60, 40), "red"),)),
    ]
    found = firstsight.open(sample_db, encoder=FailingEncoder(starter)).search_many(queries, on_error="return")
    expected = firstsight.open(sample_db, encoder=starter).search_many(queries, on_error="return")
    for place in (0, 4):
        ours, theirs = found[place], expected[place]
        assert not isinstance(ours, Exception)
        assert not isinstance(theirs, Exception)
        assert [one.item_id for one in ours] == [one.item_id for one in theirs]
    for place in (1, 2):
        assert isinstance(found[place], QueryError)
        assert "the text 'poison' cannot be encoded: the encoder failed on it" in str(found[place])
    assert isinstance(found[3], MediaError)
    assert "no such width" in str(found[3])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 40_000), (40_000, 1), (2, 20_000)])
def test_a_thin_picture_is_searched_by_and_shown(sample_db: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "red")
    picture.save(tmp_path / "thin.png")
    assert firstsight.open(sample_db).search(image=tmp_path / "thin.png", k=3)
    assert jpeg_uri(picture, 96).startswith("data:image/jpeg")
    point = MapPoint("a", "A", 0, 0, (), (str(tmp_path / "thin.png"), None))
    with VideoSampler() as sampler:
        tile = _thumbnail(point, firstsight.MediaPolicy(allow_anywhere=True), sampler)
    assert tile is not None
    assert tile.size == (TILE, TILE)
