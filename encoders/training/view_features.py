"""Outputs of the picture tower for every training view, computed once and stored in one file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import unit
from firstsight.encoders.starter.starter_encoder import StarterEncoder, fit_square
from firstsight.encoders.training.augmentation import views
from firstsight.encoders.training.drawn_examples import Drawing

_BATCH = 64


class ViewRecord(TypedDict):
    """The record of one view, at the same row number as its features."""

    captions: list[str]
    group: str  # the drawing's first caption; views, vendors and equal names stay in one group
    source: str
    plain: bool  # the unchanged drawing, on white
    colour: str  # the colour added to the picture and its captions; empty if none


@dataclass(frozen=True)
class ViewFeatures:
    """Tower outputs of n views."""

    records: list[ViewRecord]
    features: NDArray[np.float32]  # (n, 1280)
    logits: NDArray[np.float32]  # (n, 1000)


def compute(drawings: Iterable[Drawing], encoder: StarterEncoder, generator: np.random.Generator) -> ViewFeatures:
    """Run the picture tower over every view of every drawing."""
    records: list[ViewRecord] = []
    features: list[NDArray[np.float32]] = []
    logits: list[NDArray[np.float32]] = []

    def pictures() -> Iterable[NDArray[np.uint8]]:
        for drawing in drawings:
            for number, (picture, captions, colour) in enumerate(views(drawing, generator)):
                records.append(
                    ViewRecord(
                        captions=list(captions),
                        group=drawing.captions[0],
                        source=drawing.source,
                        plain=drawing.natural and number == 0,
                        colour=colour,
                    )
                )
                yield fit_square(picture)

    stream = iter(pictures())
    while batch := list(islice(stream, _BATCH)):
        outputs = encoder.picture_outputs(np.stack(batch))
        features.append(outputs[0])
        logits.append(outputs[1])
    return ViewFeatures(records, np.concatenate(features), np.concatenate(logits))


def save(views: ViewFeatures, path: Path) -> None:
    """Write views to an .npz file, at half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            records=np.array(json.dumps(views.records)),
            features=views.features.astype(np.float16),
            logits=views.logits.astype(np.float16),
        )


def load(path: Path) -> ViewFeatures:
    """Read a file of `save`."""
    with np.load(path, allow_pickle=False) as stored:
        return ViewFeatures(
            json.loads(str(stored["records"])),
            stored["features"].astype(np.float32),
            stored["logits"].astype(np.float32),
        )


def without_copies(views: ViewFeatures, pictures: NDArray[np.float32], alike: float = 0.8) -> ViewFeatures:
    """Exclude the views of drawings that occur among the pictures: free clip art appears in several collections.

    Args:
        views: in the order of `compute`: the plain view of each drawing before its other views.
        pictures: (m, 1280) features of the pictures to exclude.
        alike: minimum cosine of centred features for a copy; 0.8 also excludes near-copies.
    """
    plain = np.array([record["plain"] for record in views.records])
    drawings = np.cumsum(plain) - 1
    middle = views.features[plain].mean(axis=0)
    closest = (unit(views.features[plain] - middle) @ unit(pictures - middle).T).max(axis=1)
    return select(views, closest[drawings] < alike)


def join(parts: Sequence[ViewFeatures]) -> ViewFeatures:
    """Join several sets of views."""
    return ViewFeatures(
        [record for part in parts for record in part.records],
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )


def select(views: ViewFeatures, keep: NDArray[np.bool_]) -> ViewFeatures:
    """Return the views with a true flag in `keep`, (n,)."""
    records = [record for record, kept in zip(views.records, keep, strict=True) if kept]
    return ViewFeatures(records, views.features[keep], views.logits[keep])
