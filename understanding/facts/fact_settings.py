"""Which facts a database has: settings that index runs change and all later runs use."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypedDict

import pyarrow as pa

from firstsight.errors import QueryError
from firstsight.extras import is_installed, require_packages
from firstsight.keywords import check_texts
from firstsight.records import Record
from firstsight.storage.side_tables import TableLocation, open_side_table, upsert
from firstsight.storage.tables import key_field
from firstsight.understanding.language.language_identifier import check_languages

TABLE: Final = "fact_settings"

SCHEMA: Final = pa.schema(
    [
        key_field("name"),
        pa.field("settings", pa.string(), nullable=False),  # JSON of `FactSettings`
        pa.field("complete", pa.string(), nullable=False),  # JSON: fact -> version that all stored items have
    ]
)

PACKAGED_MODELS: Final = "packaged"
"""Value of `ocr_models` that ends the use of a folder."""

_ROW: Final = "facts"


class FactOptions(TypedDict, total=False):
    """Settings of facts that a call changes and stores; None, or a missing key, keeps the stored one."""

    colours: bool | None
    detect_language: bool | None
    languages: Sequence[str] | None
    quality: bool | None
    ocr: bool | None
    ocr_models: str | os.PathLike[str] | None  # a folder, or "packaged" for the models of the package
    detectors: Sequence[str] | None  # an empty list removes all


@dataclass(frozen=True)
class FactSettings(Record):
    """Which facts are computed for the items of a database."""

    colours: bool = True  # of pictures
    language: bool = True  # of titles and texts, if the extra "language" is installed
    languages: tuple[str, ...] = ()  # that titles and texts may have, such as ("de", "en"); empty: any
    quality: bool = False  # of pictures
    ocr: bool = False  # text in pictures and frames, with the extra "ocr"
    ocr_models: str | None = None  # folder with models for other scripts
    detectors: tuple[str, ...] = ()  # names of installed entry points

    @classmethod
    def from_json(cls, text: str) -> FactSettings:
        """Read stored settings; settings of other versions are ignored."""
        stored = json.loads(text)
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        for name in ("languages", "detectors"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)

    def to_json(self) -> str:
        """The settings as JSON, for `from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    def changed(self, options: FactOptions) -> FactSettings:
        """These settings with changes.

        Raises:
            QueryError: a list is a text, or the folder of models does not exist.
            CatalogError: a language is no known code.
            OptionalDependencyError: the language is asked for, and the extra "language" is not installed.
        """
        changes: dict[str, Any] = {
            {"detect_language": "language"}.get(name, name): value
            for name, value in options.items()
            if value is not None
        }
        for name in ("languages", "detectors"):
            if name in changes:
                check_texts(name, changes[name])
                changes[name] = tuple(dict.fromkeys(text.strip() for text in changes[name] if text.strip()))
        if changes.get("language") or changes.get("languages"):
            require_packages("language", "finding the language of items", ["py3langid"])
            changes["languages"] = check_languages(changes.get("languages", self.languages))
        if changes.get("ocr_models") == PACKAGED_MODELS:
            changes["ocr_models"] = None
        elif "ocr_models" in changes:
            folder = Path(changes["ocr_models"]).expanduser().absolute()
            if not folder.is_dir():
                raise QueryError(f"the folder of models for text in pictures, {folder}, does not exist; give another")
            changes["ocr_models"] = str(folder)
        return replace(self, **changes)


def names_of_facts(settings: FactSettings) -> list[str]:
    """Names of the kinds that settings turn on; the language only if its extra is installed."""
    finds_language = settings.language and is_installed("py3langid")
    on = {"colours": settings.colours, "language": finds_language, "quality": settings.quality, "ocr": settings.ocr}
    return [*(name for name, is_on in on.items() if is_on), *(f"detector {name}" for name in settings.detectors)]


def read_fact_settings(store: TableLocation) -> FactSettings:
    """Stored settings of a database; the default settings if none are stored."""
    row = _row(store)
    return FactSettings() if row is None else FactSettings.from_json(row["settings"])


def read_complete_facts(store: TableLocation) -> dict[str, str]:
    """Facts that all stored items have, by name, with the version of their functions."""
    row = _row(store)
    return {} if row is None else {str(name): str(version) for name, version in json.loads(row["complete"]).items()}


def write_fact_settings(store: TableLocation, settings: FactSettings, complete: dict[str, str]) -> None:
    """Store settings, and the facts that all items have; the caller holds the writer lock.

    Raises:
        StoreError: the database cannot be written.
    """
    row = {"name": _ROW, "settings": settings.to_json(), "complete": json.dumps(complete, sort_keys=True)}
    if row != _row(store):
        upsert(store, TABLE, SCHEMA, "name", [row])


def _row(store: TableLocation) -> dict[str, Any] | None:
    table = open_side_table(store, TABLE)
    rows = [] if table is None else table.search().limit(1).to_arrow().to_pylist()
    return rows[0] if rows else None
