"""What a catalogue teaches: items with their phrases, pictures and products, and queries with clicked items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firstsight.encoders.base import ImageInput


@dataclass(frozen=True)
class TuningItem:
    """One item of the catalogue.

    Attributes:
        item_id: its id.
        product: its product; items of one product are never on both sides of a split.
        phrases: true texts of the item by kind: "title", "text", the name of a column such as "color", or two columns
            joined, such as "color category". Two items with an equal phrase of one kind are positives of each other.
        pictures: (m,) rows of `TuningData.pictures`.
    """

    item_id: str
    product: str
    phrases: Mapping[str, str]
    pictures: tuple[int, ...]


@dataclass(frozen=True)
class ClickedQuery:
    """A query of the event log with the items that users opened after it."""

    query: str
    items: tuple[int, ...]  # rows of `TuningData.items`


@dataclass(frozen=True)
class TuningData:
    """All items of a catalogue that have a picture and a phrase.

    Attributes:
        items: n items.
        pictures: p pictures; each readable by `Encoder.encode_images`.
        picture_items: (p,) row of the item of each picture.
        clicks: queries with clicked items; may be empty.
    """

    items: tuple[TuningItem, ...]
    pictures: Sequence[ImageInput]
    picture_items: tuple[int, ...]
    clicks: tuple[ClickedQuery, ...] = ()
