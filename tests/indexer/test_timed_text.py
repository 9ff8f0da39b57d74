"""Timed text of videos: from files beside them and from catalogues, through the index to searches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import firstsight
from firstsight.errors import CatalogError
from firstsight.indexer.columns.subtitle_cells import SubtitleSource, holds_subtitles, read_subtitles
from firstsight.indexer.timed_text.passages import make_passages
from firstsight.media.subtitles import TimedLine
from firstsight.retrieval.query import Mode
from firstsight.storage.store import Store
from firstsight.storage.tables import Part
from tests.indexer.shop import ColourEncoder, failures, index, write_jsonl

CLIPS = Path(__file__).parents[2] / "sample_media" / "clips"

ENGLISH = """1
00:00:00,500 --> 00:00:01,500
Welcome, today we look at

2
00:00:01,500 --> 00:00:02,500
a turquoise watering can

3
00:00:40,000 --> 00:00:41,000
See you tomorrow
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos, one of them with subtitles in two languages."""
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(CLIPS / "espresso-cup.mp4", folder / "talk.mp4")
    shutil.copy(CLIPS / "kitchen-haul.mp4", folder / "mute.mp4")
    (folder / "talk.en.srt").write_text(ENGLISH, encoding="utf-8")
    (folder / "talk.de.vtt").write_text("WEBVTT\n\n00:01.500 --> 00:02.500\neine Gießkanne\n", encoding="utf-8")
    return folder


def lines_of(db: Path, item_id: str) -> list[tuple[str, str | None, str | None]]:
    views = firstsight.open(db).get(item_id).views
    return [(view.view_id, view.text, view.language) for view in views if view.part == "transcript"]


# ---- passages


def test_neighbouring_lines_are_joined_up_to_a_length() -> None:
    lines = [TimedLine(n, n + 1, f"line {n}") for n in range(20)]
    passages = make_passages(lines)
    assert [(p.start_s, p.end_s) for p in passages] == [(0, 15), (15, 20)]
    assert passages[1].text == "line 15\nline 16\nline 17\nline 18\nline 19"
    assert passages[1].line_starts == (15, 16, 17, 18, 19)
    assert len(make_passages([TimedLine(0, 1, "a" * 150), TimedLine(1, 2, "b" * 150)])) == 2
    assert len(make_passages([TimedLine(0, 1, "a"), TimedLine(6, 7, "b")])) == 2
    assert len(make_passages([TimedLine(0, 1, "a", "en"), TimedLine(1, 2, "b", "de")])) == 2
    assert len(make_passages([TimedLine(0, 60, "a"), TimedLine(5, 6, "b")])) == 2
    assert make_passages([]) == []


# ---- cells


@pytest.mark.parametrize(
    ("value", "sources"),
    [
        (None, []),
        (" ", []),
        ("a.de.srt", [("a.de.srt", "de")]),
        ("a.srt | https://x.example/b.en.vtt?v=1", [("a.srt", None), ("https://x.example/b.en.vtt?v=1", "en")]),
        (["a.srt", "b.vtt"], [("a.srt", None), ("b.vtt", None)]),
        ('{"de": "a.srt", "pt_br": "b.srt"}', [("a.srt", "de"), ("b.srt", "pt-BR")]),
        ([{"src": "a.vtt", "srclang": "fr"}], [("a.vtt", "fr")]),
    ],
)
def test_addresses_of_a_cell(value: object, sources: list[tuple[str, str | None]]) -> None:
    assert read_subtitles(value) == tuple(SubtitleSource(uri, None, language) for uri, language in sources)
    assert holds_subtitles(value) == bool(sources)


@pytest.mark.parametrize("value", ["WEBVTT\n\n0:01 --> 0:02\na", "0:01 --> 0:02\na"])
def test_a_cell_may_have_the_text_of_a_file(value: str) -> None:
    assert read_subtitles(value) == (SubtitleSource(None, value),)


def test_a_cell_may_have_the_lines() -> None:
    lines = [{"start": 1, "end": 2, "text": "a"}]
    for value in (lines, json.dumps(lines), lines[0], {"language": "de", "lines": lines}):
        (source,) = read_subtitles(value)
        assert source.uri is None
        assert json.loads(source.content or "") == lines
    assert source.language == "de"


@pytest.mark.parametrize("value", [5, "[broken", {"words": "a.srt"}, [[[[[["a.srt"]]]]]]])
def test_other_cells_are_refused(value: object) -> None:
    with pytest.raises(CatalogError):
        read_subtitles(value)
    assert not holds_subtitles(value)


def test_a_column_of_plain_transcripts_is_no_timed_text() -> None:
    assert not holds_subtitles("Hello and welcome")


# ---- the index


def test_files_beside_videos_are_indexed_and_changes_seen(folder: Path, db: Path) -> None:
    encoder = ColourEncoder()
    report = index(db, folder, encoder)
    assert (report.counts.passages, report.counts.lines, report.counts.failed_media) == (3, 4, 0)
    assert lines_of(db, "talk.mp4") == [
        ("talk.mp4#transcript-0-0-0", "eine Gießkanne", "de"),
        ("talk.mp4#transcript-0-1-0", "Welcome, today we look at\na turquoise watering can", "en"),
        ("talk.mp4#transcript-0-1-1", "See you tomorrow", "en"),
    ]
    item = firstsight.open(db).get("talk.mp4")
    view = next(view for view in item.views if view.view_id.endswith("0-1-0"))
    assert (view.time_s, view.start_s, view.end_s, view.line_starts) == (0.5, 0.5, 2.5, (0.5, 1.5))
    assert view.uri == str(folder / "talk.mp4")
    assert lines_of(db, "mute.mp4") == []

    assert index(db, folder, encoder).counts.unchanged == 2
    (folder / "talk.de.vtt").unlink()
    (folder / "mute.srt").write_text("0:01 --> 0:02\nnot mute any more\n", encoding="utf-8")
    report = index(db, folder, encoder)
    assert (report.counts.encoded, report.counts.passages) == (2, 3)
    assert len(lines_of(db, "talk.mp4")) == 2
    assert lines_of(db, "mute.mp4") == [("mute.mp4#transcript-0-0-0", "not mute any more", None)]

    firstsight.open(db).remove(["talk.mp4"])
    assert Store.open(db).views.count_rows("part = 'transcript'") == 1


def test_timed_text_leaves_the_vector_of_its_item_unless_it_has_a_weight(folder: Path, tmp_path: Path) -> None:
    index(tmp_path / "with", folder)
    weights: dict[Part, float] = {"title": 1.0, "frame": 1.0, "transcript": 1.0}
    index(tmp_path / "weighted", folder, settings=firstsight.IndexSettings(weights=weights))
    for path in folder.glob("talk.*.*"):
        path.unlink()
    index(tmp_path / "without", folder)
    with_text, weighted, without = (
        firstsight.open(tmp_path / name).get("talk.mp4").vector for name in ("with", "weighted", "without")
    )
    assert with_text is not None
    assert without is not None
    assert weighted is not None
    assert with_text.tolist() == without.tolist()
    assert weighted.tolist() != without.tolist()


def test_a_broken_file_is_one_failure_and_its_item_is_indexed(folder: Path, db: Path) -> None:
    (folder / "talk.de.vtt").write_bytes(b"\xff\xfa\x00 no text \x80")
    (folder / "mute.srt").write_text("0:02 --> 0:01\na\n\n0:01 --> 0:02\nfine\n", encoding="utf-8")
    report = index(db, folder)
    assert [(uri, stage, reason) for _, uri, stage, reason, _ in failures(db)] == [
        ("mute.srt", "decode", "corrupt"),
        ("talk.de.vtt", "decode", "unsupported"),
    ]
    assert (report.counts.failed_media, report.counts.media, report.counts.passages) == (2, 5, 3)
    assert len(lines_of(db, "talk.mp4")) == 2


def test_subtitles_of_a_catalogue(folder: Path, db: Path) -> None:
    lines = [{"start": 1, "end": 2, "text": "said in the catalogue", "language": "en"}]
    rows = [
        {"item_id": "a", "video": "mute.mp4", "captions": {"fr": "talk.en.srt"}},
        {"item_id": "b", "video": "mute.mp4", "captions": lines},
        {"item_id": "c", "video": "mute.mp4", "captions": "gone.srt"},
        {"item_id": "d", "video": "talk.mp4|mute.mp4", "captions": "mute.de.srt|talk.en.srt"},
        {"item_id": "e", "title": "without a video", "captions": lines},
    ]
    (folder / "mute.de.srt").write_text("0:01 --> 0:02\nstill\n", encoding="utf-8")
    index(db, write_jsonl(folder / "c.jsonl", rows))
    opened = firstsight.open(db)
    assert {view.language for view in opened.get("a").views if view.part == "transcript"} == {"fr", "de"}
    assert lines_of(db, "b")[0] == ("b#transcript-0-0-0", "said in the catalogue", "en")
    assert [(item, uri, reason) for item, uri, _, reason, _ in failures(db)] == [("c", "gone.srt", "missing")]
    of_two = {view.text: view.uri for view in opened.get("d").views if view.part == "transcript"}
    assert of_two["still"] == str(folder / "mute.mp4")
    assert of_two["See you tomorrow"] == str(folder / "talk.mp4")
    (passage,) = (view for view in opened.get("e").views if view.part == "transcript")
    assert passage.uri is None
    assert "captions" not in opened.get("a").columns


# ---- searches


@pytest.mark.slow
def test_words_of_lines_are_found_with_their_second(folder: Path, db: Path) -> None:
    opened = firstsight.open(db)
    opened.index(folder)
    modes: tuple[Mode | None, ...] = ("words", "hybrid", None)
    for mode in modes:
        first = opened.search("watering cans", mode=mode)[0]
        assert first.item_id == "talk.mp4"
        assert first.relevance == 1.0
        assert first.line is not None
        assert (first.line.time_s, first.line.start_s, first.line.end_s) == (1.5, 0.5, 2.5)
        assert first.line.text == "Welcome, today we look at\na turquoise watering can"
    assert [r.item_id for r in opened.search("tomorow", mode="words")] == ["talk.mp4"]
    assert [r.item_id for r in opened.search("watering", mode="words", kinds=["product"])] == []
    assert [r.item_id for r in opened.search("watering", mode="words", where="title = 'talk'")] == ["talk.mp4"]

    spoken = opened.search("goodbye until the next day", part="transcript")[0]
    assert spoken.view is not None
    assert (spoken.item_id, spoken.view.part, spoken.view.time_s) == ("talk.mp4", "transcript", 40.0)
    assert opened.search("goodbye until the next day", part="any")[0].view == spoken.view
    assert "line" not in opened.search("espresso")[0].to_dict()


@pytest.mark.slow
def test_moments_have_the_lines_that_match(folder: Path, db: Path) -> None:
    opened = firstsight.open(db)
    opened.index(folder)
    (result,) = (r for r in opened.search("see you tomorrow", moments=True) if r.item_id == "talk.mp4")
    assert result.moments is not None
    spoken = [moment for moment in result.moments if moment.text]
    assert [(moment.start_s, moment.end_s, moment.text) for moment in spoken] == [(40.0, 41.0, "See you tomorrow")]
    (result,) = opened.search("turquoise", moments=True, mode="words")
    assert result.moments is not None
    assert any(moment.text and moment.start_s < 2.5 for moment in result.moments)
    result = opened.search("goodbye until the next day", part="transcript", moments=True)[0]
    assert "See you tomorrow" in [moment.text for moment in result.moments or ()]
