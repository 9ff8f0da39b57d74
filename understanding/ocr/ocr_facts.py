"""Text in pictures as a kind of fact: the lines of an item's pictures and frames in one column, `fact_ocr_text`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Final

import pyarrow as pa

from firstsight.indexer.facts.item_facts import FactItem
from firstsight.media.picture_facts import JsonValue, PictureFact
from firstsight.storage.facts.fact_columns import OCR_TEXT
from firstsight.storage.view_order import view_order
from firstsight.understanding.ocr.model_files import OcrModels, find_models
from firstsight.understanding.ocr.picture_text import MIN_SIDE

NAME: Final = "ocr"

VERSION: Final = "1"
"""A change makes stored texts outdated; a digest of the user's own models follows it."""

FILES_PER_CHILD: Final = 200
"""Files after which a decoding child is replaced: the memory of the text reader grows with new shapes."""

MAX_ITEM_CHARACTERS: Final = 10_000
"""Longest text of an item, in characters."""


@dataclass(frozen=True)
class OcrFacts:
    """The kind of fact "ocr": text in pictures and video frames.

    Args:
        models: a folder with recognition models of another script (`find_models`); None for the packaged ones: Latin
            script, Chinese and Japanese.

    Raises:
        OptionalDependencyError: the extra `ocr` is not installed.
        EncoderError: the folder or one of its files is missing or cannot be used.
    """

    models: str | PathLike[str] | None = None
    _found: OcrModels = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_found", find_models(self.models))

    @property
    def name(self) -> str:
        """Name of the kind."""
        return NAME

    @property
    def picture_fact(self) -> PictureFact:
        """The function that reads the text of pictures and frames."""
        return PictureFact(
            name=NAME,
            function="firstsight.understanding.ocr.picture_text:read_text",
            version=f"{VERSION}-{self._found.digest}" if self._found.digest else VERSION,
            min_side=MIN_SIDE,
            parts=("image", "frame"),
            options=dict(self._found.to_options()),
            files_per_child=FILES_PER_CHILD,
        )

    @property
    def fields(self) -> Sequence[pa.Field[Any]]:
        """The column `fact_ocr_text`: lines; empty if there are none, null if no picture was read."""
        return [pa.field(OCR_TEXT, pa.string())]

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Join the lines of each item's views: each line once, pictures first, at most 10,000 characters."""
        return [{OCR_TEXT: _item_text(item)} for item in items]


def _item_text(item: FactItem) -> str | None:
    views = sorted(item.views, key=lambda view: (view.part != "image", view_order(view.view_id)))
    read = [view.facts[NAME] for view in views if view.facts.get(NAME) is not None]
    if not read:
        return None
    lines: dict[str, str] = {}
    left = MAX_ITEM_CHARACTERS
    for line in (line for value in read for line in _lines(value)):
        key = line.casefold()
        if key in lines:
            continue
        if len(line) > left:
            break
        lines[key] = line
        left -= len(line) + 1
    return "\n".join(lines.values())


def _lines(value: JsonValue) -> Iterator[str]:
    for line in value if isinstance(value, list) else ():
        if isinstance(line, dict) and isinstance(line.get("text"), str):
            yield " ".join(str(line["text"]).split())
