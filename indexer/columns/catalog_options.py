"""Options for reading a catalogue, and the names of an item's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from firstsight.storage.columns import COLUMN_KINDS, ColumnKind

ItemKind = Literal["product", "video", "live"]
KINDS: tuple[ItemKind, ...] = get_args(ItemKind)

VariantsMode = Literal["picture", "product", "variant"]
VARIANTS_MODES: tuple[VariantsMode, ...] = get_args(VariantsMode)

MediaField = Literal["images", "videos"]
MEDIA: tuple[MediaField, ...] = get_args(MediaField)
TIMES = ("created_at", "starts_at", "expires_at")
TIMED_PRODUCTS = "timed_products"
"""Field of the products that a video shows, with their seconds; see timed_products.py."""

KNOWN = ("item_id", "kind", "title", "text", *MEDIA, "subtitles", *TIMES, TIMED_PRODUCTS)
"""Fields of every item."""

PRICES = ("price", "sale_price")
SHOP_COLUMNS = ("group_id", *PRICES, "category", "currency")
"""Columns with a fixed name and meaning, for catalogues that have them. They are stored like plain columns."""

FIELDS = (*KNOWN, *SHOP_COLUMNS)
"""All names that a catalogue's column can be mapped to."""


@dataclass(frozen=True)
class CatalogOptions:
    """Options for reading the columns of a catalogue; the command line has one option for each field.

    Columns are recognised by their names and values. `mapping` replaces this for the fields that it names.
    """

    mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the catalogue's columns, by our field: `{"title": ("name",)}`. Several for images and videos only."""

    recognise: bool = True
    """Whether columns with other names are recognised. If False, only fields with their exact names are read."""

    drop: frozenset[str] = frozenset()
    """Columns of the catalogue that are ignored."""

    types: Mapping[str, ColumnKind] = field(default_factory=dict)
    """Types of the catalogue's own columns: "text", "number", "flag" or "time"."""

    infer_types: bool = True
    """Whether a stored text column takes the type of its values once all of them have it."""

    encoding: str = "utf-8"
    """Encoding of text formats."""

    list_separator: str | None = None
    """Separator between the media in one text. None: recognised from the cells of each column."""

    skip_bad_rows: bool = False
    """Leave unusable rows out. If False, one such row refuses the catalogue."""

    variants: VariantsMode = "picture"
    """One item is: variants with equal pictures ("picture"), a "product", or each "variant"."""

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: an option has an unknown value, or a text where names belong.
        """
        for ours, names in self.mapping.items():
            if ours not in FIELDS:
                raise ValueError(f"mapping has {ours!r}, which is not one of {', '.join(FIELDS)}")
            if isinstance(names, str):
                raise ValueError(f"mapping of {ours!r} must be a list of column names, such as [{names!r}]")
        for name, kind in self.types.items():
            if kind not in COLUMN_KINDS:
                raise ValueError(f"types of {name!r} must be one of {', '.join(COLUMN_KINDS)}, not {kind!r}")
        if isinstance(self.drop, str):
            raise ValueError(f"drop must be a set of column names, such as {{{self.drop!r}}}")
        if self.variants not in VARIANTS_MODES:
            raise ValueError(f"variants must be one of {', '.join(VARIANTS_MODES)}, not {self.variants!r}")
