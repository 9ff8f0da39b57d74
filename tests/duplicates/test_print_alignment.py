from __future__ import annotations

import numpy as np
import pytest

from firstsight.duplicates.prints.print_alignment import MIN_SECONDS, align_prints
from firstsight.media.fingerprints import orient
from firstsight.media.video_prints import VideoPrints
from tests.duplicates.video_codes import noisy, scenes, video

DENSE = scenes([3, 5, 2, 6, 4], rate=40)


@pytest.mark.parametrize("bits", [0, 12, 40])
def test_a_copy_is_aligned_at_no_offset(bits: int) -> None:
    found = align_prints(video(DENSE[::20]), video(noisy(DENSE[::20], bits)))
    assert found is not None
    assert abs(found.offset_s) < 0.2
    assert found.speed == 1
    assert found.share == found.stored_share == 1
    assert not found.mirrored
    assert found.channels == ("whole", "whole")


def test_a_cut_is_found_at_its_second_between_two_codes() -> None:
    found = align_prints(video(DENSE[40 * 6 + 13 : 40 * 13 : 5], rate=8), video(DENSE[::20]), rate=8)
    assert found is not None
    assert found.offset_s == pytest.approx(6 + 13 / 40, abs=0.15)
    assert found.share > 0.95
    assert found.stored_share < 0.45


@pytest.mark.parametrize("speed", [0.8, 1.25, 1.5])
def test_a_copy_at_another_speed_is_aligned(speed: float) -> None:
    moments = np.minimum((np.arange(0, 20, 0.5 * speed) * 40).astype(int), len(DENSE) - 1)
    found = align_prints(video(DENSE[::20]), video(DENSE[moments]))
    assert found is not None
    assert found.speed == pytest.approx(1 / speed, rel=0.04)
    assert found.share > 0.9
    assert abs(found.offset_s) < 0.4


def test_a_mirrored_region_matches_the_whole_frame() -> None:
    copy = noisy(orient(DENSE[::20], "mirror"), 20)
    found = align_prints(video(DENSE[::20], centre=scenes([20], 1, seed=5)), video(scenes([20], 2, 9), inner=copy[::2]))
    assert found is not None
    assert found.mirrored
    assert found.channels == ("whole", "inner")
    assert abs(found.offset_s) < 0.25


def test_unrelated_videos_do_not_match() -> None:
    for seed in range(20):
        assert align_prints(video(DENSE[::20]), video(scenes([4] * 6, 2, seed=100 + seed))) is None


def test_one_layout_is_no_match() -> None:
    """All codes of both videos differ in few bits, as with the same border, but none belongs to the same moment."""
    layout = np.repeat(scenes([0.5], 2), 40, axis=0)
    assert align_prints(video(noisy(layout, 22)), video(noisy(layout, 22))) is None


def test_still_pictures_match_only_if_they_are_near() -> None:
    still = np.repeat(scenes([0.5], 2), 16, axis=0)
    found = align_prints(video(still), video(noisy(still[:1], 12).repeat(20, axis=0)))
    assert found is not None
    assert found.offset_s == 0
    assert found.speed == 1
    assert found.share == 1
    assert align_prints(video(still), video(noisy(still[:1], 30).repeat(20, axis=0))) is None


def test_too_short_a_part_is_no_match() -> None:
    few = round(MIN_SECONDS * 2) - 2
    joined = np.concatenate([scenes([5], 2, seed=1), DENSE[::20][:few], scenes([5], 2, seed=2)])
    assert align_prints(video(DENSE[::20]), video(joined)) is None


def test_rows_without_a_code_are_left_out() -> None:
    dark = DENSE[::20].copy()
    dark[10:14] = 0
    found = align_prints(video(dark), video(DENSE[::20]))
    assert found is not None
    assert found.share > 0.85
    assert align_prints(video(np.zeros_like(dark)), video(DENSE[::20])) is None
    assert align_prints(VideoPrints(0.0, dark[:0]), video(DENSE[::20])) is None
