"""Find items with remote media that have changed at an unchanged address."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue

from firstsight.errors import MediaError
from firstsight.indexer.catalog import CatalogItem
from firstsight.indexer.fetch_queue import BufferedBytes, FetchQueue
from firstsight.media.fetch.addresses import host_of
from firstsight.media.policy import MediaPolicy
from firstsight.storage.store import Store

_RemoteMedium = tuple[str, str, str]  # item, address, version


def changed_items(store: Store, items: Sequence[CatalogItem], policy: MediaPolicy) -> set[str]:
    """Ask the servers of indexed http(s) media, by conditional requests, whether the media have changed.

    Media without a view have failed before; `--retry` handles them, not this function. A medium counts as changed if
    its server reports a change, reports that the medium is gone, or gave neither ETag nor Last-Modified. It counts as
    unchanged if its server cannot be reached.

    Returns:
        Ids of the items to encode again.
    """
    listed = {(item.item_id, uri) for item in items for uri in (*item.images, *item.videos) if _is_http(uri)}
    views = store.view_rows(sorted({item_id for item_id, _ in listed})).select(["item_id", "uri", "version"])
    known = {
        (row["item_id"], row["uri"], row["version"] or "")
        for row in views.to_pylist()
        if (row["item_id"], row["uri"]) in listed
    }
    if not known:
        return set()
    answers: SimpleQueue[str | BaseException | None] = SimpleQueue()

    def ask(medium: _RemoteMedium) -> BufferedBytes:
        try:
            answers.put(medium[0] if _has_changed(medium[1], medium[2], policy) else None)
        except BaseException as error:  # raised below, in the waiting thread
            answers.put(error)
        return BufferedBytes()

    queue = FetchQueue[_RemoteMedium](
        ask, at_once=policy.fetches, per_host=policy.fetches_per_host, ahead=BufferedBytes(1, 1)
    )
    changed = set()
    try:
        for medium in sorted(known):
            queue.put(medium, host_of(medium[1]) or "")
        for _ in known:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                changed.add(answer)
    finally:
        queue.close(wait=False)
    return changed


def _has_changed(uri: str, version: str, policy: MediaPolicy) -> bool:
    from firstsight.media.fetch.download import Version, has_changed

    try:
        return has_changed(uri, Version.parse(version), policy)
    except MediaError as error:
        return error.reason == "missing"


def _is_http(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))
