"""One item in the pipeline: its pending work, its views and its fused vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from PIL.Image import Image

from firstsight.encoders.base import Vector, unit
from firstsight.errors import MediaError
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.row_reader import CatalogItem
from firstsight.indexer.timed_text.item_texts import ItemText
from firstsight.indexer.timed_text.passages import Passage
from firstsight.media.fetch.addresses import change_stamp
from firstsight.media.picture_facts import FoundFacts
from firstsight.media.policy import MediaPolicy
from firstsight.media.video_prints import VideoPrints
from firstsight.storage.facts.view_fact_table import StoredFact
from firstsight.storage.tables import FailureRow, Part
from firstsight.storage.timed_product_table import TimedProductRow, entry_id
from firstsight.storage.video_print_table import VideoPrintRow

VIDEO_METHOD: Final = 2
"""Number of the way in which frames are selected and fingerprints made. It is part of the digests of items with videos:
after a change, the next index run encodes them again."""


@dataclass(frozen=True)
class PictureInfo:
    """Origin and fingerprint of a picture or frame; its view has the same fields."""

    uri: str
    time_s: float | None = None  # second of a frame in its video
    start_s: float | None = None  # start of the shot that the frame shows
    end_s: float | None = None
    fingerprint: bytes | None = None  # PDQ, 32 bytes; None for a flat picture
    version: str | None = None  # ETag or Last-Modified from its server


SPEECH: Final = "speech"
"""Stands in the ids of views of recognised speech where those of a subtitle file have its number."""

_PICTURE_FIELDS = tuple(field.name for field in fields(PictureInfo))
_OTHER_TABLES = frozenset({"standby", "facts"})
"""Fields of a view that are not columns of `views`."""

_KEPT_FIELDS = (*_PICTURE_FIELDS, "text", "line_starts", "language")


@dataclass(frozen=True)
class LoadedPicture:
    """A decoded picture or frame, ready for the encoder."""

    picture: Image
    info: PictureInfo
    facts: FoundFacts | None = None  # None: no functions ran on it


@dataclass(frozen=True)
class FilePrints:
    """What identifies a video: the SHA-256 of its file, and its fingerprints."""

    digest: bytes
    prints: VideoPrints

    @property
    def memory_bytes(self) -> int:
        """Bytes of the codes."""
        codes = [self.prints.whole, *self.prints.regions.values()]
        sound = self.prints.sound
        return sum(found.nbytes for found in codes) + (0 if sound is None else sound.nbytes)


@dataclass(frozen=True)
class LoadedMedium:
    """A decoded picture or video."""

    pictures: Sequence[LoadedPicture]
    prints: FilePrints | None = None  # of a video


@dataclass(frozen=True)
class View:
    """An encoded title, image, frame or passage of timed text."""

    view_id: str
    part: Part
    vector: Vector
    uri: str | None = None
    time_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    fingerprint: bytes | None = None  # PDQ, 32 bytes
    version: str | None = None  # ETag or Last-Modified of its file
    text: str | None = None  # of a passage, one line of timed text per line
    line_starts: Sequence[float] | None = None  # second of each line
    language: str | None = None  # tag of the passage's language
    standby: Vector | None = None  # by the encoder of the vector set that is not in force
    facts: Mapping[str, StoredFact] = field(default_factory=dict)

    def row(self, item_id: str) -> dict[str, Any]:
        """Row of `views`."""
        return {name: value for name, value in vars(self).items() if name not in _OTHER_TABLES} | {"item_id": item_id}

    def for_standby(self) -> View | None:
        """The view as the vector set that is not in force has it; None without a vector."""
        return None if self.standby is None else replace(self, vector=self.standby, standby=None)


@dataclass(eq=False)
class PendingItem:
    """An item that is being encoded; it is complete when `waiting` is 0."""

    item: CatalogItem
    digest: str
    row_digest: str
    replaces: bool  # the database has an older version of the item
    timed_texts: tuple[ItemText, ...] = ()
    waiting: int = 0  # media and texts that are not encoded yet
    views: list[View] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    print_rows: list[VideoPrintRow] = field(default_factory=list)

    @property
    def title_text(self) -> str | None:
        """Text of the title view: the title, else the text; None without both."""
        return self.item.title or self.item.text

    def add_view(
        self,
        part: Part,
        place: str,
        vector: Vector,
        info: PictureInfo | None = None,
        standby: Vector | None = None,
        facts: Mapping[str, StoredFact] | None = None,
    ) -> None:
        """Add an encoded view.

        Args:
            place: suffix of the view id that distinguishes views of one part, such as "-0" or "-0-3".
            info: of the picture or frame; None for a title.
            standby: its vector by the encoder that is not in force.
            facts: of its picture.
        """
        view_id = f"{self.item.item_id}#{part}{place}"
        shown = {} if info is None else vars(info)
        self.views.append(View(view_id, part, vector, **shown, standby=standby, facts=facts or {}))

    def add_prints(self, index: int, uri: str, found: FilePrints) -> None:
        """Add the fingerprints of a video.

        Args:
            index: position among the item's videos.
        """
        self.print_rows.append(
            {
                "print_id": self._print_id(index),
                "item_id": self.item.item_id,
                "uri": uri,
                "digest": found.digest,
                "duration_s": found.prints.duration_s,
                **found.prints.pack(),
            }
        )

    def keep_prints(self, row: VideoPrintRow) -> None:
        """Keep the stored fingerprints of a video if it is unreachable now."""
        if row["uri"] in self.unreachable_media and row["uri"] in self.item.videos:
            self.print_rows.append({**row, "print_id": self._print_id(self.item.videos.index(row["uri"]))})

    def _print_id(self, index: int) -> str:
        return f"{self.item.item_id}#video-{index}"

    def add_passage(
        self,
        place: str,
        passage: Passage,
        vector: Vector,
        uri: str | None,
        version: str | None,
        standby: Vector | None = None,
    ) -> None:
        """Add an encoded passage of timed text.

        Args:
            place: suffix of the view id, such as "-0-1-3": of the video, of its text, of the passage in it.
            uri: of the video; None for an item without one.
            version: ETag or Last-Modified of a remote subtitle file.
            standby: its vector by the encoder that is not in force.
        """
        self.views.append(
            View(
                f"{self.item.item_id}#transcript{place}",
                "transcript",
                vector,
                uri=uri,
                time_s=passage.start_s,
                start_s=passage.start_s,
                end_s=passage.end_s,
                version=version,
                text=passage.text,
                line_starts=passage.line_starts,
                language=passage.language,
                standby=standby,
            )
        )

    def fail(self, stage: str, uri: str, error: MediaError) -> None:
        """Record why a medium could not be used."""
        self.failures.append(
            FailureRow(item_id=self.item.item_id, uri=uri, stage=stage, reason=error.reason, message=str(error))
        )

    @property
    def unreachable_media(self) -> set[str]:
        """Addresses of media that could not be fetched, but may still exist."""
        return {
            failure["uri"]
            for failure in self.failures
            if failure["stage"] == "fetch" and failure["reason"] in ("unreachable", "timeout")
        }

    def keep_views(
        self,
        stored: Iterable[Mapping[str, Any]],
        standby: Mapping[str, Vector],
        facts: Mapping[str, Mapping[str, StoredFact]],
    ) -> None:
        """Keep stored views of unreachable media.

        Args:
            stored: rows of `views` of this item.
            standby: by view id, their vectors in the set that is not in force.
            facts: by view id.
        """
        kept = set()
        for row in stored:
            addresses = self.item.images if row["part"] == "image" else self.item.videos
            if row["part"] == "transcript" and not _is_speech(row["view_id"]):
                continue  # its file has been read again
            if row["uri"] in self.unreachable_media and row["uri"] in addresses:
                # the position of the medium in the item may have changed; view ids have it: image-0, frame-0-3
                _, *frame = row["view_id"].removeprefix(f"{self.item.item_id}#{row['part']}-").split("-")
                place = "-".join([f"{row['part']}-{addresses.index(row['uri'])}", *frame])
                shown = {name: row[name] for name in _KEPT_FIELDS}
                view_id = f"{self.item.item_id}#{place}"
                vector = np.asarray(row["vector"], np.float32)
                other, found = standby.get(row["view_id"]), facts.get(row["view_id"], {})
                self.views.append(View(view_id, row["part"], vector, **shown, standby=other, facts=found))
                kept.add(row["uri"])
        for failure in self.failures:
            if failure["uri"] in kept:
                failure["message"] += "; its earlier views stay in the index"

    def view_rows(self) -> list[dict[str, Any]]:
        """Rows of `views` of this item."""
        return [view.row(self.item.item_id) for view in self.views]

    def item_row(self, weights: Mapping[Part, float], **written: Any) -> dict[str, Any]:
        """Row of `items` of this item; `written` has catalog_dir, indexed_at and run_id."""
        computed = {"vector": fuse(self.views, weights), "digest": self.digest, "row_digest": self.row_digest}
        return catalog_row(self.item) | computed | written


def catalog_row(item: CatalogItem) -> dict[str, Any]:
    """Columns of `items` that come unchanged from the catalogue."""
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


def timed_product_rows(item: CatalogItem) -> list[TimedProductRow]:
    """Rows of `timed_products` for the products that the catalogue gives for an item."""
    return [
        TimedProductRow(
            entry_id=entry_id(item.item_id, product.product_id, product.start_s),
            video_id=item.item_id,
            product_id=product.product_id,
            uri=next(iter(item.videos), None),
            start_s=product.start_s,
            end_s=product.end_s,
            source="catalogue",
            state="accepted",
            frame_id=None,
            time_s=None,
            picture_id=None,
            cosine=None,
            relevance=None,
            distance=None,
            agreeing=None,
            frames=None,
            made_at=datetime.now(UTC),
            decided_by=None,
            decided_at=None,
        )
        for product in item.timed_products
    ]


def _is_speech(view_id: str) -> bool:
    return view_id.rpartition("#")[2].split("-")[2:3] == [SPEECH]


def fuse(views: Iterable[View], weights: Mapping[Part, float]) -> Vector | None:
    """Compute the weighted mean of an item's parts, as a unit vector.

    Each part counts once: as the renormalised mean of its views. Missing parts do not count.

    Args:
        views: encoded views of one item.
        weights: weight of each part; a missing part has weight 0.

    Returns:
        (dim,) float32 of unit length, or None if there is nothing to fuse.
    """
    parts: dict[Part, list[Vector]] = {}
    for view in views:
        parts.setdefault(view.part, []).append(view.vector)
    total = sum(
        (weights.get(part, 0.0) * unit(np.mean(np.stack(vectors), axis=0)) for part, vectors in parts.items()),
        start=np.zeros(1, dtype=np.float32),
    )
    return unit(total) if np.any(total) else None


def encode_digest(
    item: CatalogItem, settings: IndexSettings, policy: MediaPolicy, timed_texts: Sequence[object] = ()
) -> str:
    """Digest of all inputs of an item's vectors, with the size and time of its media files.

    Args:
        timed_texts: from `ItemTexts.stamp`.
    """
    media = [[(uri, change_stamp(uri, policy)) for uri in uris] for uris in (item.images, item.videos)]
    frames = [settings.frames, settings.max_frames, VIDEO_METHOD] if item.videos else None
    # without timed text, the digest is that of earlier versions
    speech = [settings.transcriber] if item.videos and settings.transcriber else []
    texts = [["passages 1", *timed_texts, *speech]] if timed_texts or speech else []
    return _digest([item.title or item.text, media, frames, sorted(settings.weights.items()), *texts])


def row_digest(item: CatalogItem, catalog_dir: str) -> str:
    """Digest of the other columns; their changes need no encoding."""
    timed = [[product.product_id, product.start_s, product.end_s] for product in item.timed_products]
    return _digest([catalog_row(item), catalog_dir, *([timed] if timed else [])])  # as before without any


def _digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a digest cannot contain {type(value)}")
