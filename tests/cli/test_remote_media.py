"""`firstsight index` over http: what is kept on disk, and what is asked for again."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.cli.calling import Run, parse_json_lines
from tests.indexer.shop import picture, write_jsonl
from tests.media.conftest import Server


@pytest.fixture
def answered() -> list[int]:
    return []


@pytest.fixture
def catalogue(server: Server, answered: list[int], tmp_path: Path) -> Path:
    def route(request: BaseHTTPRequestHandler) -> None:
        status = 304 if request.headers["If-None-Match"] == '"v1"' else 200
        answered.append(status)
        body = picture(1) if status == 200 else b""
        request.send_response(status)
        request.send_header("ETag", '"v1"')
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.routes["/a.png"] = route
    return write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "images": [server.url("/a.png")]}])


@pytest.mark.slow
def test_another_database_is_made_from_what_is_kept(
    run: Run, catalogue: Path, answered: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTSIGHT_MEDIA_CACHE", str(tmp_path / "kept"))
    for db in ("one", "two"):
        code, out, err = run("index", str(catalogue), "--db", str(tmp_path / db), "--allow-private")
        assert code == 0, err
        assert parse_json_lines(out)[0]["counts"]["pictures"] == 1
    assert answered == [200, 304]


@pytest.mark.slow
def test_refresh_media_asks(run: Run, catalogue: Path, answered: list[int], tmp_path: Path) -> None:
    command = ["index", str(catalogue), "--db", str(tmp_path / "db"), "--allow-private"]
    run(*command)
    run(*command)
    assert answered == [200]
    _, out, _ = run(*command, "--refresh-media")
    assert answered == [200, 304]
    assert parse_json_lines(out)[0]["counts"]["unchanged"] == 1


def test_a_folder_that_cannot_be_used_ends_the_command(run: Run, catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    command = ["index", str(catalogue), "--db", str(tmp_path / "db"), "--media-cache", str(tmp_path / "file")]
    code, _, err = run(*command)
    assert code == 1
    assert "name another folder with --media-cache" in err
