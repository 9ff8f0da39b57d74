"""The service as a process: it starts, finishes open requests at a stop, and a kill loses no acknowledged write."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import firstsight
from firstsight.service.api_keys import KeyFile
from tests.service.conftest import StartService

pytestmark = pytest.mark.slow


def colour_of(writer: int, n: int) -> tuple[int, int, int]:
    """A colour of its own for every picture that is posted."""
    return 80 * writer, 2 * n % 256, 255 - n % 256


def picture_of(writer: int, n: int) -> str:
    """A picture of that colour, as a data URI."""
    buffer = io.BytesIO()
    Image.new("RGB", (80, 80), colour_of(writer, n)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_what_is_in_flight_ends_before_the_process_does(start_service: StartService, own_db: Path) -> None:
    running = start_service("--db", str(own_db), "--port", "0")
    running.wait_ready()
    rows = [{"item_id": f"item-{n}", "title": f"a thing of number {n}"} for n in range(200)]
    answers: list[httpx.Response] = []
    posting = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{running.address}/items", json={"items": rows}, timeout=60))
    )
    posting.start()
    in_flight = "firstsight_requests_in_flight 2.0"  # the post, and the question itself
    while in_flight not in httpx.get(f"{running.address}/metrics").text:
        assert posting.is_alive()
    host, port = running.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:  # a head without end
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    running.process.send_signal(signal.SIGTERM)
    posting.join(60)
    assert answers[0].status_code == 200
    assert answers[0].json()["counts"]["encoded"] == 200
    assert running.process.wait(60) in (0, -signal.SIGTERM)
    assert "item-199" in firstsight.open(own_db)
    lines = [json.loads(line[line.index("{") :]) for line in running.log if '"path": "/items"' in line]
    assert [(line["status"], line["method"]) for line in lines] == [(200, "POST")]


def test_what_was_acknowledged_before_a_kill_is_there(start_service: StartService, own_db: Path) -> None:
    running = start_service("--db", str(own_db), "--port", "0")
    running.wait_ready()
    acknowledged: list[str] = []
    deleted: list[str] = []

    def write(writer: int) -> None:
        with httpx.Client(base_url=running.address, timeout=30) as client:
            for n in range(1_000):
                item_id = f"w{writer}-{n}"
                row = {"item_id": item_id, "title": f"thing {item_id}", "images": [picture_of(writer, n)]}
                try:
                    posted = client.post("/items", json={"items": [row]})
                    if posted.status_code == 200:
                        acknowledged.append(item_id)
                    if n % 5 == 4 and client.delete(f"/items/{item_id}").status_code == 200:
                        deleted.append(item_id)
                except httpx.TransportError:
                    return  # killed

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    while len(acknowledged) < 12 or not deleted:
        assert any(writer.is_alive() for writer in writers)
        writers[0].join(0.01)
    running.process.kill()
    for writer in writers:
        writer.join(30)
    running.process.wait()
    again = start_service("--db", str(own_db), "--port", "0")
    again.wait_ready()
    kept = [item_id for item_id in acknowledged if item_id not in deleted]
    with httpx.Client(base_url=again.address, timeout=30) as client:
        # a delete may have been done and its answer lost: of each writer the last item alone can be such a one
        last = {item_id.partition("-")[0]: item_id for item_id in kept}
        lost = [i for i in kept if client.get(f"/items/{i}").status_code != 200 and i not in last.values()]
        assert lost == []
        assert [i for i in deleted if client.get(f"/items/{i}").status_code != 404] == []
        assert client.post("/items", json={"items": [{"item_id": "after", "title": "after"}]}).status_code == 200
        found = client.post("/search", json={"text": f"thing {kept[0]}", "mode": "words", "k": 1}).json()
        assert found["results"][0]["item_id"] == kept[0]
        for item_id in set(kept) - set(last.values()):  # each with its picture, whole
            shown = client.get("/media", params={"item_id": item_id, "size": 96})
            assert shown.status_code == 200, (item_id, shown.text)
            of, n = map(int, item_id.removeprefix("w").split("-"))
            colour = np.asarray(Image.open(io.BytesIO(shown.content)).convert("RGB"))[20, 20]
            assert np.allclose(colour, colour_of(of, n), atol=4)
    assert not [path for path in (own_db / ".uploads").iterdir() if path.stat().st_size == 0]


def test_searches_see_what_an_index_run_in_another_process_has_committed(
    writable_client: TestClient, own_db: Path
) -> None:
    client = writable_client
    catalogue = own_db.parent / "more.csv"
    rows = "".join(f"new-{n},zebra number {n} of a herd\n" for n in range(800))
    catalogue.write_text("item_id,title\n" + rows)
    command = [sys.executable, "-m", "firstsight", "index", str(catalogue), "--db", str(own_db)]
    seen: list[int] = []
    query = {"text": "zebra", "mode": "words", "k": 800}
    assert client.post("/search", json=query).json()["results"] == []
    # the first slate takes seconds, in which the index run could already end
    assert client.post("/recommend", json={"history": ["guitar-acoustic"], "k": 3}).status_code == 200
    index = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while index.poll() is None:
            answers = [
                client.post("/search", json={"text": f"shoes {len(seen)}", "k": 5}),
                client.post("/recommend", json={"history": ["guitar-acoustic"], "k": 3}),
                client.get("/items/guitar-acoustic/similar"),
            ]
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            seen.append(client.get("/ready").json()["items"])
    finally:
        index.kill()
        index.wait()
    assert index.returncode == 0
    assert client.get("/ready").json()["items"] == 875
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert len(client.post("/search", json=query).json()["results"]) == 800
    assert client.get("/items/new-799").status_code == 200


def test_several_workers_share_a_port_keys_and_figures(start_service: StartService, own_db: Path) -> None:
    _, token = KeyFile(own_db / ".keys.json").add("shop")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = start_service("--db", str(own_db), "--port", str(port), "--workers", "2")
    running.wait_ready()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.post(f"{running.address}/search", json={"text": "shoes"}).status_code == 401
    for _ in range(8):  # each over a connection of its own
        answer = httpx.post(f"{running.address}/search", json={"text": "shoes", "k": 1}, headers=headers, timeout=30)
        assert answer.status_code == 200
    figures = httpx.get(f"{running.address}/metrics", headers=headers).text
    assert 'firstsight_requests_total{method="POST",route="/search",status="200"} 8.0' in figures
    KeyFile(own_db / ".keys.json").revoke("shop")
    assert httpx.get(f"{running.address}/metrics", headers=headers).status_code == 401
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) in (0, -signal.SIGTERM)


def test_a_port_that_is_taken_is_one_sentence(capsys: pytest.CaptureFixture[str], own_db: Path) -> None:
    from firstsight.service.service_settings import ServiceSettings
    from firstsight.service.serving import ListenError, serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port} cannot be used"):
            serve(ServiceSettings(db=str(own_db), port=port))
