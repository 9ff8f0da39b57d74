"""Cells with several pictures: separators, lists and nested values."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.indexer.columns.media_cells import MediaColumn, read_media
from firstsight.indexer.columns.media_values import MediaFinder
from firstsight.indexer.formats.source import EmbeddedMedium
from tests.indexer.shop import picture

A, B = "https://x.example/a.jpg", "https://x.example/b.jpg"


def media(value: object, root: Path = Path("/nowhere"), *, separator: str | None = None) -> list[object]:
    column = MediaColumn("found", "images", guessed=True)
    return [medium for _, medium in read_media(value, column, MediaFinder(root), separator)]


@pytest.mark.parametrize("separator", ["|", ",", ";", " ", "\n", "\t", ", ", " | ", "; ", "\r\n", " ,\n"])
@pytest.mark.parametrize("paths", [(A, B), ("a.jpg", "pics/b.png")], ids=["addresses", "paths"])
def test_separators_are_recognised(separator: str, paths: tuple[str, str]) -> None:
    assert media(separator.join(paths)) == list(paths)
    assert media(separator.join(paths) + separator) == list(paths)


@pytest.mark.parametrize(
    "value",
    [
        "https://x.example/w_300,h_300/a.jpg",
        "https://x.example/a|b.jpg",
        "https://x.example/a;b.jpg?x=1,2|3",
        "https://x.example/fetch/https://y.example/a.jpg",
        "images/a,b.jpg",
        "my summer photo.jpg",
        "https://x.example/no-ending,still-one",
    ],
)
def test_an_address_or_path_that_contains_a_separator_is_one(value: str) -> None:
    assert media(value) == [value]


def test_addresses_that_contain_commas_are_split_between_addresses() -> None:
    first = "https://x.example/w_300,h_300/a.jpg"
    assert media(f"{first},{first}?2, {B}") == [first, f"{first}?2", B]


def test_an_existing_file_is_not_split(tmp_path: Path) -> None:
    (tmp_path / "a.jpg, b.jpg").write_bytes(picture(1))
    assert media("a.jpg, b.jpg", tmp_path) == ["a.jpg, b.jpg"]


@pytest.mark.parametrize(
    "value",
    [
        [A, B],
        [[A], [B]],
        [{"src": A, "alt": "front"}, {"src": B}],
        [{"id": 1, "url": A, "thumb": "t.jpg"}, {"url": B}],
        {"edges": [{"node": {"originalSrc": A}}, {"node": {"originalSrc": B}}]},
        {"large": [{"href": A}, {"href": B}]},
        f'["{A}", "{B}"]',
        f"['{A}', '{B}']",
        f'[{{"src": "{A}"}}, {{"src": "{B}"}}]',
        f"[{{'src': '{A}'}}, {{'src': '{B}', 'alt': None}}]",
        {"0": {"url": A}, "1": {"url": B}},
    ],
)
def test_lists_and_nested_values_are_read(value: object) -> None:
    assert media(value) == [A, B]


def test_embedded_media_are_passed_on() -> None:
    embedded = EmbeddedMedium(picture(1), "a.png")
    assert media([embedded, None, A]) == [embedded, A]


@pytest.mark.parametrize(
    "value", [None, float("nan"), "", " ", "N/A", "no_selection", "-", [], {}, [None, ""], 7, True]
)
def test_cells_without_media(value: object) -> None:
    assert media(value) == []


def test_forms_that_cannot_be_fetched_are_changed(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.jpg").write_bytes(picture(1))
    assert media("//cdn.example/a.jpg") == ["https://cdn.example/a.jpg"]
    assert media("pics\\a.jpg") == ["pics/a.jpg"]
    assert media("/m/a.jpg", tmp_path) == ["m/a.jpg"]
    assert media("/elsewhere/a.jpg", tmp_path) == ["/elsewhere/a.jpg"]


def test_one_wrong_piece_does_not_join_the_others() -> None:
    column = MediaColumn("found", "images", guessed=True, separators=(",",))
    found = read_media("a.jpg, TODO, b.jpg", column, MediaFinder(Path("/nowhere")), None)
    assert [medium for _, medium in found] == ["a.jpg", "TODO", "b.jpg"]


def test_a_given_separator_is_the_only_one() -> None:
    assert media("x|y; a.jpg, b.jpg", separator=";") == ["x|y", "a.jpg, b.jpg"]


def test_deeply_nested_values_end() -> None:
    value: object = A
    for _ in range(50):
        value = [value]
    assert media(value) == []
    assert media("[" * 5_000 + "'a.jpg'") == ["[" * 5_000 + "'a.jpg'"]
