"""Known videos: fingerprints of whole videos that are forbidden or harmless, and the stored videos that share a part.

A known-bad video blocks an item if at least half of it is in one of the item's videos, or half of the item's video
comes from it. A shorter shared part sends the item to review. A single similar frame is no match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from firstsight.duplicates.prints.candidates import candidate_pairs
from firstsight.duplicates.prints.grids import MAX_DISTANCE
from firstsight.duplicates.prints.print_alignment import PrintAlignment, align_prints, whole_alignment
from firstsight.duplicates.prints.stored_prints import StoredPrints, video_prints
from firstsight.media.video_prints import VideoPrints
from firstsight.records import Record
from firstsight.safety.hashes.hash_lists import HashSet
from firstsight.safety.policy.decisions import Action, Evidence
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME, key_field

TABLE: Final = "safety_videos"

SCHEMA: Final = pa.schema(
    [
        key_field("key"),
        pa.field("digest", pa.binary(32), nullable=False),
        pa.field("set", pa.string(), nullable=False),  # bad, good
        pa.field("policy_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("added_at", TIME, nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("whole", pa.binary(), nullable=False),  # packed codes, see `media.video_prints`
        pa.field("centre", pa.binary()),
        pa.field("core", pa.binary()),
        pa.field("strip", pa.binary()),
        pa.field("inner", pa.binary()),
        pa.field("sound", pa.binary()),
    ]
)

BLOCK_SHARE: Final = 0.5
"""Minimum share of the known video or of the item's video that blocks the item. A smaller share is for review."""

LONG_PART_S: Final = 5.0
"""Length of a shared part that always counts. A shorter one must be a tenth of one of the videos, unlike an intro."""

_SHORT_PART_SHARE: Final = 0.1
_MIN_PART: Final = 0.02  # share of one of the videos that near codes must stand for, so that the videos are aligned


@dataclass(frozen=True)
class KnownVideo(Record):
    """A video of the hash bank."""

    digest: bytes  # SHA-256 of the file
    set: HashSet
    policy_id: str  # policy of a known-bad video; empty for a known-good one, which counts for every policy
    source: str  # file or item
    duration_s: float
    tags: tuple[str, ...] = ()
    added_at: datetime | None = None  # UTC

    @property
    def key(self) -> str:
        """Key of the entry: set, policy and digest."""
        return f"{self.set}:{self.policy_id}:{self.digest.hex()}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, with the digest instead of the fingerprints."""
        return {
            "video": self.digest.hex(),
            "set": self.set,
            "policy": self.policy_id or None,
            "seconds": round(self.duration_s, 3),
            "tags": list(self.tags),
            "source": self.source,
            "added_at": None if self.added_at is None else self.added_at.isoformat(),
        }


@dataclass(frozen=True)
class PrintedVideo:
    """A known video with its fingerprints."""

    known: KnownVideo
    prints: VideoPrints


