"""`firstsight duplicates` on a terminal, and `index --warn-duplicates`, over copies of a real video."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from firstsight.encoders.base import EncoderSpec
from firstsight.storage.store import Store
from tests.cli.calling import call_in_process, call_on_a_terminal, parse_json_lines

CLIPS = Path(__file__).parents[2] / "sample_media" / "clips"


def copy_small(source: Path, target: Path, *, from_s: float) -> None:
    """A copy at half the size, without its beginning."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        shown = read.streams.video[0]
        assert shown.average_rate is not None
        stream = written.add_stream("mpeg4", rate=shown.average_rate)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = shown.width // 4 * 2, shown.height // 4 * 2
        for frame in read.decode(video=0):
            if frame.time is not None and frame.time >= from_s:
                pixels = frame.reformat(stream.width, stream.height, "rgb24").to_ndarray().astype(np.uint8)
                written.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        written.mux(stream.encode())


@pytest.mark.slow
def test_a_trimmed_copy_of_a_video_is_warned_of_and_listed_with_its_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("kitchen-haul", "band-night"):
        shutil.copy(CLIPS / f"{name}.mp4", folder)
    db = str(tmp_path / "db")
    index = ("index", str(folder), "--db", db, "--warn-duplicates")
    code, out, err = call_in_process(monkeypatch, capsys, *index)
    assert code == 0
    assert parse_json_lines(out)[0]["duplicates"] == []
    assert "near-duplicate" not in err
    copy_small(folder / "kitchen-haul.mp4", folder / "again.mp4", from_s=1.0)
    code, out, err = call_in_process(monkeypatch, capsys, *index)
    assert code == 0
    (told,) = parse_json_lines(out)[0]["duplicates"]
    assert (told["item_id"], told["other_id"], told["kind"]) == ("again.mp4", "kitchen-haul.mp4", "video")
    assert told["offset_s"] == pytest.approx(1.0, abs=0.5)
    assert parse_json_lines(out)[0]["counts"]["duplicates"] == 1
    assert "again.mp4 is a near-duplicate of kitchen-haul.mp4" in err
    code, shown, said = call_on_a_terminal(monkeypatch, capsys, "duplicates", "--db", db)
    assert code == 0
    assert "again.mp4" in shown
    # which of the two is the representative is not said: the sign depends on it
    assert re.search(r"[+-](0\.[5-9]|1\.[0-5]) s", shown)
    assert "2 items in 1 groups" in said
    assert "band-night" not in shown


@pytest.mark.slow
def test_no_duplicates_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Store.create(tmp_path / "db", EncoderSpec("drawn", 8, 32, "d"))
    code, shown, said = call_on_a_terminal(monkeypatch, capsys, "duplicates", "--db", str(tmp_path / "db"))
    assert (code, shown, said) == (0, "", "no item is a near-duplicate of another\n")
    code, _, err = call_in_process(monkeypatch, capsys, "index", "--retry", "--warn-duplicates", "--db", str(tmp_path))
    assert code == 2
    assert "--retry cannot list duplicates" in err
