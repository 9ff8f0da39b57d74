"""Sources of known hashes and videos: pictures and videos on disk, and indexed items.

A picture also gets the hashes of its likely copies: mirrored, a little cropped, with a border. PDQ alone tolerates a
crop of 2 % and no mirroring (docs/safety.md has the table). Known pictures are few and stored views are many, so
variants of the known ones make matching no slower. A video becomes a known video, with its fingerprints; its frames
become hashes only on request, because a single frame proves little about a video.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from firstsight.duplicates.prints.stored_prints import StoredPrints
from firstsight.errors import MediaError, SafetyError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.file_formats import media_kind
from firstsight.media.fingerprints import fingerprint
from firstsight.media.local_files import file_digest
from firstsight.media.pictures import open_picture
from firstsight.safety.hashes.hash_lists import HashSet, KnownHash
from firstsight.safety.hashes.known_videos import KnownVideo, PrintedVideo
from firstsight.storage.store import Store

CROPS = (0.04, 0.07, 0.11)
"""Shares of width and height that cropped variants lose, the same on both sides."""

MIN_SIDE = 64
"""Minimum shorter side of a variant in pixels: PDQ computes 64 x 64 averages."""


def variants(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Make likely copies of a picture, without the picture itself.

    Args:
        picture: upright RGB.

    Yields:
        Name of the variant, and its picture.
    """
    yield "mirrored", ImageOps.mirror(picture)
    for share in CROPS:
        across, down = round(picture.width * share / 2), round(picture.height * share / 2)
        yield f"cropped-{share * 100:.0f}", picture.crop((across, down, picture.width - across, picture.height - down))
    yield "border", ImageOps.expand(picture, max(picture.width // 20, 1), "white")


@dataclass(frozen=True)
class KnownMedia:
    """Hashes of pictures and fingerprints of videos."""

    hashes: list[KnownHash]
    videos: list[PrintedVideo]


def hashes_of_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    of_set: HashSet,
    policy_id: str,
    tags: Sequence[str] = (),
    exact: bool = False,
    frames: bool = False,
) -> tuple[KnownMedia, list[MediaError]]:
    """Hash pictures with their variants, and make the fingerprints of videos.

    Args:
        paths: local files.
        of_set: "bad" or "good".
        policy_id: policy of bad hashes; ignored for good ones.
        tags: tags of each hash; a variant has one more, such as `variant-mirrored`.
        exact: leave out the variants.
        frames: also hash the frames of videos that indexing takes, as pictures.

    Returns:
        The hashes and videos, and an error for each file that cannot be read or is flat, such as a black picture.
    """
    found = KnownMedia([], [])
    failed: list[MediaError] = []
    policy_id = policy_id if of_set == "bad" else ""
    with VideoSampler() as sampler:
        for path in paths:
            name = os.fspath(path)
            codes: dict[bytes, str] = {}
            try:
                if media_kind(name) == "video":
                    prints = sampler.prints(name)
                    if not prints.whole.any():
                        raise MediaError("empty", f"{name} is flat, so it has no fingerprints; choose another file")
                    digest = file_digest(name)
                    codes = _hash_frames(sampler, name) if frames else {}
                    known = KnownVideo(digest, of_set, policy_id, name, prints.duration_s, tuple(tags))
                    found.videos.append(PrintedVideo(known, prints))
                else:
                    codes = _hash_picture(name, exact=exact)
                    if not codes:
                        raise MediaError("empty", f"{name} is flat, so it has no hash; choose another file")
            except MediaError as error:
                failed.append(error)
                continue
            found.hashes.extend(
                _entry(code, name, of_set, policy_id, [*tags, f"variant-{variant}"] if variant else tags)
                for code, variant in codes.items()
            )
    return found, failed


def hashes_of_items(
    store: Store, item_ids: Sequence[str], *, of_set: HashSet, policy_id: str, tags: Sequence[str] = ()
) -> KnownMedia:
    """Return the stored hashes of the pictures of items, and the fingerprints of their videos.

    Frames of a video without fingerprints of its own, such as a live stream, become hashes.

    Args:
        store: the database.
        item_ids: the items.
        of_set, policy_id, tags: as for `hashes_of_files`.

    Raises:
        SafetyError: an item does not exist, or has neither a hash nor fingerprints.
    """
    found = KnownMedia([], [])
    policy_id = policy_id if of_set == "bad" else ""
    stored = store.item_rows(item_ids)
    for item_id in dict.fromkeys(item_ids):
        if item_id not in stored:
            raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
        name = f"item {item_id}"
        prints = StoredPrints.read(store, [item_id])
        videos = [
            PrintedVideo(KnownVideo(digest, of_set, policy_id, name, made.duration_s, tuple(tags)), made)
            for digest, made in zip(prints.digests, prints.prints, strict=True)
            if made.whole.any()
        ]
        rows = store.view_rows([item_id]).select(["part", "uri", "fingerprint"]).to_pylist()
        codes = {
            row["fingerprint"]
            for row in rows
            if row["fingerprint"] is not None and (row["part"] != "frame" or row["uri"] not in prints.uris)
        }
        if not codes and not videos:
            raise SafetyError(f"item {item_id!r} has no picture or frame with a hash; give its files instead")
        found.videos.extend(videos)
        found.hashes.extend(_entry(code, name, of_set, policy_id, tags) for code in sorted(codes))
    return found


def _hash_picture(path: str, *, exact: bool) -> dict[bytes, str]:
    """Return hash -> name of the variant; the picture itself comes first, with an empty name."""
    picture = open_picture(path)
    code = fingerprint(picture)
    if code is None:
        return {}
    codes = {code: ""}
    for name, variant in () if exact else variants(picture):
        code = fingerprint(variant) if min(variant.size) >= MIN_SIDE else None
        if code is not None:
            codes.setdefault(code, name)
    return codes


def _hash_frames(sampler: VideoSampler, name: str) -> dict[bytes, str]:
    codes = [fingerprint(frame.picture) for frame in sampler.sample(name, rule="auto")]
    return {code: "" for code in codes if code is not None}


def _entry(code: bytes, source: str, of_set: HashSet, policy_id: str, tags: Sequence[str]) -> KnownHash:
    return KnownHash(code, of_set, policy_id, source, tuple(tags))
