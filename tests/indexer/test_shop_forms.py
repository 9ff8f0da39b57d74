"""One shop in nine forms gives the same items, with no flag but --allow-private for the pictures on loopback."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import call_in_process
from tests.indexer.shop_forms import DESCRIPTIONS, FORMS, ITEMS

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """Address of the folder of sample pictures, served on loopback."""
    handler = functools.partial(_QuietHandler, directory=str(PICTURES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_one_shop_gives_the_same_items(
    form: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = FORMS[form](tmp_path, base)
    db = tmp_path / "db"
    code, out, err = call_in_process(
        *(monkeypatch, capsys), "index", str(source), "--db", str(db), "--allow-private", "--json"
    )
    assert code == 0, err
    counts = json.loads(out)["counts"]
    assert (counts["items"], counts["failed_media"], counts["failed_texts"]) == (len(ITEMS), 0, 0)
    database = firstsight.open(db)
    for item_id, (title, price, pictures) in ITEMS.items():
        item = database.get(item_id)
        views = sorted(str(view.uri) for view in item.views if view.part == "image")
        assert views == sorted(base + picture for picture in pictures)
        assert (item.title, item.text) == (title, DESCRIPTIONS[item_id])
        assert item.columns["price"] == pytest.approx(price)
    shoes = {database.get(f"RUN-{color}-41").columns["group_id"] for color in ("SKY", "RED", "GREEN")}
    assert len(shoes) == 1
    assert None not in shoes
