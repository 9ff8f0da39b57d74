"""Tests of reading the sound track of a video, and of its codes among the fingerprints of the video."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from firstsight.media.decode.sound_decoder import read_sound
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.sound_prints import SAME_SOUND, SOUND_RATE, agreement, sound_codes
from tests.media.streams import needs_ffmpeg
from tests.media.test_sound_prints import melody

pytestmark = needs_ffmpeg

CLIP = Path("sample_media/clips/guitar-lesson.mp4")  # 8.5 s without sound


def with_sound(target: Path, *options: str, delay_s: float = 0.0) -> Path:
    """Write the clip with a melody of 8 s as its sound track."""
    raw = ["-f", "f32le", "-ar", str(SOUND_RATE), "-ac", "1", "-itsoffset", str(delay_s), "-i", "-"]
    maps = ["-map", "1:v", "-map", "0:a"]
    command = ["ffmpeg", "-v", "error", "-y", *raw, "-i", str(CLIP), *maps, *options, str(target)]
    subprocess.run(command, check=True, input=melody(3, 8).tobytes())
    return target


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("name", "options", "delay_s"),
    [
        ("aac.mp4", ["-c:v", "copy", "-c:a", "aac"], 0.0),
        ("stereo.mkv", ["-c:v", "copy", "-c:a", "flac", "-ar", "48000", "-ac", "2"], 0.0),
        ("late.mp4", ["-c:v", "copy", "-c:a", "aac"], 2.0),
        ("stream.ts", ["-c:v", "copy", "-c:a", "mp2", "-ar", "48000"], 0.0),
    ],
)
def test_sound_starts_with_the_first_frame(tmp_path: Path, name: str, options: list[str], delay_s: float) -> None:
    codes = sound_codes(read_sound(with_sound(tmp_path / name, *options, delay_s=delay_s), SOUND_RATE, nothing))
    share = agreement(sound_codes([melody(3, 8)]), codes, offset_s=delay_s)
    assert share is not None
    assert share >= SAME_SOUND
    wrong = agreement(sound_codes([melody(3, 8)]), codes, offset_s=delay_s + 1.0)
    assert wrong is not None
    assert wrong < SAME_SOUND


def test_a_hole_in_the_track_is_silence(tmp_path: Path) -> None:
    cut = "aselect='not(between(t,3,5))'"
    file = with_sound(tmp_path / "hole.mkv", "-c:v", "copy", "-c:a", "flac", "-af", cut)
    samples = np.concatenate(list(read_sound(file, SOUND_RATE, nothing)))
    assert len(samples) == pytest.approx(8 * SOUND_RATE, rel=0.01)
    assert not samples[int(3.3 * SOUND_RATE) : int(4.7 * SOUND_RATE)].any()


def test_a_broken_track_gives_what_can_be_decoded(tmp_path: Path) -> None:
    file = with_sound(tmp_path / "whole.mp4", "-c:v", "copy", "-c:a", "aac")
    data = bytearray(file.read_bytes())
    for place in range(len(data) // 2, len(data) * 3 // 4, 501):
        data[place] ^= 0xFF
    (tmp_path / "broken.mp4").write_bytes(data)
    samples = np.concatenate(list(read_sound(tmp_path / "broken.mp4", SOUND_RATE, nothing)))
    assert len(samples) >= 3 * SOUND_RATE


def test_fingerprints_of_a_video_have_those_of_its_sound(tmp_path: Path) -> None:
    file = with_sound(tmp_path / "sound.mp4", "-c:v", "copy", "-c:a", "aac")
    silent = ["-f", "lavfi", "-i", "anullsrc", "-i", str(CLIP), "-c:v", "copy", "-c:a", "aac", "-t", "4"]
    subprocess.run(["ffmpeg", "-v", "error", *silent, str(tmp_path / "silent.mp4")], check=True)
    with VideoSampler() as sampler:
        heard = sampler.prints(file).sound
        assert heard is not None
        assert (agreement(sound_codes([melody(3, 8)]), heard, offset_s=0.0) or 0) >= SAME_SOUND
        assert sampler.prints(CLIP).sound is None
        assert sampler.prints(tmp_path / "silent.mp4").sound is None
