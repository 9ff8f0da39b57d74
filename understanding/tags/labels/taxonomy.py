"""Files of product taxonomies: Google's list, and Shopify's list and JSON. firstsight ships neither.

| file | a line or category |
|---|---|
| Google, with ids | `1604 - Apparel & Accessories > Clothing` |
| Google, without ids; or a list of one's own | `Apparel & Accessories > Clothing` |
| Shopify, categories.txt | `gid://shopify/TaxonomyCategory/aa-1 : Apparel & Accessories > Clothing` |
| Shopify, taxonomy.json | `{"verticals": [{"categories": [{"id": …, "full_name": …}]}]}` |

Lines that start with # are comments.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from firstsight.errors import TagError

LEVELS: Final = " > "
"""Separator of the levels in the name of a node."""

MAX_FILE_BYTES: Final = 64 * 2**20
MAX_NODES: Final = 50_000
MAX_NAME: Final = 500

_GOOGLE = re.compile(r"(?P<id>[0-9]{1,12}) - (?P<path>.+)")
_SHOPIFY = re.compile(r"gid://shopify/TaxonomyCategory/(?P<id>[A-Za-z0-9-]{1,64})\s*:\s*(?P<path>.+)")
_SHOPIFY_ID = "gid://shopify/TaxonomyCategory/"


@dataclass(frozen=True)
class Taxonomy:
    """Nodes by their full names, such as "Apparel & Accessories > Clothing"; a parent comes before its children."""

    names: tuple[str, ...]
    ids: Mapping[str, str]  # id in the file -> full name

    @cached_property
    def _places(self) -> dict[str, str]:
        """Names in lower case -> full name; a last level that several nodes have is left out."""
        places: dict[str, str | None] = {}
        for name in self.names:
            last = name.rsplit(LEVELS, 1)[-1].casefold()
            places[last] = None if last in places else name
        return {key: name for key, name in places.items() if name is not None} | {
            name.casefold(): name for name in self.names
        }

    def find(self, label: str) -> str | None:
        """Find a node by its full name, its id, or its last level if only one node has it; None without such a node.

        Args:
            label: "Clothing", "Apparel & Accessories > Clothing", "1604", "aa-1" or the whole Shopify address.
        """
        text = re.sub(r"\s*>\s*", LEVELS, label.strip())
        by_id = self.ids.get(text.removeprefix(_SHOPIFY_ID))
        return by_id if by_id is not None else self._places.get(text.casefold())

    def branches(self, names: Sequence[str]) -> Taxonomy:
        """Keep some nodes with all nodes below and above them.

        Raises:
            TagError: there is no such node.
        """
        kept: set[str] = set()
        for given in names:
            top = self.find(given)
            if top is None:
                raise TagError(
                    f"the taxonomy has no category {given!r}; give a full name such as {self.names[-1]!r}, or an id"
                )
            kept.update(_path_names(top))
            kept.update(name for name in self.names if name.startswith(top + LEVELS))
        return Taxonomy(
            tuple(name for name in self.names if name in kept),
            {key: name for key, name in self.ids.items() if name in kept},
        )


def read_taxonomy(path: str | os.PathLike[str]) -> Taxonomy:
    """Read a taxonomy file; the format is recognised by its content.

    Args:
        path: a text file of Google's or Shopify's form, or Shopify's JSON.

    Raises:
        TagError: the file cannot be read or is over 64 MiB, has over 50,000 categories or none, or a line is wrong; the
            message names the line.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise TagError(f"taxonomy {file} is over {MAX_FILE_BYTES // 2**20} MiB; give a taxonomy file")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TagError(f"taxonomy {file} cannot be read ({error}); give a text file in UTF-8") from None
    entries = _read_json(text, file) if text.lstrip().startswith(("{", "[")) else _read_lines(text, file)
    return _make_taxonomy(entries, file)


def make_tree_names(values: Iterable[str]) -> tuple[str, ...]:
    """Return values and all their parents, sorted, a parent before its children."""
    return tuple(sorted({name for value in values for name in _path_names(value)}, key=lambda name: name.split(LEVELS)))


def _path_names(name: str) -> list[str]:
    levels = name.split(LEVELS)
    return [LEVELS.join(levels[: n + 1]) for n in range(len(levels))]


def _make_taxonomy(entries: Iterator[tuple[str, str | None, str]], file: Path) -> Taxonomy:
    """Build a taxonomy from entries of place, id and path; parents that have no entry are added."""
    ids: dict[str, str] = {}
    names: set[str] = set()
    for place, key, path in entries:
        levels = [level.strip() for level in path.split(">")]
        if not all(levels) or len(path) > MAX_NAME:
            raise TagError(f"taxonomy {file}, {place}: {path[:80]!r} is no path such as Clothing > Shirts")
        name = LEVELS.join(levels)
        names.add(name)
        if len(names) > MAX_NODES:
            raise TagError(f"taxonomy {file} has over {MAX_NODES:,} categories; give a smaller one")
        if key is not None:
            ids[key] = name
    if not names:
        raise TagError(f"taxonomy {file} has no categories; give lines such as 1604 - Apparel & Accessories > Clothing")
    return Taxonomy(make_tree_names(names), ids)


def _read_lines(text: str, file: Path) -> Iterator[tuple[str, str | None, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _GOOGLE.fullmatch(line) or _SHOPIFY.fullmatch(line)
        yield f"line {number}", match["id"] if match else None, match["path"] if match else line


def _read_json(text: str, file: Path) -> Iterator[tuple[str, str | None, str]]:
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TagError(f"taxonomy {file} is no JSON ({error}); give Shopify's taxonomy.json or a text file") from None
    verticals = root.get("verticals") if isinstance(root, dict) else root
    lists = [one.get("categories") if isinstance(one, dict) else None for one in verticals or () if one is not None]
    if not isinstance(verticals, list) or not lists or not all(isinstance(one, list) for one in lists):
        raise TagError(f"taxonomy {file} has no list verticals with categories; give Shopify's taxonomy.json")
    for place, category in enumerate(category for one in lists for category in one or ()):
        yield f"category {place + 1}", *_category(category, place + 1, file)


def _category(category: Any, place: int, file: Path) -> tuple[str | None, str]:
    known: Mapping[str, Any] = category if isinstance(category, dict) else {}
    key, name = known.get("id"), known.get("full_name", known.get("name"))
    if not isinstance(key, str) or not isinstance(name, str):
        raise TagError(f"taxonomy {file}, category {place}: it has no id and full_name; give Shopify's taxonomy.json")
    return key.removeprefix(_SHOPIFY_ID), name
