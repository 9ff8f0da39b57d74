"""The number of open files of a service does not grow with the number of writes or searching threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from firstsight.service.service_settings import ServiceSettings
from firstsight.storage import sessions
from tests.indexer.shop import ColourEncoder
from tests.service.conftest import serving
from tests.storage.open_files import make_text_heavy_database, open_files

pytestmark = pytest.mark.slow

MAX_REPLACED = 6
"""In place of the package's own number, so that a session is replaced after fewer writes."""


def test_writes_beside_searches_leave_no_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_REPLACED", MAX_REPLACED)
    db = make_text_heavy_database(tmp_path, ColourEncoder())
    seen = []
    with serving(ServiceSettings(db=str(db), encoder=ColourEncoder())) as client, ThreadPoolExecutor(4) as pool:
        for n in range(MAX_REPLACED // 2 + 6):
            row = {"item_id": f"new-{n}", "title": f"cup {n}"}
            assert client.post("/items", json={"items": [row]}).status_code == 200
            asked = [{"text": f"cup {n}", "k": 1, "mode": mode} for mode in ("hybrid", "words", "hybrid", "words")]
            answers = list(pool.map(lambda body: client.post("/search", json=body).json(), asked))
            assert {answer["results"][0]["item_id"] for answer in answers} == {row["item_id"]}
            seen.append(len(open_files(db)))
    assert seen[0] > 0  # else this tests nothing
    assert max(seen) <= MAX_REPLACED + 4
