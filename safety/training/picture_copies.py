"""Changed copies of labelled pictures, as further units of a training set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Encoder
from firstsight.heads.augmented_fit import Copies
from firstsight.heads.fitting import TrainingSet
from firstsight.heads.labelled_views import match_views
from firstsight.heads.labels import Label
from firstsight.heads.view_sample import part_indices
from firstsight.media.corruptions.picture_corruptions import EVASIONS, STRENGTHS, require_corruption
from firstsight.media.policy import MediaPolicy
from firstsight.safety.robustness.labelled_pictures import ChangedViews, change_views
from firstsight.storage.store import Store


@dataclass(frozen=True)
class PictureCopier:
    """Makes one copy of each labelled picture for each evasion, with a strength drawn by the picture."""

    encoder: Callable[[], Encoder]  # loads the encoder of the database
    media: MediaPolicy  # limits for reading the pictures

    def change(self, store: Store, views: pa.Table, on_progress: Callable[[str], None]) -> ChangedViews:
        """Open, change and encode the pictures of labelled views.

        Args:
            store: the database of the views.
            views: from `read_labelled_views`.
            on_progress: called with a line about the cost, and one about unreadable pictures.

        Raises:
            EncoderError, EncoderMismatchError: the encoder cannot be loaded.
        """
        pictures = sum(part in ("image", "frame") for part in views["part"].to_pylist())
        on_progress(f"encoding {pictures * len(EVASIONS):,} changed copies of {pictures:,} labelled pictures")
        changes = [(name, 1) for name in EVASIONS]
        changed = change_views(store, views, changes, self.encoder(), self.media, strengths=_drawn_strength)
        if changed.unreadable:
            on_progress(f"{len(changed.unreadable)} pictures cannot be opened, such as {changed.unreadable[0]}")
        return changed


def make_copies(
    rows: Sequence[Label],
    views: pa.Table,
    changed: ChangedViews,
    data: TrainingSet,
    policy_id: str,
    parts: frozenset[str],
) -> Copies:
    """Put the copies of one policy together: a unit for each labelled unit and change, without its titles.

    Args:
        rows: labels of the policy.
        views: from `read_labelled_views`.
        changed: their changed pictures.
        data: the training set of the same rows.
        policy_id: name of the policy in messages.
        parts: parts that the policy looks at.
    """
    places, of_unit = match_views(rows, views, parts=parts, policy_id=policy_id)
    view_parts = part_indices(views["part"])
    units_of_view: dict[int, list[int]] = {}
    for place, unit in zip(places.tolist(), of_unit.tolist(), strict=True):
        units_of_view.setdefault(place, []).append(unit)
    numbers: dict[tuple[int, int], int] = {}  # (unit, change) -> copy
    vectors: list[int] = []
    of_copy: list[int] = []
    for n, (view, change) in enumerate(zip(changed.views.tolist(), changed.change.tolist(), strict=True)):
        for unit in units_of_view.get(view, ()):
            vectors.append(n)
            of_copy.append(numbers.setdefault((unit, change), len(numbers)))
    source = np.array([unit for unit, _ in numbers], np.int64)
    names = [changed.changes[change][0] for _, change in numbers]
    units = TrainingSet(
        changed.vectors[vectors],
        view_parts[changed.views[vectors]],
        np.array(of_copy, np.int64),
        tuple(f"{data.unit_ids[unit]}, {name}" for unit, name in zip(source.tolist(), names, strict=True)),
        data.labels[source],
        data.weights[source],
        data.groups[source],
    )
    return Copies(units, source, np.array(names, dtype=object))


def _drawn_strength(name: str, view_id: str) -> int:
    """Draw a strength by the view, so that a repeated training gives the same head."""
    if len(require_corruption(name).strengths) == 1:
        return 1
    digest = hashlib.blake2b(f"{name}\n{view_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    return STRENGTHS[int.from_bytes(digest) % len(STRENGTHS)]
