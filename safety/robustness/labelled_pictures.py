"""Pictures and frames of labelled views, opened again, changed and encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from firstsight.encoders.base import Encoder, Vectors
from firstsight.errors import MediaError
from firstsight.media.corruptions.hidden_frames import VIDEO_FRAME, frames_that_show
from firstsight.media.corruptions.picture_corruptions import corrupt
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fingerprints import as_array, distances, fingerprint
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import open_address
from firstsight.retrieval.pages.thumbnails import load_picture
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

WORKING_SIDE = 512
"""Longer side of a picture before it is changed, in pixels."""

CHUNK = 16
"""Pictures in memory at once."""

UNKNOWN_DISTANCE = 257
"""Distance of a picture without a fingerprint: above every distance of two fingerprints, in bits."""


@dataclass(frozen=True)
class ChangedViews:
    """Picture views of a table of views, with one vector or several for each change."""

    changes: tuple[tuple[str, int], ...]  # name and strength
    readable: NDArray[np.bool_]  # (views,) whether a view is a picture that could be opened
    hashed: NDArray[np.bool_]  # (views,) whether the intact picture has a fingerprint; a plain one has none
    vectors: Vectors  # (n, dim) vectors of all changes
    views: NDArray[np.int64]  # (n,) row of the view of each vector
    change: NDArray[np.int64]  # (n,) place in `changes`
    bits: NDArray[np.int64]  # (views, changes) distance of the fingerprint to that of the intact picture, in bits
    unreadable: tuple[str, ...]  # one message for each picture that could not be opened


def change_views(
    store: Store,
    views: pa.Table,
    changes: Sequence[tuple[str, int]],
    encoder: Encoder,
    policy: MediaPolicy,
    *,
    seed: int = 0,
    strengths: Callable[[str, str], int] | None = None,
    on_encoded: Callable[[int, int], None] = lambda done, total: None,
) -> ChangedViews:
    """Open the pictures of views again, change them and encode them.

    Args:
        store: the database of the views.
        views: rows with view_id, item_id, part, uri and time_s; rows of other parts than pictures are left as they are.
        changes: names and strengths of corruptions; `VIDEO_FRAME` hides the picture in a video.
        encoder: the encoder of the database.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.
        seed: random seed.
        strengths: strength for a change and a view id, instead of that of `changes`.
        on_encoded: called with the number of changed pictures, and of all.

    Raises:
        EncoderMismatchError: the database holds another encoder's vectors.
        EncoderError: the encoder fails.
    """
    store.require_encoder(encoder.spec)
    rows = views.select(["view_id", "item_id", "part", "uri", "time_s"]).to_pylist()
    pictured = [n for n, row in enumerate(rows) if row["part"] in PICTURE_PARTS and row["uri"] is not None]
    folders = store.column_values(sorted({rows[n]["item_id"] for n in pictured}), ["catalog_dir"])
    readable, hashed = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
    bits = np.full((len(rows), len(changes)), UNKNOWN_DISTANCE)
    vectors: list[Vectors] = []
    of_view: list[int] = []
    of_change: list[int] = []
    unreadable: list[str] = []
    reach = replace(policy, allow_anywhere=True)
    total = len(pictured) * len(changes)
    with VideoSampler() as sampler:
        for start in range(0, len(pictured), CHUNK):
            opened: list[tuple[int, Image.Image]] = []
            for n in pictured[start : start + CHUNK]:
                row = rows[n]
                where = locate(open_address(row["uri"], store.uri), folders[row["item_id"]]["catalog_dir"])
                try:
                    picture = load_picture(where, row["time_s"], reach, sampler, min_side=WORKING_SIDE)
                except MediaError as error:
                    unreadable.append(f"{row['view_id']}: {error}")
                    continue
                picture.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
                opened.append((n, picture))
                readable[n] = True
            intact = [fingerprint(picture) for _, picture in opened]
            hashed[[n for n, _ in opened]] = [code is not None for code in intact]
            for place, (name, level) in enumerate(changes):
                changed: list[Image.Image] = []
                owners: list[int] = []
                for k, (n, picture) in enumerate(opened):
                    view_id = rows[n]["view_id"]
                    strength = level if strengths is None else strengths(name, view_id)
                    others = [other for _, other in _next(opened, k)]
                    made = list(_changed(picture, name, strength, seed, view_id, others, sampler))
                    changed += made
                    owners += [n] * len(made)
                    bits[n, place] = min((_distance(intact[k], fingerprint(p)) for p in made), default=UNKNOWN_DISTANCE)
                if changed:
                    vectors.append(encoder.encode_images(changed))
                    of_view += owners
                    of_change += [place] * len(changed)
                on_encoded(min(start + CHUNK, len(pictured)) * len(changes) - (len(changes) - 1 - place), total)
    stacked = np.concatenate(vectors) if vectors else np.empty((0, encoder.spec.dim), np.float32)
    return ChangedViews(
        tuple(changes),
        readable,
        hashed,
        stacked,
        np.array(of_view, np.int64),
        np.array(of_change, np.int64),
        bits,
        tuple(unreadable),
    )


def _changed(
    picture: Image.Image,
    name: str,
    strength: int,
    seed: int,
    key: str,
    others: Sequence[Image.Image],
    sampler: VideoSampler,
) -> Iterator[Image.Image]:
    if name == VIDEO_FRAME:
        yield from frames_that_show(picture, others, sampler)
    else:
        yield corrupt(picture, name, strength, seed=seed, key=key, others=others)


def _next(opened: Sequence[tuple[int, Image.Image]], place: int) -> list[tuple[int, Image.Image]]:
    """The other pictures of a batch, from the next one on: of other views, and repeated around the end."""
    return [*opened[place + 1 :], *opened[:place]]


def _distance(intact: bytes | None, changed: bytes | None) -> int:
    if intact is None or changed is None:
        return UNKNOWN_DISTANCE
    return int(distances(as_array([intact]), as_array([changed]))[0])
