"""Detectors of one's own: functions of installed packages that look at pictures.

A package names a function under the entry point group `firstsight.picture_facts`. It gets a decoded picture and a
`PictureSource`, and returns a list of `{"label": …, "score": …, "box": [x, y, width, height]}`; a box is optional. It
runs in the decoding child, and only if a database names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.indexer.facts.item_facts import FactItem
from firstsight.media.picture_facts import PictureFact, options_of

GROUP: Final = "firstsight.picture_facts"

DETECTOR_PREFIX: Final = "detector_"
"""Prefix of the names of facts of detectors in `view_facts`."""


class DetectorKind:
    """A detector as a kind of fact, without columns: what it finds is kept per view."""

    def __init__(self, name: str, fact: PictureFact) -> None:
        self.name = name
        self.picture_fact = fact
        self.fields: Sequence[pa.Field[Any]] = ()

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """No columns."""
        return [{} for _ in items]


def installed_detectors() -> dict[str, EntryPoint]:
    """Entry points of installed detectors, by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def detector_kinds(names: Sequence[str]) -> list[DetectorKind]:
    """Load detectors by name, to read their versions.

    Raises:
        QueryError: a name is not installed, or its function cannot be imported.
    """
    if not names:
        return []
    installed = installed_detectors()
    return [DetectorKind(name, _fact(name, installed)) for name in names]


def _fact(name: str, installed: dict[str, EntryPoint]) -> PictureFact:
    point = installed.get(name)
    if point is None:
        listed = ", ".join(installed) or "none"
        raise QueryError(
            f"there is no detector {name!r}; installed are: {listed}. A package installs one by an entry point of the "
            f"group {GROUP}; firstsight index --no-detector removes all from a database"
        )
    try:
        function = point.load()
    except Exception as error:  # of a package that is not ours
        raise QueryError(f"the detector {name!r} ({point.value}) cannot be imported ({error}); repair it") from error
    options = options_of(function)
    module, _, attribute = point.value.partition(":")
    return PictureFact(
        name=f"{DETECTOR_PREFIX}{name}",
        function=f"{module.strip()}:{attribute.strip()}",
        version=f"{point.dist.version if point.dist else ''}/{options.version}",
        min_side=options.min_side,
        parts=options.parts,
    )
