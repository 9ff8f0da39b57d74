"""Where known hashes come from: pictures and videos on disk, and items that are indexed already."""

from __future__ import annotations

import os
from collections.abc import Sequence

from firstsight.errors import MediaError, SafetyError
from firstsight.indexer.store import Store
from firstsight.media.fingerprints import fingerprint
from firstsight.media.kinds import media_kind
from firstsight.media.pictures import open_picture
from firstsight.media.videos import VideoSampler
from firstsight.safety.hash_lists import HashSet, KnownHash


def hashes_of_files(
    paths: Sequence[str | os.PathLike[str]], *, of_set: HashSet, policy_id: str, tags: Sequence[str] = ()
) -> tuple[list[KnownHash], list[MediaError]]:
    """The hashes of pictures, and of the frames that indexing takes of videos; equal frames give one.

    Returns:
        The hashes, and an error for each file that cannot be used or has nothing in it, such as a black picture.
    """
    hashes: list[KnownHash] = []
    failed: list[MediaError] = []
    with VideoSampler() as sampler:
        for path in paths:
            name = os.fspath(path)
            try:
                if media_kind(name) == "video":
                    codes = [fingerprint(frame.picture) for frame in sampler.sample(name, rule="auto")]
                else:
                    codes = [fingerprint(open_picture(name))]
                told = {code for code in codes if code is not None}
                if not told:
                    raise MediaError("empty", f"{name} has nothing in it that a hash could tell; choose another file")
            except MediaError as error:
                failed.append(error)
                continue
            hashes += _entries(sorted(told), name, of_set, policy_id, tags)
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
        hashes += _entries(sorted(told), f"item {item_id}", of_set, policy_id, tags)
    return hashes


def _entries(
    codes: Sequence[bytes], source: str, of_set: HashSet, policy_id: str, tags: Sequence[str]
) -> list[KnownHash]:
    return [KnownHash(code, of_set, policy_id if of_set == "bad" else "", source, tuple(tags)) for code in codes]
