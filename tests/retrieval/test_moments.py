"""Moments: pure functions over generated cosines, and searches for the scenes of a real video."""

from __future__ import annotations

import itertools
import json
import sys
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import firstsight
from firstsight.api.items import View
from firstsight.encoders.base import Encoder
from firstsight.errors import QueryError
from firstsight.retrieval.moments import LONGEST_GAP_S, MIN_LIFT_SHARE, Span, compute_frame_spans, find_moments

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[float], list[Span | None], list[float]]:
    """Frames of a video: in shots that cover it from 0, one or more frames per shot; or without shots."""
    lengths = draw(st.lists(st.floats(0.5, 60), min_size=1, max_size=8))
    bounds = [0.0, *np.cumsum(lengths).tolist()]
    times: list[float] = []
    shots: list[Span | None] = []
    known = draw(st.booleans())
    for start, end in itertools.pairwise(bounds):
        places = draw(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True))
        times += [start + (end - start) * place / 100 for place in sorted(places)]
        shots += [(start, end) if known else None] * len(places)
    cosines = draw(st.lists(st.floats(-1, 1), min_size=len(times), max_size=len(times)))
    return times, shots, cosines


@given(videos())
def test_a_frame_stands_for_a_span_around_it_and_spans_do_not_overlap(
    video: tuple[list[float], list[Span | None], list[float]],
) -> None:
    times, shots, _ = video
    spans = compute_frame_spans(times, shots)
    assert all(start <= second <= end for second, (start, end) in zip(times, spans, strict=True))
    assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(spans))
    if shots[0] is not None:
        last = shots[-1]
        assert last is not None
        assert sum(end - start for start, end in spans) == pytest.approx(last[1])  # the spans cover the whole video


@given(videos(), st.floats(-1, 1), st.randoms())
def test_moments_hold_the_best_frame_do_not_overlap_and_do_not_depend_on_the_order(
    video: tuple[list[float], list[Span | None], list[float]], floor: float, dice: object
) -> None:
    times, shots, cosines = video
    found = find_moments("v", times, shots, cosines, floor=floor)
    assert found[0].score == max(cosines)
    assert found[0].start_s <= times[cosines.index(max(cosines))] <= max(moment.end_s for moment in found)
    assert [moment.score for moment in found] == sorted((moment.score for moment in found), reverse=True)
    in_time = sorted(found, key=lambda moment: moment.start_s)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in itertools.pairwise(in_time))
    order = list(range(len(times)))
    dice.shuffle(order)  # type: ignore[attr-defined]
    shuffled = ([values[n] for n in order] for values in (times, shots, cosines))
    assert find_moments("v", *shuffled, floor=floor) == found  # type: ignore[arg-type]


@given(videos(), st.floats(-1, 1))
def test_every_frame_that_matches_is_in_a_moment(
    video: tuple[list[float], list[Span | None], list[float]], floor: float
) -> None:
    times, shots, cosines = video
    found = find_moments("v", times, shots, cosines, floor=floor)
    best = max(cosines)
    for second, cosine in zip(times, cosines, strict=True):
        if best > floor and cosine > floor + MIN_LIFT_SHARE * (best - floor):
            assert any(moment.start_s <= second <= moment.end_s for moment in found)


def moments(cosines: list[float], seconds: float = 2.0, *, floor: float = 0.0) -> list[tuple[float, float, float]]:
    """Moments of a video with shots of equal length and one frame in the middle of each."""
    shots: list[Span | None] = [(n * seconds, (n + 1) * seconds) for n in range(len(cosines))]
    times = [(n + 0.5) * seconds for n in range(len(cosines))]
    return [(m.start_s, m.end_s, m.score) for m in find_moments("v", times, shots, cosines, floor=floor)]


def test_neighbouring_shots_that_match_are_one_moment() -> None:
    assert moments([0.1, 0.28, 0.3, 0.29, 0.1]) == [(2.0, 8.0, 0.3)]


def test_one_short_shot_between_does_not_end_a_moment_and_two_do() -> None:
    assert moments([0.3, 0.1, 0.29]) == [(0.0, 6.0, 0.3)]
    assert moments([0.29, 0.1, 0.1, 0.3]) == [(6.0, 8.0, 0.3), (0.0, 2.0, 0.29)]


def test_a_long_shot_between_ends_a_moment() -> None:
    assert moments([0.3, 0.1, 0.29], LONGEST_GAP_S + 1) == [(0.0, 6.0, 0.3), (12.0, 18.0, 0.29)]


def test_what_counts_is_measured_from_a_random_items_cosine() -> None:
    assert len(moments([0.3, 0.1, 0.1, 0.25], floor=0.0)) == 2
    assert len(moments([0.3, 0.1, 0.1, 0.25], floor=0.2)) == 1


def test_where_all_is_below_chance_only_the_best_frame_counts() -> None:
    assert moments([0.1, 0.05, 0.04], floor=0.2) == [(0.0, 2.0, 0.1)]


def test_a_frame_of_a_shot_with_several_stands_for_what_is_nearer_to_it() -> None:
    assert compute_frame_spans([1.0, 5.0, 11.0], [(0.0, 10.0), (0.0, 10.0), (10.0, 14.0)]) == [
        (0, 3),
        (3, 10),
        (10, 14),
    ]


