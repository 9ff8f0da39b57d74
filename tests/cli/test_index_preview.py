"""`firstsight index` says what it takes each column for; --dry-run stops after that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import Run, call_on_a_terminal, parse_json_lines
from tests.indexer.shop import make_shop, picture, write_csv


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    rows = [
        {
            "sku": row["item_id"],
            "Name, long": "unused",
            "Produkt": row["title"],
            "Preis": "1.234,50 €",
            "Bild": row["images"],
            "thumbnail": "small.png",
            "parent": "p",
            "color": colour,
        }
        for row, colour in zip(make_shop(tmp_path, 4), ("red", "blue", "red", "green"), strict=True)
    ]
    rows[3]["Bild"] = rows[2]["Bild"]
    return write_csv(tmp_path / "shop.csv", rows)


TABLE = """\
shop.csv: CSV, 3 items, 1 more row is a variant of one of them
column      read as   filled  example
sku         item_id    100 %  item-0
Name, long  title      100 %  unused
Produkt     column     100 %  thing number 0
Preis       price      100 %  1.234,50 €
Bild        images     100 %  0.png
thumbnail   column     100 %  small.png
parent      group_id   100 %  p
color       column     100 %  red
thumbnail: a small copy of 'Bild'
"""


def test_dry_run_prints_columns_and_three_items_and_writes_nothing(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # this encoder does not exist, so loading it would fail
    arguments = ["index", "shop.csv", "--db", "db", "--dry-run", "--encoder", "open_clip:none/none"]
    code, out, err = call_on_a_terminal(monkeypatch, capsys, *arguments, "--map", 'title="Name, long"')
    assert code == 0
    assert err.startswith(TABLE)
    assert out == ""
    assert "\n\nitem-2 (product)\n  title        unused\n  images       2.png\n" in err
    assert '  variant_ids  ["item-2", "item-3"]' in err
    assert "  price        1234.5\n" in err
    assert not (tmp_path / "db").exists()


def test_dry_run_prints_json_in_a_pipe_and_the_table_unless_quiet(run: Run, catalogue: Path, tmp_path: Path) -> None:
    code, out, err = run("index", str(catalogue), "--db", str(tmp_path / "db"), "--dry-run")
    assert code == 0
    (preview,) = parse_json_lines(out)
    assert [use["field"] for use in preview["columns"]][:5] == ["item_id", "", "", "price", "images"]
    assert [item["item_id"] for item in preview["first_items"]] == ["item-0", "item-1", "item-2"]
    assert preview["first_items"][0]["columns"]["currency"] == "EUR"
    assert (preview["items"], preview["merged_variants"]) == (3, 1)
    assert "Bild" in err
    assert run("index", str(catalogue), "--db", str(tmp_path / "db"), "--dry-run", "--quiet", "--json")[2] == ""


def test_dry_run_is_exit_code_3_if_media_columns_cannot_be_used(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "c.jsonl"
    source.write_text(json.dumps({"id": 1, "image": "data:image/png;base64,iVBORw0KGgo="}) + "\n")
    code, out, err = run("index", str(source), "--db", str(tmp_path / "db"), "--dry-run")
    assert code == 3
    assert parse_json_lines(out)[0]["no_media_used"]
    assert "data: addresses and base64 are not supported" in err


def test_a_run_begins_with_the_table_unless_quiet(run: Run, catalogue: Path, tmp_path: Path) -> None:
    index = ("index", str(catalogue), "--db", str(tmp_path / "db"), "--drop", "color", "--map", "title=Produkt")
    code, out, err = run(*index)
    (report,) = parse_json_lines(out)
    assert (code, report["format"], report["merged_variants"]) == (0, "CSV", 1)
    assert [use["field"] for use in report["columns"]] == [
        "item_id",
        "",
        "title",
        "price",
        "images",
        "",
        "group_id",
        "",
    ]
    assert "color       dropped    100 %  red" in err
    assert "1 row is a variant in the item of another row" in err
    assert run(*index, "--quiet")[2] == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--map", "titel=a"), "did you mean title?"),
        (("--map", 'title="a'), "is not closed"),
        (("--drop", '"a'), "a quote is not closed"),
        (("--variants", "colour"), "'colour' is not one of picture, product, variant"),
        (("--dry-run", "--retry"), "without --retry"),
        (("--map", "title=Produc"), "did you mean Produkt?"),
    ],
)
def test_wrong_options_name_the_remedy(
    run: Run, catalogue: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    code, _, err = run("index", str(catalogue), "--db", str(tmp_path / "db"), *options)
    assert code == 2 if "Produc" not in str(options) else code != 0
    assert said in " ".join(err.replace("│", "").split())


def test_files_left_out_of_a_folder_are_reported_once(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "red.png").write_bytes(picture(1))
    (folder / "red.psd").write_bytes(b"8BPS")
    for more in ([], ["--quiet"], ["--dry-run"]):
        err = run("index", str(folder), "--db", str(tmp_path / "db"), *more)[2]
        assert err.count("1 file is left out") == 1, err


def test_variants_and_repeated_maps_are_options(run: Run, catalogue: Path, tmp_path: Path) -> None:
    base = ("index", str(catalogue), "--db", str(tmp_path / "db"), "--dry-run", "--quiet")
    _, out, _ = run(*base, "--variants", "product", "--map", "title=Produkt", "--map", 'text="Name, long"')
    (preview,) = parse_json_lines(out)
    assert preview["items"] == 1
    assert preview["first_items"][0]["text"] == "unused"
    assert preview["first_items"][0]["images"] == ["0.png", "1.png", "2.png"]


def test_examples_are_addresses_and_names_and_empty_columns_stand_in_one_line(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "c.json"
    rows = [
        {
            "id": 1,
            "name": "Shoe",
            "gallery": [None, {"alt": "front", "src": "https://cdn.example/a.jpg"}],
            "category": {"id": 7, "name": "Hoodies"},
            "size": [],
            "barcode": None,
        }
    ]
    source.write_text(json.dumps(rows))
    lines = run("index", str(source), "--db", str(tmp_path / "db"), "--dry-run")[2].splitlines()
    assert "gallery   images     100 %  https://cdn.example/a.jpg" in lines
    assert "category  category   100 %  Hoodies" in lines
    assert "empty: size, barcode" in lines
    assert not any(line.startswith(("barcode", "size")) for line in lines)


def test_products_that_a_shop_does_not_show_are_named_by_dry_run_and_run(run: Run, tmp_path: Path) -> None:
    drafts = {5: "draft", 6: "archived"}
    rows = [
        {"Handle": f"pot-{n}", "Title": f"Pot {n}", "Variant SKU": f"s{n}", "Status": drafts.get(n, "active")}
        for n in range(8)
    ]
    source = write_csv(tmp_path / "export.csv", [row | {"Image Src": "", "Variant Price": "5.00"} for row in rows])
    for extra in (("--dry-run",), ()):
        code, out, err = run("index", str(source), "--db", str(tmp_path / "db"), *extra)
        (report,) = parse_json_lines(out)
        assert code == 0
        assert report["notes"] == [f"1 left out: products with status {status}" for status in drafts.values()]
        assert [err.count(note) for note in report["notes"]] == [1, 1], err
