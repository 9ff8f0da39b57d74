"""Sources of known hashes: pictures and videos on disk, and indexed items.

A picture also gets the hashes of its likely copies: mirrored, a little cropped, with a border. PDQ alone tolerates a
crop of 2 % and no mirroring (docs/safety.md has the table). Known pictures are few and stored views are many, so
variants of the known ones make matching no slower. Videos and items get one hash for each view.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from PIL import Image, ImageOps

from firstsight.errors import MediaError, SafetyError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.file_formats import media_kind
from firstsight.media.fingerprints import fingerprint
from firstsight.media.pictures import open_picture
from firstsight.safety.hashes.hash_lists import HashSet, KnownHash
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


def hashes_of_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
    of_set: HashSet,
    policy_id: str,
    tags: Sequence[str] = (),
    exact: bool = False,
) -> tuple[list[KnownHash], list[MediaError]]:
    """Hash pictures with their variants, and videos at the frames that indexing takes.

    Args:
        paths: local files.
        of_set: "bad" or "good".
        policy_id: policy of bad hashes; ignored for good ones.
        tags: tags of each hash; a variant has one more, such as `variant-mirrored`.
        exact: leave out the variants.

    Returns:
        The hashes, and an error for each file that cannot be read or is flat, such as a black picture.
    """
    hashes: list[KnownHash] = []
    failed: list[MediaError] = []
    with VideoSampler() as sampler:
        for path in paths:
            name = os.fspath(path)
            try:
                codes = _hash_video(sampler, name) if media_kind(name) == "video" else _hash_picture(name, exact=exact)
                if not codes:
                    raise MediaError("empty", f"{name} is flat, so it has no hash; choose another file")
            except MediaError as error:
                failed.append(error)
                continue
            hashes += [
                _entry(code, name, of_set, policy_id, [*tags, f"variant-{variant}"] if variant else tags)
                for code, variant in codes.items()
            ]
    return hashes, failed


def hashes_of_items(
    store: Store, item_ids: Sequence[str], *, of_set: HashSet, policy_id: str, tags: Sequence[str] = ()
) -> list[KnownHash]:
    """Return the stored hashes of the pictures and frames of items.

    Args:
        store: the database.
        item_ids: the items.
        of_set, policy_id, tags: as for `hashes_of_files`.

    Raises:
        SafetyError: an item does not exist, or none of its views has a hash.
    """
    hashes: list[KnownHash] = []
    stored = store.item_rows(item_ids)
    for item_id in dict.fromkeys(item_ids):
        if item_id not in stored:
            raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
        views = store.view_rows([item_id])
        codes = views["fingerprint"].to_pylist() if "fingerprint" in views.column_names else []
        known = {code for code in codes if code is not None}
        if not known:
            raise SafetyError(f"item {item_id!r} has no picture or frame with a hash; give its files instead")
        hashes += [_entry(code, f"item {item_id}", of_set, policy_id, tags) for code in sorted(known)]
    return hashes


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


def _hash_video(sampler: VideoSampler, name: str) -> dict[bytes, str]:
    codes = [fingerprint(frame.picture) for frame in sampler.sample(name, rule="auto")]
    return {code: "" for code in codes if code is not None}


def _entry(code: bytes, source: str, of_set: HashSet, policy_id: str, tags: Sequence[str]) -> KnownHash:
    return KnownHash(code, of_set, policy_id if of_set == "bad" else "", source, tuple(tags))
