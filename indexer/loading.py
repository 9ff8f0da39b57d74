"""Fetching and decoding ahead of the encoder, apart from each other.

    jobs ──┬─ local ───────────────────────────────────────┐
           └─ remote ── FetchQueue: threads, so many at    ├─ decode: threads, at most `pictures_ahead` decoded
                        once, so many from one host ───────┘

A slow host holds its own fetches and nothing else: who is decoded next is whoever is there. So local media come
in the order asked for, and a remote one that is not here yet is overtaken by those behind it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from firstsight.errors import MediaError
from firstsight.indexer.assembly import LoadedPicture, PendingItem
from firstsight.indexer.fetch_queue import BufferedBytes, FetchQueue
from firstsight.indexer.index_settings import IndexSettings
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fetch.addresses import host_of
from firstsight.media.fetch.fetched_media import FetchedMedium, fetch, require_cache
from firstsight.media.fingerprints import fingerprint
from firstsight.media.policy import MediaPolicy

USUAL_FRAMES = 16
"""Frames that a video is taken to give until it is decoded: most are short, and give fewer than their rule allows."""


@dataclass
class MediaJob:
    """One picture or video of one item, to be fetched and decoded."""

    pending: PendingItem
    medium: Literal["image", "video"]
    index: int  # its position among the item's pictures, or among its videos
    uri: str
    stage: Literal["fetch", "decode"] = "fetch"  # how far it came


@dataclass(order=True)
class _QueuedJob:
    """A job's place in the order asked for."""

    number: int
    job: MediaJob = field(compare=False)
    remote: bool = field(compare=False)
    pictures: int = field(compare=False)  # that it becomes: a guess until it is decoded
    loaded: Future[list[LoadedPicture]] = field(compare=False, default_factory=Future)
    fetched: FetchedMedium | None = field(compare=False, default=None)
    buffered: BufferedBytes = field(compare=False, default=BufferedBytes())
    decoding: Future[None] | None = field(compare=False, default=None)