def test_without_shots_frames_share_the_time_between_them() -> None:
    assert compute_frame_spans([1.0, 3.0, 7.0], [None] * 3) == [(0, 2), (2, 5), (5, 9)]
    assert compute_frame_spans([4.0], [None]) == [(4.0, 4.0)]


def test_a_video_without_frames_has_no_moment() -> None:
    assert find_moments("v", [], [], [], floor=0.0) == []


# ---- a real video

SCENES = [("bananas.jpg", 3), ("guitar-acoustic.jpg", 4), ("alarm-clock.jpg", 5), ("pineapple.png", 2)]


def write_scenes(path: Path, start_s: float, end_s: float) -> Path:
    """Write a part of the scenes, 10 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "g": "20"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        shown = [name for name, seconds in SCENES for _ in range(10 * seconds)]
        for name in shown[round(10 * start_s) : round(10 * end_s)]:
            picture = Image.open(PICTURES / name).convert("RGB").resize((320, 320))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> firstsight.Database:
    """A video of four scenes, with the sample pictures as items for the random-pair distribution."""
    folder = tmp_path_factory.mktemp("moments")
    write_scenes(folder / "scenes.mp4", 0, 14)
    rows = [{"item_id": "scenes", "kind": "video", "videos": ["scenes.mp4"]}]
    rows += [
        {"item_id": path.stem, "title": path.stem.replace("-", " "), "images": [str(path)]}
        for path in sorted(PICTURES.glob("*.jpg"))[:20]
    ]
    (folder / "catalogue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    database = firstsight.open(folder / "db", encoder=starter, policy=firstsight.MediaPolicy(allow_anywhere=True))
    database.index(folder / "catalogue.jsonl")
    return database


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "start_s", "end_s"), [("a guitar", 3, 7), ("an alarm clock", 7, 12), ("bananas", 0, 3)]
)
def test_the_moment_of_a_scene_is_found_to_the_second(
    text: str, start_s: float, end_s: float, db: firstsight.Database
) -> None:
    (result,) = db.search(text, kinds=["video"], moments=True)
    assert result.moments
    best = result.moments[0]
    assert (best.start_s, best.end_s) == pytest.approx((start_s, end_s), abs=1.01)
    assert best.score == pytest.approx(max(float(v.vector @ db.encoder.encode_texts([text])[0]) for v in frames(db)))
    assert Path(best.uri).name == "scenes.mp4"


def frames(db: firstsight.Database) -> list[View]:
    return [view for view in db.get("scenes").views if view.part == "frame"]


def test_auto_has_kept_a_frame_of_each_scene_with_its_bounds(db: firstsight.Database) -> None:
    assert [view.start_s for view in frames(db)] == pytest.approx([0, 3, 7, 12], abs=1.01)
    assert [view.end_s for view in frames(db)] == pytest.approx([3, 7, 12, 14], abs=1.01)


def test_moments_are_given_only_where_they_are_asked_for(db: firstsight.Database) -> None:
    assert all(result.moments is None and "moments" not in result.to_dict() for result in db.search("a guitar"))
    product = next(result for result in db.search("a guitar", moments=True) if result.kind == "product")
    assert product.moments == ()
    with pytest.raises(QueryError, match="moments must be true or false, not 'yes'"):
        firstsight.Query("a guitar", moments="yes")  # type: ignore[arg-type]


def test_asking_for_moments_changes_no_ranking(db: firstsight.Database) -> None:
    asked = [[(r.item_id, r.score) for r in db.search("a guitar", moments=moments)] for moments in (False, True)]
    assert asked[0] == asked[1]


@pytest.mark.slow
def test_the_command_prints_moments_and_writes_them_on_the_page(
    db: firstsight.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.cli.calling import call_in_process, parse_json_lines

    run = partial(call_in_process, monkeypatch, capsys, "search", "a guitar", "--kind", "video", "--moments")
    page = tmp_path / "page.html"
    code, out, _ = run("--db", db.uri, "--html", str(page))
    assert code == 0
    (moment, *_) = parse_json_lines(out)[0]["moments"]
    assert set(moment) == {"uri", "start_s", "end_s", "score", "view_id"}
    assert f"0:{moment['start_s']:04.1f} to 0:{moment['end_s']:04.1f}" in page.read_text()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = run("--db", db.uri)
    assert f"0:0{int(moment['start_s'])}-0:0{int(moment['end_s'])}" in out


@pytest.mark.slow
def test_the_command_and_the_page_say_where_a_clip_begins(
    db: firstsight.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.cli.calling import call_in_process, parse_json_lines

    cut, page = write_scenes(tmp_path / "cut.mp4", 1.1, 8.1), tmp_path / "page.html"
    run = partial(call_in_process, monkeypatch, capsys, "search", "--video", str(cut), "--db", db.uri)
    code, out, _ = run("--html", str(page))
    assert code == 0
    clip = parse_json_lines(out)[0]["clip"]
    assert clip["offset_s"] == pytest.approx(1.1, abs=0.3)
    tenth = round(clip["offset_s"], 1)
    assert f"contains {clip['share']:.0%} of the clip, which begins at 0:{tenth:04.1f}" in page.read_text()
    _, out, _ = run("--columns", "item,clip_at", "--csv")
    assert out.splitlines()[:2] == ["item,clip_at", f"scenes,{clip['offset_s']:g}"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = run()
    assert f"0:{tenth:04.1f}" in out
