"""General pictures with captions: what an encoder must not forget while it learns a shop."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from firstsight.encoders.base import ImageInput, Vectors
from firstsight.errors import CatalogError
from firstsight.indexer.inputs.input_kinds import CatalogueInput
from firstsight.tuning.evaluation.figures import first_rank_share
from firstsight.tuning.reading.catalogue_data import read_catalogue
from firstsight.tuning.reading.picture_files import PictureStore

MIN_GENERAL: Final = 10
"""General pictures below which the check says nothing: one of them would be a tenth."""

PACKAGED: Final = "the 69 packaged pictures"

_FOLDER: Final = Path(__file__).parent / "general"


@dataclass(frozen=True)
class GeneralPictures:
    """Pictures and captions of the forgetting check.

    Attributes:
        name: for reports.
        captions: (g,) one caption of each picture.
        pictures: (g,) pictures.
    """

    name: str
    captions: tuple[str, ...]
    pictures: Sequence[ImageInput]

    def recall_at_1(self, captions: Vectors, pictures: Vectors) -> float:
        """Share of the captions whose nearest picture is their own, 0 to 1; pictures of an equal caption count.

        Args:
            captions, pictures: (g, dim) unit rows.
        """
        names = np.array([caption.casefold() for caption in self.captions], dtype=object)
        return first_rank_share(captions @ pictures.T, names[:, None] == names[None, :])


def packaged_pictures() -> GeneralPictures:
    """The pictures that come with firstsight: drawings and photographs of 69 things, in the public domain."""
    with (_FOLDER / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = [_FOLDER / "pictures" / row["picture"] for row in rows]
    return GeneralPictures(PACKAGED, tuple(row["caption"] for row in rows), pictures)


def read_general(source: CatalogueInput, store: PictureStore) -> GeneralPictures:
    """Read the user's own general pictures.

    Args:
        source: a catalogue or rows in memory with titles and pictures, or a folder of pictures whose names are their
            captions: "red running shoes.jpg".
        store: reads the pictures.

    Raises:
        CatalogError: the catalogue cannot be used, or has fewer than ten readable pictures with a title.
    """
    read = read_catalogue(source, store)
    items = [item for item in read.data.items if "title" in item.phrases]
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else "rows in memory"
    if len(items) < MIN_GENERAL:
        raise CatalogError(
            f"{name} has {len(items)} readable pictures with a title; the forgetting check needs {MIN_GENERAL} or more"
        )
    pictures = [read.data.pictures[item.pictures[0]] for item in items]
    return GeneralPictures(name, tuple(item.phrases["title"] for item in items), pictures)
