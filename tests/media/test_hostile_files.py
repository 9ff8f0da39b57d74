"""Hostile files in the decoding children: each fails at most itself, and good files are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from benchmarks.hostile_media import make_hostile, picture
from firstsight.errors import FailureReason, MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler

MUST_FAIL = (
    "magic-only",
    "empty",
    "zeros",
    "noise",
    "page",
    "drawing",
    "playlist",
    "concat",
    "session",
    "nested",
    "bomb",
)
TIMEOUT_S = 20.0


@pytest.mark.slow
def test_every_hostile_file_costs_itself_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = make_hostile(tmp_path / "hostile", cuts=1, flips=1)
    files = [file for file in files if "endless.gif" not in file[0].name]  # takes seconds by design
    reasons: dict[str, str] = {}
    with (
        PictureDecoder(workers=1, timeout_s=TIMEOUT_S) as pictures,
        VideoSampler(workers=1, timeout_s=TIMEOUT_S) as videos,
    ):
        for path, medium in files:
            try:
                if medium == "picture":
                    assert pictures.open(path, min_side=100).mode == "RGB"
                else:
                    assert videos.sample(path, count=3, min_side=100)
                reasons[path.name] = "decoded"
            except MediaError as error:
                reasons[path.name] = error.reason if str(path) in str(error) else f"unnamed: {error}"
        assert pictures.open(picture("JPEG")).size == (320, 240)
        assert len(videos.sample(tmp_path / "hostile" / "good.mp4", count=3)) == 3
    assert len(reasons) > 60
    assert set(reasons.values()) <= {"decoded", *get_args(FailureReason)} - {"timeout", "crashed"}
    wrongly = [name for name, reason in reasons.items() if reason == "decoded" and name[4:].startswith(MUST_FAIL)]
    assert wrongly == []
    assert capfd.readouterr() == ("", "")
