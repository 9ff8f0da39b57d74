"""`firstsight watch`, as people and programs call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import Run, call_in_process, parse_json_lines
from tests.media.streams import FolderServer, grey_clip, write_hls


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("FIRSTSIGHT_DB", str(tmp_path / "db"))
    return partial(call_in_process, monkeypatch, capsys)


@pytest.mark.slow
def test_a_file_to_its_end_one_line_an_update_and_the_report_last(run: Run, tmp_path: Path) -> None:
    clip = grey_clip(tmp_path / "c.ts", 4)
    code, out, err = run(
        "watch", str(clip), "--item", "a", "--title", "A clip", "--every", "1", "--update", "0", "--json"
    )
    assert code == 0, err
    *updates, report = parse_json_lines(out)
    assert updates
    assert [update["updates"] for update in updates] == list(range(1, len(updates) + 1))
    assert (report["outcome"], report["counts"]["frames"], report["item_id"]) == ("finished", 4, "a")
    assert "4 frames, 4 of them in the index" in err
    code, out, _ = run("status", "--json")
    assert code == 0
    assert parse_json_lines(out)[0]["runs"][-1]["outcome"] == "finished"


@pytest.mark.slow
def test_what_is_wrong_is_said_in_one_sentence_with_its_code(run: Run, tmp_path: Path) -> None:
    clip = grey_clip(tmp_path / "c.ts", 1)
    assert run("watch", str(clip), "--item", "a")[0] == 2  # there is no database
    code, _, err = run("watch", str(clip), "--item", "a", "--title", "A", "--every", "0")
    assert code == 2
    assert "every_s must be above 0" in err
    code, _, err = run("watch", "http://127.0.0.1:9/live.m3u8", "--item", "a", "--title", "A")
    assert code == 1
    assert "--allow-private" in err
    code, _, err = run("watch", str(clip), "--item", "a")
    assert code == 2
    assert "give it a --title" in err


@pytest.mark.slow
def test_ctrl_c_writes_what_has_come_and_ends_with_130(tmp_path: Path) -> None:
    """In a process group of its own, as under a terminal; long after the last frame, so that nothing else wakes it."""
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "c.ts", 2), ended=False)
    server = FolderServer(tmp_path / "hls")
    try:
        command = [sys.executable, "-m", "firstsight", "watch", server.url("live.m3u8"), "--allow-private", "--json"]
        process = subprocess.Popen(
            [*command, "--item", "a", "--title", "A", "--every", "1", "--update", "0", "--db", str(tmp_path / "db")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["updates"] == 1
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    finally:
        server.stop()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopping: received frames are written first" in err
    report = parse_json_lines(out)[-1]
    assert report["outcome"] == "stopped"
    views = firstsight.open(tmp_path / "db").get("a").views
    assert sum(view.part == "frame" for view in views) == report["counts"]["frames"]


@pytest.mark.slow
def test_a_page_says_that_a_streams_pictures_are_not_kept(run: Run, tmp_path: Path) -> None:
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "c.ts", 2), ended=True)
    server = FolderServer(tmp_path / "hls")
    code, _, err = run("watch", server.url("live.m3u8"), "--item", "a", "--title", "A show", "--allow-private")
    server.stop()
    assert code == 0, err
    assert run("search", "show", "--html", str(tmp_path / "page.html"))[0] == 0
    assert "a live stream; its pictures are not kept" in (tmp_path / "page.html").read_text()
    code, out, _ = run("search", "show", "--moments", "--json")
    assert code == 0
    assert parse_json_lines(out)[0]["item_id"] == "a"
