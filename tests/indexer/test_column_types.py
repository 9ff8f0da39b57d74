"""Types of stored columns that change in an index run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lancedb.table import LanceTable

import firstsight
from firstsight.errors import CatalogError
from firstsight.indexer.columns.column_types import parse_types
from firstsight.storage.columns import ColumnKind
from firstsight.storage.store import Store
from firstsight.storage.tables import CONVERSION_COLUMNS
from tests.indexer.shop import index, write_csv


class Shop:
    """A catalogue of titles and its database."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "db"
        self.file = folder / "shop.csv"

    def index(self, rows: list[dict[str, Any]], types: Mapping[str, ColumnKind] | None = None, **how: Any) -> Any:
        """Index rows; each gets a title."""
        write_csv(self.file, [{"title": "thing", **row} for row in rows])
        bad = how.pop("skip_bad_rows", False)
        return index(self.db, self.file, options=firstsight.CatalogOptions(types=types or {}, skip_bad_rows=bad), **how)

    def column(self, name: str) -> dict[str, object]:
        """Values of a column by item id."""
        rows = Store.open(self.db).items.search().select(["item_id", name]).limit(None).to_list()
        return {row["item_id"]: row[name] for row in rows}

    def kind(self, name: str) -> ColumnKind:
        return Store.open(self.db).column_kinds()[name]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def weights(*values: object, start: int = 0) -> list[dict[str, Any]]:
    return [{"item_id": f"i{n}", "weight": value} for n, value in enumerate(values, start)]


def test_a_text_column_becomes_a_number_when_all_its_values_are_numbers(shop: Shop) -> None:
    shop.index(weights("on request", "12", "13.50"))
    assert shop.kind("weight") == "text"
    report = shop.index(weights("11", "12", "13.50"))
    assert shop.column("weight") == {"i0": 11.0, "i1": 12.0, "i2": 13.5}
    (change,) = report.type_changes
    assert (change.column, change.before, change.after, change.lost) == ("weight", "text", "number", 0)
    assert report.counts.encoded == 0
    assert shop.index(weights("11", "12", "13.50")).counts.unchanged == 3


def test_values_of_other_items_must_fit_too(shop: Shop) -> None:
    shop.index(weights("on request", "12"))
    report = shop.index(weights("13", "14", start=1))
    assert shop.kind("weight") == "text"
    assert shop.column("weight") == {"i0": "on request", "i1": "13", "i2": "14"}
    (change,) = report.type_changes
    assert "item 'i0' has 'on request'. --types weight=number converts it" in change.message
    assert shop.index(weights("9", "13", "14")).type_changes[0].after == "number"


def test_a_value_of_a_skipped_row_is_not_lost(shop: Shop) -> None:
    shop.index(weights("on request", "12"))
    rows = weights("13", "14", start=1)
    report = shop.index([{"item_id": "i0", "weight": "7", "kind": "film"}, *rows], skip_bad_rows=True)
    assert report.type_changes[0].after == "text"
    assert shop.column("weight")["i0"] == "on request"


@pytest.mark.parametrize(
    ("before", "now", "kind", "kept"),
    [
        ("maybe", "true", "flag", True),
        ("x", "1e3", "number", 1000.0),
    ],
)
def test_text_becomes_the_kind_that_the_new_values_have(
    shop: Shop, before: str, now: str, kind: ColumnKind, kept: object
) -> None:
    shop.index(weights(before))
    shop.index(weights(now))
    assert (shop.kind("weight"), shop.column("weight")) == (kind, {"i0": kept})


def test_texts_with_leading_zeros_stay_texts(shop: Shop) -> None:
    shop.index(weights("007", "x"))
    shop.index(weights("12", start=1))
    assert shop.column("weight") == {"i0": "007", "i1": "12"}
    assert shop.kind("weight") == "text"


def test_a_user_can_make_a_column_a_number_and_learns_what_was_lost(shop: Shop) -> None:
    shop.index(weights("on request", "007", "ask us", "12"))
    report = shop.index(weights("8", start=3), types={"weight": "number"})
    assert shop.column("weight") == {"i0": None, "i1": 7.0, "i2": None, "i3": 8.0}
    (change,) = report.type_changes
    assert change.lost == 2
    assert "2 stored values were no number, such as 'on request' of item 'i0', and became empty" in change.message


def test_new_values_that_do_not_fit_the_wanted_type_are_errors_of_rows(shop: Shop) -> None:
    with pytest.raises(CatalogError, match=r"line 3: column 'weight': 'ask' is not a number, as --types number says"):
        shop.index(weights("1", "ask"), types={"weight": "number"})


def test_a_number_column_refuses_text_and_names_the_remedy(shop: Shop) -> None:
    shop.index(weights("52", "52.5"))
    with pytest.raises(CatalogError) as refused:
        shop.index(weights("52", "ask"))
    said = str(refused.value)
    assert "column 'weight': 'ask' is not a number, as it is in the database" in said
    assert "--types weight=text" in said
    shop.index(weights("ask", start=2), types={"weight": "text"})
    assert shop.column("weight") == {"i0": "52", "i1": "52.5", "i2": "ask"}


def test_a_type_that_a_user_has_chosen_stays(shop: Shop) -> None:
    shop.index(weights("12", "13"), types={"weight": "text"})
    assert shop.kind("weight") == "text"
    assert shop.index(weights("12", "13")).type_changes == ()
    assert shop.kind("weight") == "text"


