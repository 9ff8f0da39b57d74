"""Where known hashes come from: pictures and videos on disk, and items that are indexed already.

Of a picture the hashes of its likely copies are kept beside its own: smaller, mirrored, a little cropped, with a
border. PDQ alone bears a crop of 2 % and no mirror (docs/safety.md has the table); variants on the side of the few
known pictures cost nothing when the many stored ones are matched. Of videos and items there is one hash a view.
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
"""Shares of width and height that cropped variants lack, the same from both sides."""

MIN_SIDE = 64
"""Pixels of a variant's shorter side: PDQ looks at 64 x 64 averages."""


def variants(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Likely copies of a picture, each with a word for it; the picture itself is not among them.

    Args:
        picture: upright RGB.
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
    """The hashes of pictures with their variants, and of the frames that indexing takes of videos.

    Args:
        paths: local files.
        of_set: known to be bad, or good.
        policy_id: what bad ones are known as.
        tags: words kept with each; a variant has one more, such as `variant-mirrored`.
        exact: without variants.

    Returns:
        The hashes, and an error for each file that cannot be used or has nothing in it, such as a black picture.
    """
    hashes: list[KnownHash] = []
    failed: list[MediaError] = []
    with VideoSampler() as sampler:
        for path in paths:
            name = os.fspath(path)
            try:
                found = _hash_video(sampler, name) if media_kind(name) == "video" else _hash_picture(name, exact=exact)
                if not found:
                    raise MediaError("empty", f"{name} has nothing in it that a hash could tell; choose another file")
            except MediaError as error:
                failed.append(error)
                continue
            hashes += [
                _entry(code, name, of_set, policy_id, [*tags, f"variant-{how}"] if how else tags)
                for code, how in found.items()
            ]
    return hashes, failed


def hashes_of_items(
    store: Store, item_ids: Sequence[str], *, of_set: HashSet, policy_id: str, tags: Sequence[str] = ()
) -> list[KnownHash]:
    """The hashes of the pictures and frames of items, as they were indexed.

    Raises:
        SafetyError: there is no such item, or none of its views has a hash.
    """
    hashes: list[KnownHash] = []
    there = store.item_rows(item_ids)
    for item_id in dict.fromkeys(item_ids):
        if item_id not in there:
            raise SafetyError(f"there is no item {item_id!r} in {store.uri}")
        views = store.view_rows([item_id])
        codes = views["fingerprint"].to_pylist() if "fingerprint" in views.column_names else []
        told = {code for code in codes if code is not None}
        if not told:
            raise SafetyError(f"item {item_id!r} has no picture or frame with a hash; give its files instead")
        hashes += [_entry(code, f"item {item_id}", of_set, policy_id, tags) for code in sorted(told)]
    return hashes


def _hash_picture(name: str, *, exact: bool) -> dict[bytes, str]:
    """Hash -> how the variant was made; empty for the picture itself, which comes first."""
    picture = open_picture(name)
    code = fingerprint(picture)
    if code is None:
        return {}
    found = {code: ""}
    for how, variant in () if exact else variants(picture):
        code = fingerprint(variant) if min(variant.size) >= MIN_SIDE else None
        if code is not None:
            found.setdefault(code, how)
    return found


def _hash_video(sampler: VideoSampler, name: str) -> dict[bytes, str]:
    codes = [fingerprint(frame.picture) for frame in sampler.sample(name, rule="auto")]
    return {code: "" for code in codes if code is not None}


def _entry(code: bytes, source: str, of_set: HashSet, policy_id: str, tags: Sequence[str]) -> KnownHash:
    return KnownHash(code, of_set, policy_id if of_set == "bad" else "", source, tuple(tags))
