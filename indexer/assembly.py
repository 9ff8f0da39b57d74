"""One item on its way through the pipeline: what it waits for, its views, its fused vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
from PIL.Image import Image

from firstsight.encoders.base import Vector, unit
from firstsight.errors import MediaError
from firstsight.indexer.catalog import CatalogItem
from firstsight.indexer.index_settings import IndexSettings
from firstsight.media.fetch.addresses import change_stamp
from firstsight.media.policy import MediaPolicy
from firstsight.storage.tables import Failure, Part


@dataclass(frozen=True)
class LoadedPicture:
    """One picture or frame ready for the encoder."""

    picture: Image
    uri: str
    time_s: float | None = None  # second of a frame in its video
    start_s: float | None = None  # of the shot that the frame stands for
    end_s: float | None = None
    fingerprint: bytes | None = None  # PDQ, 32 bytes; None for a flat picture
    version: str | None = None  # what its server tells this version of the file by


_PICTURE_FIELDS = tuple(field.name for field in fields(LoadedPicture) if field.name != "picture")


@dataclass(frozen=True)
class View:
    """One thing that was encoded."""

    view_id: str
    part: Part
    vector: Vector
    uri: str | None = None
    time_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    fingerprint: bytes | None = None  # PDQ, 32 bytes
    version: str | None = None  # of the file it comes from, as its server tells it


@dataclass(eq=False)
class PendingItem:
    """An item being encoded; done when `waiting` is zero."""

    item: CatalogItem
    digest: str
    row_digest: str
    replaces: bool  # the database has an older version of it
    waiting: int = 0  # media not yet loaded, and pictures and texts not yet encoded
    views: list[View] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def title_text(self) -> str | None:
        """What its title view encodes: the title, or the text where there is no title."""
        return self.item.title or self.item.text

    def add_view(self, part: Part, place: str, vector: Vector, loaded: LoadedPicture | None = None) -> None:
        """Keep an encoded view; `place` tells apart the views of one part, `loaded` is None for a title."""
        view_id = f"{self.item.item_id}#{part}{place}"
        shown = {} if loaded is None else {name: getattr(loaded, name) for name in _PICTURE_FIELDS}
        self.views.append(View(view_id, part, vector, **shown))

    def fail(self, stage: str, uri: str, error: MediaError) -> None:
        """Keep why a medium could not be used."""
        self.failures.append(
            Failure(item_id=self.item.item_id, uri=uri, stage=stage, reason=error.reason, message=str(error))
        )

    @property
    def unreachable_media(self) -> set[str]:
        """Addresses of its media that could not be fetched this time, and are not known to be gone."""
        return {
            failure["uri"]
            for failure in self.failures
            if failure["stage"] == "fetch" and failure["reason"] in ("unreachable", "timeout")
        }

    def keep_views(self, before: Iterable[Mapping[str, Any]]) -> None:
        """Take over the views, of those it had before, that show media which are out of reach now."""
        kept = set()
        for row in before:
            addresses = self.item.images if row["part"] == "image" else self.item.videos
            if row["uri"] in self.unreachable_media and row["uri"] in addresses:
                # the medium may stand at another place among its media by now: image-0, frame-0-3
                _, *frame = row["view_id"].removeprefix(f"{self.item.item_id}#{row['part']}-").split("-")
                place = "-".join([f"{row['part']}-{addresses.index(row['uri'])}", *frame])
                shown = {name: row[name] for name in _PICTURE_FIELDS}
                view_id = f"{self.item.item_id}#{place}"
                self.views.append(View(view_id, row["part"], np.asarray(row["vector"], np.float32), **shown))
                kept.add(row["uri"])
        for failure in self.failures:
            if failure["uri"] in kept:
                failure["message"] += "; what was indexed of it before is kept"

    def view_rows(self) -> list[dict[str, Any]]:
        """Its rows of `views`."""
        return [{**vars(view), "item_id": self.item.item_id} for view in self.views]

    def item_row(self, weights: Mapping[Part, float], **written: Any) -> dict[str, Any]:
        """Its row of `items`; `written` names catalog_dir, indexed_at and run_id."""
        computed = {"vector": fuse(self.views, weights), "digest": self.digest, "row_digest": self.row_digest}
        return catalog_row(self.item) | computed | written


def catalog_row(item: CatalogItem) -> dict[str, Any]:
    """The columns of `items` that come straight from the catalogue."""
    return {
        "item_id": item.item_id,
        "kind": item.kind,
        "title": item.title,
        "text": item.text,
        "created_at": item.created_at,
        "starts_at": item.starts_at,
        "expires_at": item.expires_at,
        **item.columns,
    }


def fuse(views: Iterable[View], weights: Mapping[Part, float]) -> Vector | None:
    """The weighted mean of an item's parts, as a unit vector; a part it does not have drops out.

    Each part counts once, however many views it has: the mean of its views, renormalised.

    Returns:
        (dim,) float32 of unit length, or None where there is nothing to fuse.
    """
    parts: dict[Part, list[Vector]] = {}
    for view in views:
        parts.setdefault(view.part, []).append(view.vector)
    total = sum(
        (weights.get(part, 0.0) * unit(np.mean(np.stack(vectors), axis=0)) for part, vectors in parts.items()),
        start=np.zeros(1, dtype=np.float32),
    )
    return unit(total) if np.any(total) else None


def encode_digest(item: CatalogItem, settings: IndexSettings, policy: MediaPolicy) -> str:
    """A digest of all that its vectors depend on, its media files' size and time among it."""
    media = [[(uri, change_stamp(uri, policy)) for uri in uris] for uris in (item.images, item.videos)]
    frames = [settings.frames, settings.max_frames] if item.videos else None
    return _digest([item.title or item.text, media, frames, sorted(settings.weights.items())])


def row_digest(item: CatalogItem, catalog_dir: str) -> str:
    """A digest of the rest of its row: what can change without encoding it again."""
    return _digest([catalog_row(item), catalog_dir])


def _digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no digest for {type(value)}")
