"""Speech recognition by the transcribers of docs/timed-text.md, installed like another package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest

import firstsight
from firstsight.errors import EncoderError, MediaError
from firstsight.indexer.index_settings import IndexSettings
from firstsight.media.decode.sound_reader import SoundReader
from firstsight.media.transcribers import SAMPLE_RATE, load_transcriber
from tests.indexer.shop import ColourEncoder, failures, index

DOCS = (Path(__file__).parents[2] / "docs" / "timed-text.md").read_text(encoding="utf-8")

LOUD = ((1, 3), (33, 35))
"""Seconds of the test video with a tone."""

SECONDS = 40

BROKEN = """
def refuses(options):
    raise ValueError("no model at " + options)

class Fails:
    def __init__(self, options): pass
    def transcribe(self, sound):
        next(sound)
        raise RuntimeError("out of luck")
"""


def block(language: str, holding: str) -> str:
    (found,) = (b for b in re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL) if holding in b)
    return str(found)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples of the page, and broken ones, on the import path."""
    site = tmp_path / "site"
    (site / "my_transcribers-1.dist-info").mkdir(parents=True)
    (site / "loud_passages.py").write_text(block("python", "class LoudPassages"), encoding="utf-8")
    (site / "whisper_folder.py").write_text(block("python", "class WhisperFolder"), encoding="utf-8")
    (site / "broken_transcribers.py").write_text(BROKEN, encoding="utf-8")
    metadata = "Metadata-Version: 2.1\nName: my-transcribers\nVersion: 1\n"
    (site / "my_transcribers-1.dist-info" / "METADATA").write_text(metadata, encoding="utf-8")
    lines = re.findall(r'^(\w+) = "(\w+:\w+)"$', block("toml", "entry-points"), re.MULTILINE)
    assert len(lines) == 2
    lines += [("refuses", "broken_transcribers:refuses"), ("fails", "broken_transcribers:Fails"), ("odd", "json:loads")]
    points = "[firstsight.transcribers]\n" + "".join(f"{name} = {place}\n" for name, place in lines)
    (site / "my_transcribers-1.dist-info" / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    return site


def write_video(path: Path, *, sound: bool = True, codec: str = "aac") -> Path:
    """Write a video of one frame per second, with a tone in the seconds of `LOUD`."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=1)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = cast("av.AudioStream", container.add_stream(codec, rate=44_100, layout="stereo")) if sound else None
        for second in range(SECONDS):
            pixels = np.full((64, 64, 3), 6 * second, dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
        if audio is not None:
            times = np.arange(SECONDS * 44_100) / 44_100
            loud = sum((times >= start) & (times < end) for start, end in LOUD)
            tone = np.asarray(0.5 * np.sin(2 * np.pi * 440 * times) * loud, dtype=np.float32)
            for start in range(0, len(tone), 1024):
                part = np.stack([tone[start : start + 1024]] * 2)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44_100, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.ts", "aac"), ("a.avi", "ac3")])
def test_sound_has_its_seconds_in_each_container(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, codec=codec)
    with SoundReader(workers=1) as reader:
        chunks = list(reader.chunks(path))
    assert len(chunks) == 2
    assert len(chunks[0]) == 30 * SAMPLE_RATE
    sound = np.concatenate(chunks)
    assert abs(len(sound) / SAMPLE_RATE - SECONDS) < 0.2
    assert float(np.abs(sound).max()) <= 1.0
    loud = np.flatnonzero(np.abs(sound) > 0.2) / SAMPLE_RATE
    for start, end in LOUD:
        there = loud[(loud > start - 0.5) & (loud < end + 0.5)]
        assert abs(there.min() - start) < 0.08
        assert abs(there.max() - end) < 0.08


def test_a_video_without_sound_has_no_chunks_and_a_broken_file_fails(tmp_path: Path) -> None:
    with SoundReader(workers=1) as reader:
        assert list(reader.chunks(write_video(tmp_path / "mute.mp4", sound=False))) == []
        (tmp_path / "broken.mp4").write_bytes(b"no video")
        with pytest.raises(MediaError):
            list(reader.chunks(tmp_path / "broken.mp4"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody:x", "there is no transcriber 'nobody'; installed: fails, loud, odd, refuses, whisper"),
        ("refuses:here", "the transcriber 'refuses:here' cannot be loaded: no model at here"),
        ("odd:[]", "the transcriber 'odd:\\[\\]' is a list without the method transcribe"),
        ("whisper:/nowhere", "'/nowhere' is no folder of a Whisper model; use --transcriber whisper:FOLDER"),
    ],
)
def test_a_transcriber_that_cannot_be_loaded_gets_one_sentence(installed: Path, name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_transcriber(name)


def test_speech_is_indexed_with_its_seconds_and_kept_with_its_video(installed: Path, tmp_path: Path, db: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "talk.mp4")
    write_video(folder / "mute.mp4", sound=False)
    encoder = ColourEncoder()
    report = index(db, folder, encoder, settings=IndexSettings(frames=1, transcriber="loud:0.1"))
    assert (report.counts.lines, report.counts.passages, report.counts.failed_media) == (2, 2, 0)
    opened = firstsight.open(db)
    views = [view for view in opened.get("talk.mp4").views if view.part == "transcript"]
    assert [(view.view_id, view.start_s, view.end_s, view.text, view.language) for view in views] == [
        (f"talk.mp4#transcript-0-speech-{n}", float(start), float(end), "a loud passage", "en")
        for n, (start, end) in enumerate(LOUD)
    ]
    run = opened.status().runs[-1]
    assert "loud:0.1" in str(run)
    again = index(db, folder, encoder, settings=IndexSettings(frames=1, transcriber="loud:0.1"))
    assert again.counts.unchanged == 2
    other = index(db, folder, encoder, settings=IndexSettings(frames=1, transcriber="loud:2"))
    assert (other.counts.encoded, other.counts.lines) == (2, 0)


def test_a_transcriber_that_fails_costs_only_the_speech(installed: Path, tmp_path: Path, db: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "talk.mp4")
    index(db, folder, settings=IndexSettings(frames=1, transcriber="fails"))
    ((item_id, uri, stage, reason, _),) = failures(db)
    assert (item_id, uri, stage, reason) == ("talk.mp4", "talk.mp4", "speech", "crashed")
    assert [view.part for view in firstsight.open(db).get("talk.mp4").views] == ["frame", "title"]
