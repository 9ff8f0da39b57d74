"""Timed text: both formats, encodings, broken files, and files beside videos."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from firstsight.errors import MediaError
from firstsight.media.language_tags import language_tag
from firstsight.media.policy import MediaPolicy
from firstsight.media.subtitle_files import SubtitleFile, SubtitleFinder
from firstsight.media.subtitles import (
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_LINES,
    TimedLine,
    parse_subtitle_file,
    parse_subtitles,
    parse_timed_json,
    parse_timed_lines,
)

SRT = (
    "1\n00:00:01,000 --> 00:00:02,500\nGrün &amp; <i>blau</i>\n\n2\n00:01:02,5 --> 01:00:00,000\n{\\an8}zwei\nZeilen\n"
)
LINES = (TimedLine(1.0, 2.5, "Grün & blau"), TimedLine(62.5, 3600.0, "zwei Zeilen"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_file_is_read_in_each_encoding(encoding: str, ends: str) -> None:
    text = parse_subtitle_file(SRT.replace("\n", ends).encode(encoding), "a.srt")
    assert (text.lines, text.problem) == (LINES, None)


def test_other_encodings_are_refused_with_a_remedy() -> None:
    with pytest.raises(
        MediaError, match=r"^a.srt is neither UTF-8 nor UTF-16 \(byte 34\); save it as UTF-8$"
    ) as caught:
        parse_subtitle_file(SRT.encode("latin-1"), "a.srt")
    assert caught.value.reason == "unsupported"


def test_headers_notes_styles_and_settings_of_webvtt_are_no_text() -> None:
    text = parse_subtitles(
        "WEBVTT - a title\nKind: captions\nLanguage: pt_br\n\nSTYLE\n::cue { color: red }\n\nNOTE a note\n\nintro\n"
        "00:01.000 --> 00:02.000 line:0 position:20%\n<v.loud Ann>Oi <00:01.500><c>gente</c>\u200b\n\n"
        "00:03.000 --> 00:04.000\n\n",
        "a.vtt",
    )
    assert text.lines == (TimedLine(1.0, 2.0, "Oi gente", "pt-BR"),)


def test_lines_come_by_their_start_and_may_overlap() -> None:
    text = parse_subtitles("0:10 --> 0:20\nb\n\n0:05 --> 0:15\na\n", "a.srt")
    assert [(line.start_s, line.end_s, line.text) for line in text.lines] == [(5, 15, "a"), (10, 20, "b")]


def test_cues_without_a_blank_line_between_them_are_apart() -> None:
    text = parse_subtitles("1\n0:01 --> 0:02\na\n2\n0:03 --> 0:04\n40\n", "a.srt")
    assert [line.text for line in text.lines] == ["a", "40"]


def test_captions_that_roll_up_do_not_repeat_their_rows() -> None:
    text = parse_subtitles("0:01 --> 0:02\none\n\n0:02 --> 0:03\none\ntwo\n\n0:03 --> 0:04\ntwo\nthree\n", "a.vtt")
    assert [line.text for line in text.lines] == ["one", "two", "three"]


def test_lines_that_cannot_be_used_are_left_out_and_counted() -> None:
    text = parse_subtitles(
        "0:05 --> 0:04\na\n\n-0:05 --> 0:04\nb\n\n999:00:00 --> 999:00:01\nc\n\n1:99 --> x\nd\n\n0:01 --> 0:02\nfine\n",
        "a.srt",
    )
    assert [line.text for line in text.lines] == ["fine"]
    assert text.problem is not None
    assert str(text.problem) == "4 of 5 lines of a.srt are left out: line 1 ends before it starts"


@pytest.mark.parametrize("data", [b"", b"just words", b"WEBVTT\n\n", b"\0" * 100, b"<html></html>"])
def test_a_file_without_lines_is_corrupt(data: bytes) -> None:
    with pytest.raises(MediaError, match=r"a.srt has no timed lines") as caught:
        parse_subtitle_file(data, "a.srt")
    assert caught.value.reason == "corrupt"


def test_a_file_without_a_usable_line_names_the_first_problem() -> None:
    with pytest.raises(MediaError, match=r"^none of 1 lines of a.srt can be used: line 2 has no valid times$"):
        parse_subtitles("1\n0:0 --> never\na", "a.srt")


def test_large_files_are_refused_or_read_in_linear_time() -> None:
    with pytest.raises(MediaError, match="larger than"):
        parse_subtitle_file(b" " * (MAX_BYTES + 1), "a.srt")
    two = "0:01 --> 0:02\na\n\n0:01 --> 0:02\nb\n\n"
    many = two * (MAX_LINES // 2)
    with pytest.raises(MediaError, match="more than 100,000 lines"):
        parse_subtitles(many + two, "a.srt")
    started = time.monotonic()
    assert len(parse_subtitles(many, "a.srt").lines) == MAX_LINES
    (line,) = parse_subtitles("0:01 --> 0:02\n" + "<" * 200_000 + "{" * 200_000 + "&amp" * 1_000_000, "a.srt").lines
    assert len(line.text) <= MAX_CHARACTERS
    assert time.monotonic() - started < 30


def test_lines_of_a_list() -> None:
    entries = [
        {"start": 3, "end": 4.5, "text": "later\nline", "language": "de-de"},
        {"start": "0:01", "end": "2", "text": "first"},
        {"start_s": 1, "end_s": 2, "text": ""},
        {"start": float("nan"), "end": 2, "text": "x"},
        {"start": True, "end": 2, "text": "x"},
        "words",
        {"start": 1, "end": 2},
    ]
    text = parse_timed_lines(entries, "the list", language="en")
    assert text.lines == (TimedLine(1.0, 2.0, "first", "en"), TimedLine(3.0, 4.5, "later line", "de-DE"))
    assert str(text.problem) == "4 of 7 lines of the list are left out: entry 4 has no valid times"
    with pytest.raises(MediaError, match="not valid JSON"):
        parse_timed_json("[{", "the list")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("DE", "de"),
        ("en_us", "en-US"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("und", None),
        ("english", None),
        ("", None),
    ],
)
def test_language_tags(text: str, tag: str | None) -> None:
    assert language_tag(text) == tag


def test_files_beside_a_video_are_found_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    names = ["clip.mp4", "clip.srt", "clip.de.srt", "clip.en-US.VTT", "clip.en.sdh.vtt", "clip.sdh.srt"]
    others = ["clip2.srt", "clip.notes.final.srt", "other.srt", "clip.txt", "clip.part 2.srt"]
    for name in names + others:
        (folder / name).touch()
    finder = SubtitleFinder(MediaPolicy(root=tmp_path))
    assert finder.beside("clips/clip.mp4") == [
        SubtitleFile("clips/clip.de.srt", "de"),
        SubtitleFile("clips/clip.en-US.VTT", "en-US"),
        SubtitleFile("clips/clip.en.sdh.vtt", "en"),
        SubtitleFile("clips/clip.sdh.srt", None),
        SubtitleFile("clips/clip.srt", None),
    ]
    assert finder.beside("clips/missing.mp4") == []
    assert finder.beside("https://example.com/clip.mp4") == []
    assert SubtitleFinder(MediaPolicy(root=tmp_path / "elsewhere")).beside("../clips/clip.mp4") == []
