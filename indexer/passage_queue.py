"""The timed texts of a run on their way to the encoder: loaded in threads, then encoded in batches of passages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from firstsight.encoders.base import Encoder
from firstsight.encoders.isolation import try_texts
from firstsight.errors import MediaError
from firstsight.indexer.assembly import SPEECH, PendingItem
from firstsight.indexer.index_report import RunningCounts
from firstsight.indexer.media_loading.shared_media import MediaUse
from firstsight.indexer.reindex.standby_writer import StandbyWriter
from firstsight.indexer.timed_text.item_texts import ItemText, ItemTexts, LoadedText
from firstsight.indexer.timed_text.passages import Passage

THREADS: Final = 4
"""Threads that fetch and parse: subtitle files are small, so a slow host is the only reason to wait."""

MAX_LOADING: Final = 64
"""Texts that may be loading, or wait for their turn, at most 8 MB each."""


@dataclass(eq=False)
class _Use:
    """A timed text of an item, and what is left to encode of it."""

    pending: PendingItem
    place: str  # in the ids of its views
    uri: str | None  # of its video
    version: str | None
    left: int


class PassageQueue:
    """Loads timed texts and encodes their passages; for one thread, as a context manager.

    Args:
        texts: loads a text.
        release: called when all passages of a text are encoded.
        counts: of the run.
    """

    def __init__(self, texts: ItemTexts, release: Callable[[PendingItem], None], counts: RunningCounts) -> None:
        self._texts = texts
        self._release = release
        self._counts = counts
        self._loading: deque[tuple[PendingItem, int, ItemText, Future[LoadedText]]] = deque()
        self._waiting: deque[tuple[_Use, int, Passage]] = deque()
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> PassageQueue:
        self._threads = ThreadPoolExecutor(THREADS, "firstsight-text")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._threads is not None
        self._threads.shutdown(wait=kind is None, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._waiting)

    def load(self, pending: PendingItem) -> None:
        """Start to load all timed texts of an item."""
        assert self._threads is not None
        for number, text in enumerate(pending.timed_texts):
            while len(self._loading) >= MAX_LOADING:
                self._receive_next()
            self._loading.append((pending, number, text, self._threads.submit(self._texts.load, text)))

    def receive(self) -> None:
        """Take over the texts that have been loaded."""
        while self._loading and self._loading[0][3].done():
            self._receive_next()

    def wait(self) -> None:
        """Take over all texts, and wait for those that are loading."""
        while self._loading:
            self._receive_next()

    def _receive_next(self) -> None:
        pending, number, text, future = self._loading.popleft()
        loaded = future.result()
        self._counts["media"] += 1
        self._counts["lines"] += loaded.lines
        if loaded.problem is not None:
            stage, error = loaded.problem
            pending.fail(stage, text.name, error)
        videos = pending.item.videos
        uri = videos[text.video] if videos else None
        self.add(pending, f"-{text.video}-{number}", uri, loaded.passages, loaded.version)
        self._release(pending)  # of the text itself; each passage is waited for on its own

    def add(
        self,
        pending: PendingItem,
        place: str,
        uri: str | None,
        passages: tuple[Passage, ...],
        version: str | None = None,
    ) -> None:
        """Queue passages of an item, which then waits for them.

        Args:
            place: of the text, in the ids of views, such as "-0-1".
            uri: of the video.
        """
        if passages:
            use = _Use(pending, place, uri, version, len(passages))
            pending.waiting += 1
            self._waiting.extend((use, number, passage) for number, passage in enumerate(passages))

    def add_speech(self, use: MediaUse, speech: LoadedText | None) -> None:
        """Queue the recognised speech of a medium, if it has some."""
        if speech is None:
            return
        self._counts["lines"] += speech.lines
        if speech.problem is not None:
            use.pending.fail(speech.problem[0], use.uri, speech.problem[1])
        self.add(use.pending, f"-{use.index}-{SPEECH}", use.uri, speech.passages)

    def encode(self, encoder: Encoder, batch_size: int, standby: StandbyWriter) -> None:
        """Encode all waiting passages, also for the vector set that is not in force."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(batch_size, len(self._waiting)))]
            texts = [passage.encoded_text for _, _, passage in batch]
            outcomes, others = try_texts(encoder, texts), standby.encode_texts(texts)
            for (use, number, passage), outcome, other in zip(batch, outcomes, others, strict=True):
                if isinstance(outcome, MediaError):
                    use.pending.fail("encode", use.uri or "", outcome)
                else:
                    place = f"{use.place}-{number}"
                    use.pending.add_passage(place, passage, outcome.copy(), use.uri, use.version, other)
                    self._counts["passages"] += 1
                use.left -= 1
                if not use.left:
                    self._release(use.pending)
