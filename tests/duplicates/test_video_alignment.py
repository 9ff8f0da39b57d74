"""Two videos are aligned by frames from any moments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.duplicates.video_alignment import Frames, align
from firstsight.encoders.base import unit

DIM = 64


class SyntheticVideo:
    """Shots of 3 seconds: a vector that drifts within a shot and jumps between shots."""

    def __init__(self, seed: int, shots: int = 10) -> None:
        self.seed = seed
        rng = np.random.default_rng(seed)
        self.centres = rng.normal(size=(shots, DIM))
        self.drifts = 0.3 * rng.normal(size=(shots, DIM))

    @property
    def seconds(self) -> float:
        return 3.0 * len(self.centres)

    def at(self, seconds: NDArray[np.float64], *, shown: NDArray[np.float64] | None = None) -> Frames:
        """Frames at these seconds, at the times `shown` in a copy, with a little noise."""
        rng = np.random.default_rng([self.seed, len(seconds)])
        shot = (seconds // 3).astype(int)
        raw = self.centres[shot] + (seconds % 3)[:, None] / 3 * self.drifts[shot]
        vectors = unit(raw + 0.1 * rng.normal(size=raw.shape)).astype(np.float32)
        times = seconds if shown is None else shown
        # moving pictures change their fingerprint, so only vectors match here
        codes = rng.integers(0, 256, (len(seconds), 32), dtype=np.uint8)
        return Frames(times, vectors, codes, np.ones(len(seconds)))


def uniform(seconds: float, count: int, start: float = 0.0) -> NDArray[np.float64]:
    return start + (np.arange(count) + 0.5) * seconds / count


def joined(*parts: Frames) -> Frames:
    return Frames(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.fingerprints for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def test_the_same_video_sampled_at_other_moments_is_aligned_at_zero() -> None:
    film = SyntheticVideo(0)
    found = align(film.at(uniform(30, 12)), film.at(uniform(30, 17)))
    assert found is not None
    assert abs(found.offset_s) < 0.6
    assert found.speed == 1.0
    assert found.share > 0.9
    assert not found.mirrored


def test_a_clip_is_found_with_its_offset() -> None:
    film = SyntheticVideo(1)
    seconds = uniform(9, 8, start=12)
    found = align(film.at(seconds, shown=seconds - 12), film.at(uniform(30, 30)))
    assert found is not None
    assert abs(found.offset_s - 12) < 0.7
    assert found.share > 0.9


def test_a_video_played_faster_is_found_with_its_speed() -> None:
    film = SyntheticVideo(2, shots=20)
    seconds = uniform(60, 40)
    found = align(film.at(uniform(60, 40)), film.at(seconds, shown=seconds / 1.1))
    assert found is not None
    assert abs(found.speed - 1 / 1.1) < 0.02
    assert abs(found.offset_s) < 1.0


def test_an_intro_in_front_moves_the_offset() -> None:
    film, intro = SyntheticVideo(3), SyntheticVideo(4, shots=2)
    with_intro = joined(intro.at(uniform(6, 4)), film.at(uniform(30, 16), shown=uniform(30, 16) + 6))
    found = align(film.at(uniform(30, 16)), with_intro)
    assert found is not None
    assert abs(found.offset_s - 6) < 0.6


def test_a_shared_intro_does_not_make_two_videos_one() -> None:
    intro = SyntheticVideo(5, shots=3)
    first, second = (
        joined(intro.at(uniform(9, 6)), SyntheticVideo(seed).at(uniform(30, 16), shown=uniform(30, 16) + 9))
        for seed in (6, 7)
    )
    assert align(first, second) is None


def test_other_videos_and_single_frames_are_not_aligned() -> None:
    assert align(SyntheticVideo(8).at(uniform(30, 12)), SyntheticVideo(9).at(uniform(30, 12))) is None
    film = SyntheticVideo(10)
    assert align(film.at(uniform(30, 1)), film.at(uniform(30, 12))) is None


def test_the_same_shots_in_another_order_are_not_the_same_video() -> None:
    film = SyntheticVideo(11, shots=12)
    seconds = uniform(36, 24)
    order = np.random.default_rng(0).permutation(12)
    shown = order[(seconds // 3).astype(int)] * 3 + seconds % 3
    again = np.argsort(shown)
    found = film.at(seconds, shown=shown)
    mixed = Frames(found.times[again], found.vectors[again], found.fingerprints[again], found.weights)
    assert align(film.at(seconds), mixed) is None
