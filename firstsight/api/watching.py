"""The watch of a live stream, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from firstsight.api.connection import DatabaseConnection
from firstsight.storage.store import Store

if TYPE_CHECKING:
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport


class WatchingPart(DatabaseConnection):
    """Live streams as views of an item."""

    def watch(
        self,
        source: str | os.PathLike[str],
        *,
        item_id: str,
        title: str | None = None,
        on_update: Callable[[WatchCounts], None] = lambda counts: None,
        on_event: Callable[[str], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
        **settings: Any,
    ) -> WatchReport:
        """Keep the latest frames of a running stream as views of an item, until the stream ends.

        Args:
            source: an http(s) address (an HLS playlist, or an endless video), an rtsp(s) address, or a local file,
                which is read as fast as it can be encoded.
            item_id: an item of the index, or a new one, of kind "live".
            title: title of a new item.
            on_update: called with the counts after each write, in the calling thread.
            on_event: called with a sentence when a connection is lost, in another thread.
            should_stop: called several times a second; once it returns True, the watch writes its frames and ends.
            settings: fields of `firstsight.indexer.watch_settings.WatchSettings`: every_s, window_s, for_s, …

        Returns:
            A report; its `outcome` is "finished", "stopped", or "failed" if the stream was lost.

        Raises:
            QueryError: there is no such item and no title, or the item has another title.
            MediaError: the stream gave no frame.
            DatabaseBusyError: another process watches a stream for this item, or was still writing at the end, after
                `last_write_s`.
            ValueError: a setting is out of range.
            EncoderError: the encoder cannot be loaded, or fails on every input.
            EncoderMismatchError: the database holds another encoder's vectors.
            StoreError: the database cannot be written.
        """
        from firstsight.indexer.watch import WatchRun
        from firstsight.indexer.watch_settings import WatchSettings

        watch_settings = WatchSettings(**settings)
        store = self._open() if title is None else Store.create(self.uri, self.encoder.spec)
        return WatchRun(
            store,
            self.encoder,
            os.fspath(source),
            item_id,
            self._policy,
            watch_settings,
            title=title,
            on_update=on_update,
            on_event=on_event,
            should_stop=should_stop,
        ).run()
