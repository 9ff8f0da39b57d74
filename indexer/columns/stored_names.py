"""Names under which the catalogue's own columns are stored."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping

from firstsight.errors import CatalogError
from firstsight.indexer.columns.catalog_options import KNOWN
from firstsight.indexer.columns.mapping_text import format_names
from firstsight.storage.tables import is_fact_column

RESERVED = frozenset(
    {
        *("vector", "digest", "row_digest", "catalog_dir", "indexed_at", "run_id", "sequence_vector"),
        *("safety_decision", "safety_scores", "safety_policy_version", "safety_min_age"),
    }
)  # columns that firstsight adds to the items table

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNUSABLE = re.compile(r"^_+|[.`]|" + CONTROL_CHARACTERS.pattern)
"""Parts of names that LanceDB cannot store or a filter cannot contain; LanceDB reserves names that start with _."""


class StoredNames:
    """Finds the database's column for each plain column of a catalogue, and keeps it for all rows.

    A name that cannot be stored, or that a field of the items has in another case, is changed: `a.b` is stored as
    `a_b`, and `Title` beside `title` as `Title_2`.

    Args:
        hidden: columns that are not stored under their own name.
        stored: columns of the database; their spelling wins.
        shop_names: database's columns of the shop fields.
    """

    def __init__(self, hidden: Collection[str], stored: Iterable[str], shop_names: Mapping[str, str]) -> None:
        self._hidden = hidden
        self._stored = {name.lower(): name for name in stored}
        self._fields = {*KNOWN, *(name.lower() for name in shop_names.values())}
        self._names: dict[str, str] = {}  # of the catalogue -> of the database; "" for hidden ones
        self._owners: dict[str, str] = {}  # lower-case name in the database -> column that has it

    def of(self, name: str) -> str:
        """The database's name of a column; empty if its values are not stored.

        Raises:
            CatalogError: the name is reserved or has no usable character, or another column differs only in case.
        """
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = "" if name in self._hidden else self._find(name)
        return known

    def _find(self, name: str) -> str:
        base = _UNUSABLE.sub(lambda part: "" if part.start() == 0 else "_", name).strip()
        if name.lower() in RESERVED or is_fact_column(base.lower()):
            raise CatalogError(f"column {name!r} has a name that firstsight reserves; rename it or {_drop(name)}")
        if not base:
            raise CatalogError(
                f"column {name!r} cannot be stored under this name; rename it or {_drop(name)}. A name needs a "
                "character other than _, a dot, a backtick, blanks and control characters"
            )
        taken = self._fields if base == name else self._fields | RESERVED | self._owners.keys()
        numbered = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(2)))
        usable = next(candidate for candidate in numbered if candidate.lower() not in taken)
        other = self._owners.setdefault(usable.lower(), name)
        if other != name:
            raise CatalogError(f"columns {other!r} and {name!r} differ only in case; rename one or {_drop(name)}")
        return self._stored.get(usable.lower(), usable)


def _drop(name: str) -> str:
    return f"--drop {format_names([name])}"
