"""Near-duplicates collapse in search: the best item stays and lists the others, the same on every page."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image, ImageOps

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.collapse import collapse_duplicates
from firstsight.storage.store import Store
from tests.cli.calling import call_in_process, parse_json_lines

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
NAMES = ("sneakers-red", "sneakers-green", "hiking-boot", "guitar-acoustic")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> Path:
    """Four products, with a smaller and a mirrored copy of the red shoe, and the guitar as a worse JPEG."""
    folder = tmp_path_factory.mktemp("shop")
    made = {}
    for name in NAMES:
        with Image.open(next(PICTURES.glob(f"{name}.*"))) as file:
            made[name] = Image.alpha_composite(Image.new("RGBA", file.size, "white"), file.convert("RGBA")).convert(
                "RGB"
            )
    red = made["sneakers-red"]
    made["red-small"] = red.resize((red.width // 2, red.height // 2))
    made["red-mirrored"] = ImageOps.mirror(red)
    made["guitar-worse"] = made["guitar-acoustic"]
    with (folder / "c.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "images"])
        for name, picture in made.items():
            picture.save(folder / f"{name}.jpg", quality=30 if name == "guitar-worse" else 92)
            writer.writerow([name, "", f"{name}.jpg"])
    firstsight.open(folder / "db", encoder=starter).index(folder / "c.csv")
    return folder / "db"


RED = {"sneakers-red", "red-small", "red-mirrored"}
GUITARS = {"guitar-acoustic", "guitar-worse"}


def test_only_the_best_of_near_duplicates_stays_and_names_the_others(shop: Path) -> None:
    db = firstsight.open(shop)
    plain = [result.item_id for result in db.search(item="hiking-boot")]
    assert set(plain) >= RED | GUITARS
    found = db.search(item="hiking-boot", collapse="duplicates")
    ids = [result.item_id for result in found]
    assert ids == [i for i in plain if i in {ids[n] for n in range(len(ids))}]
    red = next(result for result in found if result.item_id in RED)
    assert red.item_id == next(i for i in plain if i in RED)
    assert red.duplicates is not None
    assert {red.item_id, *red.duplicates} == RED
    assert red.others == 2
    (green,) = (result for result in found if result.item_id == "sneakers-green")
    assert (green.others, green.duplicates) == (0, ())
    assert red.to_dict()["duplicates"] == list(red.duplicates)
    assert "duplicates" not in db.search(item="hiking-boot")[0].to_dict()


def test_pages_are_cut_from_the_collapsed_ranking(shop: Path) -> None:
    db = firstsight.open(shop)
    whole = [result.item_id for result in db.search(item="hiking-boot", collapse="duplicates")]
    paged = [
        db.search(Query(items=["hiking-boot"], collapse="duplicates", k=1, offset=n))[0].item_id
        for n in range(len(whole))
    ]
    assert paged == whole
    assert not db.search(Query(items=["hiking-boot"], collapse="duplicates", k=1, offset=len(whole)))


def test_an_item_goes_only_for_one_that_stays(shop: Path) -> None:
    store = Store.open(str(shop))
    kept = collapse_duplicates(store, ["red-small", "guitar-worse", "sneakers-red", "unknown", "guitar-acoustic"])
    assert kept == {"red-small": ("sneakers-red",), "guitar-worse": ("guitar-acoustic",), "unknown": ()}
    assert collapse_duplicates(store, []) == {}


def test_groups_are_listed_by_the_command(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call_in_process(monkeypatch, capsys, "duplicates", "--db", str(shop))
    assert (code, err) == (0, "")
    red, guitars = parse_json_lines(out)
    assert {red["item_id"], *(one["item_id"] for one in red["duplicates"])} == RED
    assert {guitars["item_id"], *(one["item_id"] for one in guitars["duplicates"])} == GUITARS
    assert red["size"] == 3
    evidence = guitars["duplicates"][0]
    assert evidence["kind"] == "pictures"
    assert evidence["share"] == 1.0
    assert evidence["distance"] <= 31
    assert {evidence["view_id"], evidence["other_view_id"]} == {"guitar-acoustic#image-0", "guitar-worse#image-0"}
    code, out, _ = call_in_process(monkeypatch, capsys, "duplicates", "--db", str(shop), "--item", "hiking-boot")
    assert (code, out) == (0, "")
    code, _, err = call_in_process(monkeypatch, capsys, "duplicates", "--db", str(shop), "--item", "boot")
    assert code == 2
    assert "there is no item 'boot'" in err