@dataclass(frozen=True)
class VideoMatch(Record):
    """A part that a stored video shares with a known one."""

    item_id: str
    uri: str  # of the item's video
    known: KnownVideo
    share: float  # 0 to 1: part of the known video that is in the item's video
    item_share: float  # 0 to 1: part of the item's video that comes from the known video
    start_s: float  # of the part, second in the item's video
    end_s: float
    known_start_s: float  # second in the known video
    speed: float  # of the known video's time, relative to that of the item's video
    mirrored: bool
    distance: float  # mean bits between the codes
    identical: bool  # both are the same file
    view_id: str | None  # stored frame of the item nearest to the start of the part

    @property
    def action(self) -> Action:
        """What a known-bad video does to the item: block, or review if the part is short."""
        return "block" if max(self.share, self.item_share) >= BLOCK_SHARE else "review"

    def evidence(self) -> Evidence:
        """Return the match as evidence for a decision; the score is the mean distance in bits."""
        note = (
            f"{self.share:.0%} of {self.known.source}, {self.item_share:.0%} of this video, "
            f"from {self.start_s:.1f} s to {self.end_s:.1f} s"
        )
        return Evidence(
            policy_id=self.known.policy_id,
            view_id=self.view_id or "",
            part=None if self.view_id is None else "frame",
            uri=self.uri,
            time_s=round(self.start_s, 3),
            score=round(self.distance, 1),
            cut=float(MAX_DISTANCE),
            source="hash",
            note=note,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a line of JSON."""
        return {
            "item_id": self.item_id,
            "view_id": self.view_id,
            "part": "video",
            "uri": self.uri,
            "set": self.known.set,
            "policy": self.known.policy_id or None,
            "share": round(self.share, 4),
            "item_share": round(self.item_share, 4),
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "known_start_s": round(self.known_start_s, 3),
            "speed": round(self.speed, 4),
            "mirrored": self.mirrored,
            "distance": round(self.distance, 1),
            "identical": self.identical,
            "video": self.known.digest.hex(),
            "source": self.known.source,
            "tags": list(self.known.tags),
        }


def read_known_videos(
    store: Store, *, of_set: HashSet | None = None, policy_id: str | None = None
) -> list[PrintedVideo]:
    """Read the known videos, ordered by set, policy and digest.

    Args:
        of_set: only of this set.
        policy_id: only of this policy.
    """
    table = open_side_table(store, TABLE)
    if table is None:
        return []
    rows = table.search().limit(None).to_arrow().sort_by("key").to_pylist()
    return [
        PrintedVideo(
            KnownVideo(
                digest=row["digest"],
                set=row["set"],
                policy_id=row["policy_id"],
                source=row["source"],
                duration_s=row["duration_s"],
                tags=tuple(row["tags"]),
                added_at=row["added_at"],
            ),
            video_prints(row),
        )
        for row in rows
        if (of_set is None or row["set"] == of_set) and (policy_id is None or row["policy_id"] == policy_id)
    ]


def video_row(video: PrintedVideo) -> Mapping[str, object]:
    """The row of a known video in its table."""
    known, prints = video.known, video.prints
    return {
        "key": known.key,
        "digest": known.digest,
        "set": known.set,
        "policy_id": known.policy_id,
        "source": known.source,
        "tags": list(known.tags),
        "added_at": known.added_at,
        "duration_s": prints.duration_s,
        **prints.pack(),
    }


def match_videos(
    store: Store, known: Sequence[PrintedVideo], *, item_ids: Sequence[str] | None = None
) -> list[VideoMatch]:
    """Find stored videos that share a part with a known one, by the fingerprints that indexing stored.

    A known-bad video does not match where a known-good one matches at least as much of the item's video, as near.

    Args:
        store: the database.
        known: `read_known_videos(store)`.
        item_ids: only videos of these items; None for all items.

    Returns:
        Matches by item; an item has the best match of each of its videos and each policy.
    """
    if not known:
        return []
    stored = StoredPrints.read(store, item_ids)
    best: dict[tuple[str, str, str], VideoMatch] = {}
    for match in _matches(stored, known):
        key = match.item_id, match.uri, match.known.key if match.known.set == "good" else match.known.policy_id
        if key not in best or _strength(match) > _strength(best[key]):
            best[key] = match
    good = [match for match in best.values() if match.known.set == "good"]
    kept = [match for match in best.values() if match.known.set == "good" or not any(_excuses(g, match) for g in good)]
    return _with_frames(store, sorted(kept, key=lambda match: (match.item_id, match.uri, match.known.key)))


def _matches(stored: StoredPrints, known: Sequence[PrintedVideo]) -> Iterator[VideoMatch]:
    count = len(known)
    by_digest: dict[bytes, list[PrintedVideo]] = {}
    for video in known:
        by_digest.setdefault(video.known.digest, []).append(video)
    for number, digest in enumerate(stored.digests):
        for video in by_digest.get(digest, ()):
            yield _match(stored, number, video.known, whole_alignment(video.prints), identical=True)
    probes = np.arange(count + len(stored)) < count
    pool = [*(video.prints for video in known), *stored.prints]
    for left, right in candidate_pairs(pool, probes=probes, min_part=_MIN_PART):
        if left >= count or right < count or known[left].known.digest == stored.digests[right - count]:
            continue
        number = right - count
        alignment = align_prints(stored.prints[number], known[left].prints)
        if alignment is not None and (
            alignment.seconds >= LONG_PART_S or max(alignment.share, alignment.stored_share) >= _SHORT_PART_SHARE
        ):
            yield _match(stored, number, known[left].known, alignment, identical=False)


def _match(
    stored: StoredPrints, number: int, video: KnownVideo, alignment: PrintAlignment, *, identical: bool
) -> VideoMatch:
    return VideoMatch(
        item_id=stored.item_ids[number],
        uri=stored.uris[number],
        known=video,
        share=alignment.stored_share,
        item_share=alignment.share,
        start_s=alignment.start_s,
        end_s=alignment.end_s,
        known_start_s=max(0.0, alignment.speed * alignment.start_s + alignment.offset_s),
        speed=alignment.speed,
        mirrored=alignment.mirrored,
        distance=alignment.distance,
        identical=identical,
        view_id=None,
    )


def _strength(match: VideoMatch) -> tuple[bool, float]:
    return match.identical, max(match.share, match.item_share)


def _excuses(good: VideoMatch, bad: VideoMatch) -> bool:
    """Whether a known-good video explains the match with a known-bad one."""
    return (
        (good.item_id, good.uri) == (bad.item_id, bad.uri)
        and good.item_share >= bad.item_share
        and good.distance <= bad.distance
    )


def _with_frames(store: Store, matches: Sequence[VideoMatch]) -> list[VideoMatch]:
    """Add the stored frame nearest to the start of each part."""
    if not matches:
        return []
    views = store.view_rows(sorted({match.item_id for match in matches})).select(
        ["view_id", "item_id", "part", "uri", "time_s"]
    )
    frames: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in views.to_pylist():
        if row["part"] == "frame":
            frames.setdefault((row["item_id"], row["uri"]), []).append((row["time_s"] or 0.0, row["view_id"]))
    found = []
    for match in matches:
        of_video = frames.get((match.item_id, match.uri), [])
        nearest = min(of_video, key=lambda frame: abs(frame[0] - match.start_s), default=None)
        found.append(match if nearest is None else replace(match, view_id=nearest[1]))
    return found
