"""Tests of sound fingerprints: copies of a sound agree after an encoder, a cut and a change of speed; others do not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from firstsight.media.sound_prints import SAME_SOUND, SOUND_RATE, Samples, agreement, sound_codes
from tests.media.streams import needs_ffmpeg

SECONDS = 20


def melody(seed: int, seconds: float = SECONDS) -> Samples:
    """Notes of random pitch and length, each with overtones that fade, over a little noise."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 0.01, int(seconds * SOUND_RATE))
    start = 0
    while start < len(sound):
        length = int(SOUND_RATE * rng.uniform(0.1, 0.6))
        time = np.arange(min(length, len(sound) - start)) / SOUND_RATE
        pitch = 220 * 2 ** (rng.integers(0, 24) / 12)
        notes = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in (1, 2, 3))
        sound[start : start + len(time)] += 0.2 * notes * np.exp(-3 * time)
        start += length
    return sound.astype(np.float32)


def through_ffmpeg(sound: Samples, folder: Path, *options: str) -> Samples:
    """Encode samples by the ffmpeg command, and decode them again."""
    raw = ["-f", "f32le", "-ar", str(SOUND_RATE), "-ac", "1"]
    file = folder / "sound.mka"
    run = {"check": True, "capture_output": True}
    subprocess.run(["ffmpeg", "-y", *raw, "-i", "-", *options, str(file)], input=sound.tobytes(), **run)  # type: ignore[call-overload]
    out = subprocess.run(["ffmpeg", "-i", str(file), *raw, "-"], **run).stdout  # type: ignore[call-overload]
    return np.frombuffer(out, np.float32)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("options", "offset_s", "speed"),
    [
        (["-c:a", "aac", "-b:a", "32k"], 0.0, 1.0),
        (["-af", "bass=g=6,treble=g=-6,volume=0.3"], 0.0, 1.0),
        (["-af", "atrim=start=3.3"], -3.3, 1.0),
        (["-af", "atempo=1.25"], 0.0, 1 / 1.25),
    ],
)
def test_the_same_sound_agrees(tmp_path: Path, options: list[str], offset_s: float, speed: float) -> None:
    sound = melody(1)
    codes, copied = sound_codes([sound]), sound_codes([through_ffmpeg(sound, tmp_path, *options)])
    share = agreement(codes, copied, offset_s=offset_s, speed=speed)
    assert share is not None
    assert share >= SAME_SOUND
    back = agreement(copied, codes, offset_s=-offset_s / speed, speed=1 / speed)
    assert back is not None
    assert back >= SAME_SOUND


def test_other_sound_and_other_seconds_do_not_agree() -> None:
    codes = [sound_codes([melody(seed)]) for seed in range(6)]
    shares = [agreement(a, b, offset_s=s) for n, a in enumerate(codes) for b in codes[:n] for s in (-5.0, 0.0, 2.6)]
    shares += [agreement(one, one, offset_s=s) for one in codes for s in (-6.0, 3.0)]
    assert max(share for share in shares if share is not None) < SAME_SOUND


def test_blocks_of_any_length_give_the_same_codes() -> None:
    sound = melody(2, 9.7)
    whole = sound_codes([sound])
    assert whole.shape == (int(9.7 * 4) + 1, 4)
    for cut in (1, 700, 20_000):
        np.testing.assert_array_equal(sound_codes(np.split(sound, range(cut, len(sound), max(cut, 500)))), whole)


def test_silence_has_no_codes() -> None:
    silent = np.zeros(10 * SOUND_RATE, np.float32)
    codes = sound_codes([silent])
    assert not codes.any()
    assert agreement(codes, sound_codes([melody(1)]), offset_s=0.0) is None
    assert not sound_codes([]).any()
    assert agreement(sound_codes([melody(1)]), sound_codes([melody(1)]), offset_s=18.0) is None  # too little in common
