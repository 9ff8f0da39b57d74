"""The text of --map and --drop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import FIELDS, MEDIA
from firstsight.indexer.columns.mapping_text import format_mapping, format_names, parse_mapping, parse_names

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
mappings = st.dictionaries(st.sampled_from(FIELDS), st.lists(names, min_size=1, max_size=3).map(tuple), max_size=4).map(
    lambda drawn: {ours: theirs if ours in MEDIA else theirs[:1] for ours, theirs in drawn.items()}
)


@given(mappings)
def test_a_mapping_is_parsed_as_it_was_written(mapping: dict[str, tuple[str, ...]]) -> None:
    assert parse_mapping(format_mapping(mapping)) == mapping


@given(st.lists(names.map(str.strip).filter(bool), max_size=5))
def test_names_are_parsed_as_they_were_written(columns: list[str]) -> None:
    assert parse_names(format_names(columns)) == columns


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ('title="Name, long",images="Image A"+"Image B"', {"title": ("Name, long",), "images": ("Image A", "Image B")}),
        ('title=it\'s, text = "5"" wide"', {"title": ("it's",), "text": ('5" wide',)}),
        ('title="a=b"', {"title": ("a=b",)}),
        ('title=Size 5" wide', {"title": ('Size 5" wide',)}),
        ("title=Body (HTML)", {"title": ("Body (HTML)",)}),
        ("", {}),
    ],
)
def test_names_can_be_quoted(text: str, mapping: dict[str, tuple[str, ...]]) -> None:
    assert parse_mapping(text) == mapping


def test_several_options_are_joined_and_later_ones_win() -> None:
    assert parse_mapping("title=a,text=b", "title=c") == {"title": ("c",), "text": ("b",)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('title="open', "a quote is not closed"),
        ('title="a"b', "text beside a quoted name"),
        ("title=a=b", "not of the form"),
        ("titel=a", "did you mean title?"),
        ("image=a", "did you mean images?"),
        ("sale-price=a", "did you mean sale_price"),
        ("title=", "not of the form"),
        ("=a", "not of the form"),
        ("images=a++b", "not of the form"),
        ("title", "not of the form"),
    ],
)
def test_errors_name_the_remedy(text: str, said: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse_mapping(text)
    assert said in str(caught.value)


def test_an_open_quote_in_drop_is_an_error() -> None:
    with pytest.raises(CatalogError, match="a quote is not closed"):
        parse_names('a,"b')