class MediaLoader:
    """Loads media, a bounded number of pictures and bytes ahead; a context manager.

    Raises:
        StoreError: fetched media cannot be kept where the policy says.
    """

    def __init__(self, policy: MediaPolicy, settings: IndexSettings, min_side: int) -> None:
        require_cache(policy)
        self._policy = policy
        self._settings = settings
        self._min_side = min_side
        self._decoders = ThreadPoolExecutor(settings.decode_threads, "firstsight-decode")
        workers, timeout_s, max_pixels = settings.decode_threads, policy.timeout_s, policy.max_pixels
        self._images = PictureDecoder(workers=workers, timeout_s=timeout_s, max_pixels=max_pixels)
        self._videos = VideoSampler(workers=workers, timeout_s=timeout_s, max_pixels=max_pixels)
        self._fetches = FetchQueue[_QueuedJob](
            self._fetch,
            at_once=policy.fetches,
            per_host=policy.fetches_per_host,
            ahead=BufferedBytes(settings.bytes_ahead, settings.disk_ahead),
        )
        # of these, only the thread that calls load_ahead removes from _decoding; all of it is under the lock
        self._changed = threading.Condition()
        self._fetching = 0  # remote media being fetched, or waiting to be
        self._decoding: list[_QueuedJob] = []  # a heap: given to a decoder and not yet yielded
        self._waiting: list[_QueuedJob] = []  # a heap: fetched, or local, and waiting for room among the decoded
        self._pictures = 0  # of those in _decoding
        self._local = 0  # pictures of the local ones in _waiting
        self._closed = False

    def __enter__(self) -> MediaLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
        self._fetches.close(wait=kind is None)
        self._decoders.shutdown(wait=kind is None, cancel_futures=True)
        self._images.close()
        self._videos.close()
        for place in self._waiting + self._decoding:  # what was fetched for nothing
            if place.fetched and (place.decoding is None or place.decoding.cancelled()):
                place.fetched.close()

    def load_ahead(self, jobs: Iterable[MediaJob]) -> Iterator[tuple[MediaJob, list[LoadedPicture] | MediaError]]:
        """Yield each job with its pictures, or with why there are none.

        Local media come in the jobs' order; a remote one comes as soon as it is there, before the others that
        are. `jobs` is read in the calling thread: as far ahead as there is room for decoded pictures, and for
        `media_ahead` media that are being fetched.
        """
        waiting_jobs = iter(jobs)
        more = True
        number = 0
        while True:
            while more and self._has_room():
                job = next(waiting_jobs, None)
                if job is None:
                    more = False
                else:
                    self._begin(_QueuedJob(number, job, host_of(job.uri) is not None, self._estimate_pictures(job)))
                    number += 1
            place = self._next(wait_for_arrival=not (more and self._has_room()))
            if place is not None:
                yield self._result(place)
            elif not more:
                return

    def _has_room(self) -> bool:
        with self._changed:
            return (
                self._pictures + self._local <= self._settings.pictures_ahead
                and self._fetching + len(self._waiting) < self._settings.media_ahead
            )

    def _begin(self, place: _QueuedJob) -> None:
        if place.remote:
            with self._changed:
                self._fetching += 1
            self._fetches.put(place, host_of(place.job.uri) or "")
        else:
            with self._changed:
                heapq.heappush(self._waiting, place)
                self._local += place.pictures
                self._decode_more()

    def _next(self, *, wait_for_arrival: bool) -> _QueuedJob | None:
        """The first of those that are here, once it is decoded; None where nothing is on its way."""
        with self._changed:
            while not self._decoding:
                if not self._fetching or not wait_for_arrival:
                    return None
                self._changed.wait()
            place = self._decoding[0]
        place.loaded.exception()  # outside the lock: others go on being fetched and decoded meanwhile
        with self._changed:
            self._decoding.remove(place)  # one that came meanwhile may stand before it
            heapq.heapify(self._decoding)
            self._pictures -= place.pictures
            self._decode_more()
        return place

    # ---- in threads of their own

    def _fetch(self, place: _QueuedJob) -> BufferedBytes:
        """Fetch one medium; returns what it holds until it is decoded."""
        try:
            place.fetched = fetch(place.job.uri, self._policy, _kind(place.job))
            place.buffered = BufferedBytes(place.fetched.memory_bytes, place.fetched.disk_bytes)
        except BaseException as error:  # raised, or yielded, in the thread that asked for it
            place.loaded.set_exception(error)
        with self._changed:
            self._fetching -= 1
            if self._closed and place.fetched:
                place.fetched.close()
            elif not self._closed:
                heapq.heappush(self._waiting, place)
                self._decode_more()
            self._changed.notify()
        return place.buffered

    def _decode_more(self) -> None:
        """Give to the decoders what there is room for, in the jobs' order; the caller holds the lock."""
        while self._waiting:
            pictures = self._waiting[0].pictures
            if self._decoding and self._pictures + pictures > self._settings.pictures_ahead:
                return
            place = heapq.heappop(self._waiting)
            heapq.heappush(self._decoding, place)
            self._pictures += pictures
            if not place.remote:
                self._local -= pictures
            if not place.loaded.done():  # as where fetching has failed
                place.decoding = self._decoders.submit(self._decode, place)

    def _decode(self, place: _QueuedJob) -> None:
        job = place.job
        try:
            with place.fetched or fetch(job.uri, self._policy, _kind(job)) as fetched:
                loaded = self._open_picture(job, fetched) if job.medium == "image" else self._sample(job, fetched)
        except BaseException as error:  # raised, or yielded, in the thread that asked for it
            place.loaded.set_exception(error)
        else:
            with self._changed:
                self._pictures += len(loaded) - place.pictures
                place.pictures = len(loaded)
            place.loaded.set_result(loaded)
        finally:
            self._fetches.release(place.buffered)

    # ---- the decoders

    def _open_picture(self, job: MediaJob, fetched: FetchedMedium) -> list[LoadedPicture]:
        data = fetched.read()
        job.stage = "decode"
        picture = self._images.open(data, min_side=self._min_side)
        return [LoadedPicture(picture, job.uri, fingerprint=fingerprint(picture), version=fetched.version or None)]

    def _sample(self, job: MediaJob, fetched: FetchedMedium) -> list[LoadedPicture]:
        path = fetched.path()
        job.stage = "decode"
        rule, most = str(self._settings.frames), self._settings.max_frames
        frames = self._videos.sample(path, rule=rule, max_frames=most, min_side=self._min_side)
        version = fetched.version or None
        return [
            LoadedPicture(f.picture, job.uri, f.time_s, f.start_s, f.end_s, fingerprint(f.picture), version)
            for f in frames
        ]

    def _estimate_pictures(self, job: MediaJob) -> int:
        """Pictures it may become."""
        return min(self._settings.frame_rule.frame_limit, USUAL_FRAMES) if job.medium == "video" else 1

    @staticmethod
    def _result(place: _QueuedJob) -> tuple[MediaJob, list[LoadedPicture] | MediaError]:
        job = place.job
        try:
            return job, place.loaded.result()
        except MediaError as error:
            return job, error
        except OSError as error:  # the file or the disk went away while it was being read
            reason = error.strerror or error
            return job, MediaError("unreachable", f"{job.uri} could not be read ({reason}); try --retry")


def _kind(job: MediaJob) -> Literal["picture", "video"]:
    return "picture" if job.medium == "image" else "video"