def test_texts_become_times_and_flags_when_a_user_says_so(shop: Shop) -> None:
    rows = [
        {"item_id": "i0", "sold, at": "2026-05-01", "new": "yes", "stock": 1},
        {"item_id": "i1", "sold, at": "2026-05-01T12:00+02:00", "new": "no", "stock": 0},
    ]
    shop.index(rows)
    assert shop.kind("sold, at") == "text"
    types: dict[str, ColumnKind] = {"sold, at": "time", "new": "flag", "stock": "flag"}
    report = shop.index(rows, types=types)
    assert shop.column("sold, at") == {
        "i0": datetime(2026, 5, 1, tzinfo=UTC),
        "i1": datetime(2026, 5, 1, 10, tzinfo=UTC),
    }
    assert shop.column("new") == shop.column("stock") == {"i0": True, "i1": False}
    assert [change.lost for change in report.type_changes] == [0, 0, 0]
    assert shop.index(rows).counts.unchanged == 2  # the database keeps the choice


def test_a_new_column_without_values_gets_its_type_with_the_first_value(shop: Shop) -> None:
    shop.index(weights("", ""))
    assert "weight" not in Store.open(shop.db).column_kinds()
    shop.index(weights("", "", ""), types={"weight": "number"})
    assert (shop.kind("weight"), shop.column("weight")) == ("number", {"i0": None, "i1": None, "i2": None})


def test_ids_of_products_are_texts(shop: Shop) -> None:
    shop.index([{"item_id": "i0", "group_id": "12"}])
    assert shop.column("group_id") == {"i0": "12"}
    with pytest.raises(CatalogError, match="group_id: this column always has the type"):
        shop.index([{"item_id": "i0", "group_id": "12"}], types={"group_id": "number"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("weigth", "--types weigth: there is no column 'weigth'; did you mean 'weight'?"),
        ("colour", "there is no column 'colour'; the columns are weight"),
        ("title", "--types title: this column always has the type that firstsight gives it"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_written(shop: Shop, name: str, said: str) -> None:
    with pytest.raises(CatalogError) as refused:
        shop.index(weights("1"), types={name: "number"})
    assert said in str(refused.value)
    assert not shop.db.exists()


def test_a_stored_column_that_the_catalogue_lacks_can_change_its_type(shop: Shop) -> None:
    shop.index(weights("12", "x"))
    shop.index([{"item_id": "i9"}], types={"weight": "number"})
    assert shop.column("weight") == {"i0": 12.0, "i1": None, "i9": None}


def test_a_retry_changes_no_type(shop: Shop, tmp_path: Path) -> None:
    from tests.indexer.shop import ColourEncoder

    rows = [{"item_id": "i0", "images": "gone.png", "weight": "12"}]
    shop.index(rows, types={"weight": "number"})
    shop.index([{"item_id": "i1", "weight": "ask"}], types={"weight": "text"})
    firstsight.open(shop.db, encoder=ColourEncoder()).indexing.retry(
        write_csv(shop.file, [{"title": "thing", **rows[0]}])
    )
    assert shop.column("weight") == {"i0": "12", "i1": "ask"}


@pytest.mark.parametrize(
    ("texts", "types"),
    [
        (["weight=number,new=flag"], {"weight": "number", "new": "flag"}),
        (["weight=number", "new=flag"], {"weight": "number", "new": "flag"}),
        (['"weight, net=number",a=b=text'], {"weight, net": "number", "a=b": "text"}),
        (['"weight, net"=number'], {"weight, net": "number"}),
        (['"the ""best"""=flag'], {'the "best"': "flag"}),
        ([""], {}),
    ],
)
def test_types_are_lists_with_quotes(texts: list[str], types: dict[str, str]) -> None:
    assert parse_types(texts) == types


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weight", "'weight' is not of the form COLUMN=TYPE"),
        ("=number", "is not of the form COLUMN=TYPE"),
        ("weight=float", "'float' is not one of number, flag, time, text"),
        ('"weight', "a quote is not closed"),
        ("a=text,a=number", "column 'a' has two types, text and number"),
    ],
)
def test_a_wrong_list_of_types_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        parse_types([text])


def test_a_value_that_would_lose_digits_needs_the_users_word(shop: Shop) -> None:
    shop.index(weights("12"))
    with pytest.raises(
        CatalogError, match=r"'007' is not a number.*--types weight=number reads such values as a number"
    ):
        shop.index(weights("007"))
    shop.index(weights("007"), types={"weight": "number"})
    assert shop.column("weight") == {"i0": 7.0}
    shop.index(weights("008"))
    assert shop.column("weight") == {"i0": 8.0}


@pytest.mark.parametrize("step", ["add_columns", "alter_columns", "drop_columns"])
def test_a_run_after_one_that_was_killed_in_a_conversion_has_the_same_result(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    shop.index(weights("on request", "12"))

    def kill(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LanceTable, step, kill)
        with pytest.raises(KeyboardInterrupt):
            shop.index(weights("11", "12"))
    shop.index(weights("11", "12"))
    assert shop.column("weight") == {"i0": 11.0, "i1": 12.0}
    assert not set(CONVERSION_COLUMNS) & set(Store.open(shop.db).items.schema.names)
