"""Find items with remote media that have changed at an unchanged address."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from queue import SimpleQueue
from typing import Final, TypeAlias

from firstsight.errors import MediaError
from firstsight.indexer.media_loading.fetch_queue import BufferedBytes, FetchQueue
from firstsight.indexer.row_reader import CatalogItem
from firstsight.media.fetch.addresses import host_of
from firstsight.media.policy import MediaPolicy
from firstsight.storage.store import Store

KEPT_ANSWERS: Final = 20_000
"""Answers of servers that are kept for further items with the same medium: 10 MB with addresses of usual length."""

_StoredMedium: TypeAlias = tuple[str, str]  # address, version when it was encoded


class ChangedMedia:
    """Asks servers whether indexed http(s) media have changed, once for each medium.

    Args:
        store: with the versions of the indexed media.
        policy: limits of the requests.
    """

    def __init__(self, store: Store, policy: MediaPolicy) -> None:
        self._store = store
        self._policy = policy
        self._answers: OrderedDict[_StoredMedium, bool] = OrderedDict()

    def items(self, items: Sequence[CatalogItem]) -> set[str]:
        """Find items with changed media, by conditional requests to the servers.

        Media without a view have failed before; `--retry` handles them, not this function. A medium counts as changed
        if its server reports a change, reports that the medium is gone, or gave neither ETag nor Last-Modified. It
        counts as unchanged if its server cannot be reached.

        Returns:
            Ids of the items to encode again.
        """
        listed = {(item.item_id, uri) for item in items for uri in (*item.images, *item.videos) if _is_http(uri)}
        subtitles = {item.item_id: _remote_subtitles(item) for item in items}
        several = {item_id for item_id, uris in subtitles.items() if len(uris) > 1}  # their views do not name the file
        ids = sorted({item_id for item_id, _ in listed} | {item_id for item_id, uris in subtitles.items() if uris})
        views = self._store.view_rows(ids).select(["item_id", "part", "uri", "version"])
        users: dict[_StoredMedium, set[str]] = {}
        for row in views.to_pylist():
            if row["part"] == "transcript":
                for uri in subtitles[row["item_id"]][:1] if row["version"] is not None else ():
                    users.setdefault((uri, row["version"]), set()).add(row["item_id"])
            elif (row["item_id"], row["uri"]) in listed:
                users.setdefault((row["uri"], row["version"] or ""), set()).add(row["item_id"])
        answers = {medium: self._answers[medium] for medium in users if medium in self._answers}
        answers |= self._ask(users.keys() - answers.keys())
        self._keep(answers)
        changed = {item_id for medium, has_changed in answers.items() if has_changed for item_id in users[medium]}
        return changed | several

    def _keep(self, answers: dict[_StoredMedium, bool]) -> None:
        for medium, answer in answers.items():
            self._answers[medium] = answer
            self._answers.move_to_end(medium)
        while len(self._answers) > KEPT_ANSWERS:
            self._answers.popitem(last=False)

    def _ask(self, media: Collection[_StoredMedium]) -> dict[_StoredMedium, bool]:
        """Ask the servers at the same time, within the limits of the policy."""
        if not media:
            return {}
        answers: SimpleQueue[tuple[_StoredMedium, bool] | BaseException] = SimpleQueue()

        def ask(medium: _StoredMedium) -> BufferedBytes:
            try:
                answers.put((medium, _has_changed(*medium, self._policy)))
            except BaseException as error:  # raised below, in the waiting thread
                answers.put(error)
            return BufferedBytes()

        queue = FetchQueue[_StoredMedium](
            ask, at_once=self._policy.fetches, per_host=self._policy.fetches_per_host, ahead=BufferedBytes(1, 1)
        )
        try:
            for medium in sorted(media):
                queue.put(medium, host_of(medium[0]) or "")
            return dict(_received(answers, len(media)))
        finally:
            queue.close(wait=False)


def _remote_subtitles(item: CatalogItem) -> list[str]:
    return [source.uri for source in item.subtitles if source.uri is not None and _is_http(source.uri)]


def _received(
    answers: SimpleQueue[tuple[_StoredMedium, bool] | BaseException], count: int
) -> Iterator[tuple[_StoredMedium, bool]]:
    for _ in range(count):
        answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        yield answer


def _has_changed(uri: str, version: str, policy: MediaPolicy) -> bool:
    from firstsight.media.fetch.download import Version, has_changed

    try:
        return has_changed(uri, Version.parse(version), policy)
    except MediaError as error:
        return error.reason == "missing"


def _is_http(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))
