"""Taxonomy files of Google's and Shopify's forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firstsight.errors import TagError
from firstsight.understanding.tags.labels.taxonomy import read_taxonomy

GOOGLE = """# Google_Product_Taxonomy_Version: 2021-09-21
1 - Animals & Pet Supplies
166 - Apparel & Accessories
1604 - Apparel & Accessories > Clothing
212 - Apparel & Accessories > Clothing > Shirts & Tops
187 - Apparel & Accessories > Shoes
"""

SHOPIFY = """# Shopify Product Taxonomy - Categories: 2024-07
# Format: {GID} : {Ancestor name} > ... > {Category name}

gid://shopify/TaxonomyCategory/aa   : Apparel & Accessories
gid://shopify/TaxonomyCategory/aa-1 : Apparel & Accessories > Clothing
gid://shopify/TaxonomyCategory/aa-8 : Apparel & Accessories > Shoes
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_google_lines_with_ids(tmp_path: Path) -> None:
    taxonomy = read_taxonomy(write(tmp_path / "google.txt", GOOGLE))
    assert taxonomy.names[:2] == ("Animals & Pet Supplies", "Apparel & Accessories")
    assert taxonomy.find("1604") == "Apparel & Accessories > Clothing"
    assert taxonomy.find("shirts & tops") == "Apparel & Accessories > Clothing > Shirts & Tops"
    assert taxonomy.find("Apparel & Accessories>Shoes") == "Apparel & Accessories > Shoes"
    assert taxonomy.find("Boats") is None


def test_lines_without_ids_and_missing_parents(tmp_path: Path) -> None:
    taxonomy = read_taxonomy(write(tmp_path / "own.txt", "Home > Kitchen > Cups\nHome > Bath > Cups\n"))
    assert taxonomy.names == ("Home", "Home > Bath", "Home > Bath > Cups", "Home > Kitchen", "Home > Kitchen > Cups")
    assert taxonomy.find("Cups") is None  # two categories end like this
    assert taxonomy.find("Bath") == "Home > Bath"


def test_shopify_text_and_json_give_the_same_taxonomy(tmp_path: Path) -> None:
    prefix = "gid://shopify/TaxonomyCategory/"
    categories = [
        {"id": f"{prefix}aa", "name": "Apparel & Accessories", "full_name": "Apparel & Accessories", "level": 0},
        {"id": f"{prefix}aa-1", "name": "Clothing", "full_name": "Apparel & Accessories > Clothing", "level": 1},
        {"id": f"{prefix}aa-8", "name": "Shoes", "full_name": "Apparel & Accessories > Shoes", "level": 1},
    ]
    plain = {"version": "2024-07", "verticals": [{"name": "Apparel", "prefix": "aa", "categories": categories}]}
    text = read_taxonomy(write(tmp_path / "categories.txt", SHOPIFY))
    parsed = read_taxonomy(write(tmp_path / "taxonomy.json", json.dumps(plain)))
    assert text == parsed
    assert text.find(f"{prefix}aa-8") == text.find("aa-8") == "Apparel & Accessories > Shoes"


def test_branches_keep_what_is_below_and_above(tmp_path: Path) -> None:
    taxonomy = read_taxonomy(write(tmp_path / "google.txt", GOOGLE))
    assert taxonomy.branches(["Clothing"]).names == (
        "Apparel & Accessories",
        "Apparel & Accessories > Clothing",
        "Apparel & Accessories > Clothing > Shirts & Tops",
    )
    with pytest.raises(TagError, match="no category 'Boats'"):
        taxonomy.branches(["Boats"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Home > > Cups\n", "line 1: 'Home > > Cups' is no path"),
        ("# nothing\n", "has no categories"),
        ('{"verticals": [{"categories": [{"id": 5}]}]}', "category 1: it has no id and full_name"),
        ('{"products": []}', "no list verticals"),
        ('{"verticals": [', "is no JSON"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "wrong.txt", text)
    with pytest.raises(TagError, match=message) as error:
        read_taxonomy(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TagError, match="cannot be read"):
        read_taxonomy(tmp_path / "none.txt")
