"""Phrases of items: which columns of a catalogue describe what a picture shows, and their values as short texts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_COLUMNS: Final = 6
"""Columns that are used as phrases, the category and the colour first."""

MAX_CHARACTERS: Final = 60
"""Length of a phrase; a column with a longer typical value is prose."""

MIN_FILLED: Final = 0.2
"""Share of the items that a column must describe."""

MIN_REPEATED: Final = 0.5
"""Share of a column's filled items whose value another product has too; otherwise the column names single products."""

_COLOURS: Final = frozenset(
    {
        *("color", "colour", "colors", "colours", "color_name", "colour_name", "color_family", "base_color"),
        *("base_colour", "basecolour", "farbe", "farben", "couleur", "couleurs", "colore", "colori", "cor", "cores"),
        *("kleur", "kolor", "farg", "farve", "vari", "barva"),
    }
)
"""Names of columns with colours, in lower case."""

_NOT_VISIBLE: Final = re.compile(
    r"(^|_)(size|sizes|grosse|groesse|taille|talla|taglia|maat|rozmiar|availability|stock|in_stock|condition|tax|tax_class|"
    r"shipping|currency|status|visibility|enabled|published|sku|gtin|ean|upc|mpn|isbn|asin|url|link|vendor_id|supplier|"
    r"warehouse|season|year|date)($|_)"
)
"""Names of columns whose values no picture shows."""

_LETTERS: Final = re.compile(r"[^\W\d_]{3}")
_PATH_MARK: Final = re.compile(r"\s*(?:>|»|\|)\s*")


@dataclass(frozen=True)
class PhraseColumns:
    """The columns that are used as phrases.

    Attributes:
        category: name of the column with the category; None if there is none.
        attributes: other columns, the colour first.
        phrases: (n items) each item's value by column, shortened to a phrase; items without a value lack the key.
    """

    category: str | None
    attributes: tuple[str, ...]
    phrases: tuple[Mapping[str, str], ...]

    @property
    def joined(self) -> tuple[str, ...]:
        """Attributes that are joined with the category: "color category" is the kind of "blue jackets"."""
        return self.attributes[:2] if self.category is not None else ()


def choose_phrase_columns(
    values: Sequence[Mapping[str, object]], products: Sequence[str], category: str | None, left_out: frozenset[str]
) -> PhraseColumns:
    """Choose the columns with few values that repeat over products.

    Args:
        values: (n) text values of each item by column.
        products: (n) product of each item.
        category: the column that the catalogue's category is in, if it has one.
        left_out: columns that are never phrases, such as the id of the product.
    """
    texts = [_texts(row, left_out) for row in values]
    if category is not None:
        texts = _with_category_tails(texts, category)
    names = sorted({name for row in texts for name in row})
    scores = {name: score for name in names if (score := _usefulness(name, texts, products)) > 0}
    chosen_category = category if category in scores else None
    others = sorted(
        (name for name in scores if name != category),
        key=lambda name: (name.casefold() not in _COLOURS, -scores[name], name),
    )
    kept = others[: MAX_COLUMNS - (chosen_category is not None)]
    allowed = {*kept, *([chosen_category] if chosen_category else [])}
    phrases = tuple({name: text for name, text in row.items() if name in allowed} for row in texts)
    return PhraseColumns(chosen_category, tuple(kept), phrases)


def _texts(row: Mapping[str, object], left_out: frozenset[str]) -> dict[str, str]:
    texts = {}
    for name, value in row.items():
        if name in left_out or not isinstance(value, str) or _NOT_VISIBLE.search(name.casefold()):
            continue
        text = " ".join(value.split())
        if text and "://" not in text and text[:1] not in "[{":
            texts[name] = text
    return texts


def _usefulness(name: str, texts: Sequence[Mapping[str, str]], products: Sequence[str]) -> float:
    """Share of the items that a column describes; 0 if the column is no phrase."""
    owners: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for row, product in zip(texts, products, strict=True):
        if name in row:
            key = row[name].casefold()
            owners[key].add(product)
            counts[key] += 1
    filled = counts.total()
    if len(counts) < 2 or filled < MIN_FILLED * len(texts):
        return 0.0
    typical = sorted(map(len, counts.elements()))[filled // 2]
    lettered = sum(count for key, count in counts.items() if _LETTERS.search(key))
    repeated = sum(count for key, count in counts.items() if len(owners[key]) > 1)
    if typical > MAX_CHARACTERS or lettered < 0.8 * filled or repeated < MIN_REPEATED * filled:
        return 0.0
    return filled / len(texts)


def _with_category_tails(texts: list[dict[str, str]], category: str) -> list[dict[str, str]]:
    """Replace paths such as "Men/Tops/Jackets" by their last name."""
    values = {row[category] for row in texts if category in row}
    tails = category_tails(values)
    return [row | {category: tails[row[category]]} if category in row else row for row in texts]


def category_tails(values: set[str]) -> dict[str, str]:
    """Map category values to the last names of their paths.

    ">", "»" and "|" always separate the names of a path. "/" does if most values have it and fewer first names than
    values exist: "Coats/Jackets" alone is one name. Of several paths in one value, the longest counts.
    """
    slashed = [value for value in values if "/" in value]
    first_names = {value.partition("/")[0].strip() for value in slashed}
    slash_is_path = len(slashed) > len(values) / 2 and len(first_names) < len(slashed)
    tails = {}
    for value in values:
        paths = value.split(",") if _PATH_MARK.search(value) else [value]
        names = max((_PATH_MARK.split(path.strip()) for path in paths), key=len)
        tail = names[-1].strip() or value
        tails[value] = (tail.rpartition("/")[2].strip() or tail) if slash_is_path else tail
    return tails
