"""The README shows what --dry-run prints for a small catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import firstsight
from firstsight.cli.catalogue.index_preview import preview_lines
from tests.indexer.shop import write_csv

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")

CUP = {
    "Name": "Espresso cup",
    "Body (HTML)": "<p>Stoneware &amp; glaze</p>",
    "item_group_id": "cup",
    "Regular price": "€ 1.059,50",
    "image_link": "pictures/espresso-cup.jpg",
    "more_images": "pictures/espresso-cup-close.jpg, pictures/espresso-cup.jpg",
}
FEED = [
    {"sku": "CUP-S", "Size": "S", "thumbnail": "thumbs/cup.jpg", "EAN": "401"} | CUP,
    {"sku": "CUP-L", "Size": "L", "EAN": "402"} | CUP,
    {
        "sku": "KETTLE",
        "Name": "Electric kettle",
        "Body (HTML)": "<p>Boils 1.5 litres</p>",
        "Regular price": "34,00 €",
        "image_link": "pictures/electric-kettle.png",
        "EAN": "403",
    },
]
ORDER = [
    "sku",
    "Name",
    "Body (HTML)",
    "item_group_id",
    "Regular price",
    "Size",
    "image_link",
    "more_images",
    "thumbnail",
]


def test_the_readme_shows_the_preview_of_this_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("feed.csv"), [{name: row.get(name, "") for name in [*ORDER, "EAN"]} for row in FEED])
    printed = "\n".join(preview_lines(firstsight.open("db").indexing.preview("feed.csv")))
    (block,) = re.findall(
        r"^```text\n\$ firstsight index feed.csv --dry-run\n(.*?)\n```", README, re.MULTILINE | re.DOTALL
    )
    assert printed == block
