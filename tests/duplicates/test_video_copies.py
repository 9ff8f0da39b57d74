"""Copies of a video that ffmpeg makes, from the files to the pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.video_parts.copy_kinds import KINDS, Helpers, make_copy
from firstsight.duplicates.prints.stored_prints import StoredPrints, VideoPair, find_video_pairs
from firstsight.duplicates.video_alignment import MIN_SHARE
from firstsight.media.decode.video_sampler import VideoSampler
from tests.media.streams import needs_ffmpeg

pytestmark = needs_ffmpeg

CLIPS = Path(__file__).parents[2] / "sample_media" / "clips"
MADE = (
    *("resize", "re-encode", "trim", "intro", "speed 1.25", "mirror", "caption", "logo", "border", "crop"),
    *("centre crop", "screen recording", "bars", "compilation"),
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], VideoPair]:
    """Pairs among copies of one clip, and two other clips with the same border."""
    folder = tmp_path_factory.mktemp("copies")
    helpers = Helpers(CLIPS / "cat.mp4", CLIPS.parent / "pictures" / "bicycle.jpg")
    original, others = CLIPS / "kitchen-haul.mp4", [CLIPS / "guitar-lesson.mp4", CLIPS / "band-night.mp4"]
    videos = {"original": original} | {path.stem: path for path in others}
    videos |= {kind: make_copy(kind, original, helpers, folder / f"{kind}.mp4") for kind in MADE}
    videos |= {f"{p.stem} border": make_copy("border", p, helpers, folder / f"{p.stem}.mp4") for p in others}
    with VideoSampler() as sampler:
        prints = [sampler.prints(path) for path in videos.values()]
    names = list(videos)
    stored = StoredPrints(names, names, [name.encode() for name in names], prints)
    return {(names[p.left], names[p.right]): p for p in find_video_pairs(stored, min_share=MIN_SHARE)}


@pytest.mark.parametrize("kind", MADE)
def test_a_copy_is_found_with_its_offset_and_speed(pairs: dict[tuple[str, str], VideoPair], kind: str) -> None:
    found = pairs["original", kind].alignment
    made = KINDS[kind]
    assert found.speed == pytest.approx(1 / made.speed, rel=0.04)
    unshifted = made.speed == 1 and not made.offset_s
    assert found.offset_s == pytest.approx(made.offset_s, abs=0.2 if unshifted else 0.4)
    assert found.mirrored == (kind == "mirror")


def test_videos_with_one_border_and_others_are_no_pairs(pairs: dict[tuple[str, str], VideoPair]) -> None:
    clips = {"guitar-lesson", "guitar-lesson border", "band-night", "band-night border"}
    of_clips = {pair for pair in pairs if set(pair) & clips}
    assert of_clips == {("guitar-lesson", "guitar-lesson border"), ("band-night", "band-night border")}
