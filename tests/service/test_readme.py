"""The README's service commands run as written, except for the port."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.service.conftest import StartService

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_the_readme_asks_is_answered(start_service: StartService, own_db: Path) -> None:
    _, start, asks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert shlex.split(start, comments=True) == ["firstsight", "serve"]
    running = start_service("--db", str(own_db), "--port", "0")
    running.wait_ready()
    lines = asks.replace("localhost:8000", running.address.removeprefix("http://")).splitlines()
    told = [
        json.loads(subprocess.run(["bash", "-euc", line], cwd=ROOT, capture_output=True, check=True).stdout)
        for line in lines
    ]
    by_text, by_picture, posted, slate, embedded = told
    assert by_text["results"][0]["item_id"] == "sneakers-red"
    assert "guitar" in by_picture["results"][0]["item_id"]
    assert posted["counts"]["encoded"] == 1
    assert len(slate["items"]) == 6
    assert len(embedded["data"][0]["embedding"]) == 384
