"""Fetching and decoding of media ahead of the encoder, each in its own threads.

    jobs ──┬─ local ───────────────────────────────────────┐
           └─ remote ── FetchQueue: threads, limits on     ├─ decode: threads, at most `pictures_ahead` decoded
                        all fetches and on each host ──────┘

The decoders take the next available medium, so a slow host delays only its own media. Local media keep the order of the
jobs; later media overtake a remote one that has not arrived yet.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from firstsight.errors import MediaError
from firstsight.indexer.assembly import FilePrints, LoadedMedium, LoadedPicture, PictureInfo
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.media_loading.facts_while_decoding import FunctionKills, open_with_facts, sample_with_facts
from firstsight.indexer.media_loading.fetch_queue import BufferedBytes, FetchQueue
from firstsight.indexer.media_loading.speech import SpeechRecogniser
from firstsight.indexer.timed_text.item_texts import LoadedText
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fetch.addresses import host_of
from firstsight.media.fetch.fetched_media import FetchedMedium, fetch, require_cache
from firstsight.media.fingerprints import fingerprint
from firstsight.media.frames.video_frames import Frame
from firstsight.media.local_files import file_digest
from firstsight.media.picture_facts import PictureFact
from firstsight.media.policy import MediaPolicy

USUAL_FRAMES = 16
"""Estimated frames of a video before it is decoded: most videos are short and give fewer than their rule allows."""


@dataclass(eq=False)
class MediaJob:
    """A picture or video to be fetched and decoded."""

    medium: Literal["image", "video"]
    uri: str
    stage: Literal["fetch", "decode"] = "fetch"  # the stage that an error belongs to
    speech: LoadedText | None = None  # of a video, with a transcriber
    times_s: tuple[float, ...] | None = None  # frames of a video to load; None: those of the rule, with fingerprints


@dataclass(order=True)
class _QueuedJob:
    """A job with its number in the order of the jobs, and its state."""

    number: int
    job: MediaJob = field(compare=False)
    remote: bool = field(compare=False)
    pictures: int = field(compare=False)  # number of pictures; an estimate until the job is decoded
    loaded: Future[LoadedMedium] = field(compare=False, default_factory=Future)
    fetched: FetchedMedium | None = field(compare=False, default=None)
    buffered: BufferedBytes = field(compare=False, default=BufferedBytes())
    decoding: Future[None] | None = field(compare=False, default=None)


class MediaLoader:
    """Loads media ahead of the encoder, with limits on pictures and bytes; a context manager.

    Args:
        policy: rules and limits for fetches.
        settings: threads and buffer sizes.
        min_side: minimum length of a picture's shorter side after decoding, in pixels.
        facts: functions to run on the decoded pictures, in the decoding children.
        kills: shared by the loaders of one run; None for a loader of its own run.

    Raises:
        StoreError: the cache folder of the policy cannot be written.
        EncoderError: the transcriber of the settings cannot be loaded.
    """

    def __init__(
        self,
        policy: MediaPolicy,
        settings: IndexSettings,
        min_side: int,
        facts: Sequence[PictureFact] = (),
        kills: FunctionKills | None = None,
    ) -> None:
        require_cache(policy)
        self._policy = policy
        self._settings = settings
        self._min_side = min_side
        self._kills = kills or FunctionKills()
        self._image_facts = [fact for fact in facts if "image" in fact.parts]
        self._frame_facts = [fact for fact in facts if "frame" in fact.parts]
        self._decoders = ThreadPoolExecutor(settings.decode_threads, "firstsight-decode")
        workers, timeout_s, max_pixels = settings.decode_threads, policy.timeout_s, policy.max_pixels
        self._images = PictureDecoder(
            workers=workers, timeout_s=timeout_s, max_pixels=max_pixels, facts=self._image_facts
        )
        self._videos = VideoSampler(
            workers=workers, timeout_s=timeout_s, max_pixels=max_pixels, facts=self._frame_facts
        )
        self._speech = SpeechRecogniser(settings.transcriber, policy) if settings.transcriber else None
        self._fetches = FetchQueue[_QueuedJob](
            self._fetch,
            at_once=policy.fetches,
            per_host=policy.fetches_per_host,
            ahead=BufferedBytes(settings.bytes_ahead, settings.disk_ahead),
        )
        # the condition guards the attributes below; only the thread of load_ahead removes from _decoding
        self._changed = threading.Condition()
        self._fetching = 0  # remote media that are being fetched, or wait for it
        self._decoding: list[_QueuedJob] = []  # a heap: passed to the decoders and not yet yielded
        self._waiting: list[_QueuedJob] = []  # a heap: fetched or local, waiting for a free decoder slot
        self._pictures = 0  # pictures in _decoding
        self._local = 0  # pictures of local media in _waiting
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
        if self._speech is not None:
            self._speech.close()
        for queued in self._waiting + self._decoding:  # fetched, but never decoded
            if queued.fetched and (queued.decoding is None or queued.decoding.cancelled()):
                queued.fetched.close()

    def load_ahead(self, jobs: Iterable[MediaJob | None]) -> Iterator[tuple[MediaJob, LoadedMedium | MediaError]]:
        """Yield each job with its medium, or with the error that it met.

        Local media come in the order of the jobs. A remote medium comes once it has arrived, before later jobs that
        have arrived too. The calling thread reads `jobs` ahead, limited by `pictures_ahead` and `media_ahead`.

        Args:
            jobs: None stands for a pause: the next result comes before the next job is read.
        """
        waiting_jobs = iter(jobs)
        more = True
        number = 0
        while True:
            paused = False
            while more and not paused and self._has_room():
                try:
                    job = next(waiting_jobs)
                except StopIteration:
                    more = False
                    break
                if job is None:
                    paused = True
                else:
                    self._begin(_QueuedJob(number, job, host_of(job.uri) is not None, self._estimate_pictures(job)))
                    number += 1
            queued = self._next(wait_for_arrival=paused or not (more and self._has_room()))
            if queued is not None:
                yield self._result(queued)
            elif not more:
                return

    def _has_room(self) -> bool:
        with self._changed:
            return (
                self._pictures + self._local <= self._settings.pictures_ahead
                and self._fetching + len(self._waiting) < self._settings.media_ahead
            )

    def _begin(self, queued: _QueuedJob) -> None:
        if queued.remote:
            with self._changed:
                self._fetching += 1
            self._fetches.put(queued, host_of(queued.job.uri) or "")
        else:
            with self._changed:
                heapq.heappush(self._waiting, queued)
                self._local += queued.pictures
                self._decode_more()

    def _next(self, *, wait_for_arrival: bool) -> _QueuedJob | None:
        """Wait for the first available job and return it decoded; None if no job is in progress."""
        with self._changed:
            while not self._decoding:
                if not self._fetching or not wait_for_arrival:
                    return None
                self._changed.wait()
            queued = self._decoding[0]
        queued.loaded.exception()  # outside the lock, so that fetching and decoding continue
        with self._changed:
            self._decoding.remove(queued)  # a newer job may have moved before it
            heapq.heapify(self._decoding)
            self._pictures -= queued.pictures
            self._decode_more()
        return queued

    # ---- in threads of their own

    def _fetch(self, queued: _QueuedJob) -> BufferedBytes:
        """Fetch a medium and return its buffered bytes."""
        try:
            queued.fetched = fetch(queued.job.uri, self._policy, _kind(queued.job))
            queued.buffered = BufferedBytes(queued.fetched.memory_bytes, queued.fetched.disk_bytes)
        except BaseException as error:  # raised or yielded in the calling thread
            queued.loaded.set_exception(error)
        with self._changed:
            self._fetching -= 1
            if self._closed and queued.fetched:
                queued.fetched.close()
            elif not self._closed:
                heapq.heappush(self._waiting, queued)
                self._decode_more()
            self._changed.notify()
        return queued.buffered

    def _decode_more(self) -> None:
        """Pass waiting jobs to the decoders up to the limit, in order; the caller holds the lock."""
        while self._waiting:
            pictures = self._waiting[0].pictures
            if self._decoding and self._pictures + pictures > self._settings.pictures_ahead:
                return
            queued = heapq.heappop(self._waiting)
            heapq.heappush(self._decoding, queued)
            self._pictures += pictures
            if not queued.remote:
                self._local -= pictures
            if not queued.loaded.done():  # done: its fetch has failed
                queued.decoding = self._decoders.submit(self._decode, queued)

    def _decode(self, queued: _QueuedJob) -> None:
        job = queued.job
        try:
            with queued.fetched or fetch(job.uri, self._policy, _kind(job)) as fetched:
                loaded = self._open_picture(job, fetched) if job.medium == "image" else self._sample(job, fetched)
        except BaseException as error:  # raised or yielded in the calling thread
            queued.loaded.set_exception(error)
        else:
            with self._changed:
                self._pictures += len(loaded.pictures) - queued.pictures
                queued.pictures = len(loaded.pictures)
            queued.loaded.set_result(loaded)
        finally:
            self._fetches.release(queued.buffered)

    # ---- the decoders

    def _open_picture(self, job: MediaJob, fetched: FetchedMedium) -> LoadedMedium:
        data = fetched.read()
        job.stage = "decode"
        picture, facts = open_with_facts(self._images, data, self._image_facts, self._min_side, self._kills)
        info = PictureInfo(job.uri, fingerprint=fingerprint(picture), version=fetched.version or None)
        return LoadedMedium([LoadedPicture(picture, info, facts)])

    def _sample(self, job: MediaJob, fetched: FetchedMedium) -> LoadedMedium:
        path = fetched.path()
        job.stage = "decode"
        if job.times_s is not None:
            times_s = job.times_s
            frames = sample_with_facts(
                lambda facts: self._videos.frames_at(path, times_s, min_side=self._min_side, facts=facts),
                self._frame_facts,
                self._kills,
            )
            return LoadedMedium([LoadedPicture(f.picture, PictureInfo(job.uri, f.time_s), f.facts) for f in frames])
        rule, max_frames = str(self._settings.frames), self._settings.max_frames
        prints = None

        def sample(facts: Sequence[PictureFact]) -> list[Frame]:
            nonlocal prints
            sampled = self._videos.sample_with_prints(
                path, rule=rule, max_frames=max_frames, min_side=self._min_side, facts=facts
            )
            prints = sampled.prints
            return sampled.frames

        frames = sample_with_facts(sample, self._frame_facts, self._kills)
        if self._speech is not None:
            job.speech = self._speech.recognise(path, job.uri)
        version = fetched.version or None
        pictures = [
            LoadedPicture(
                f.picture, PictureInfo(job.uri, f.time_s, f.start_s, f.end_s, fingerprint(f.picture), version), f.facts
            )
            for f in frames
        ]
        return LoadedMedium(pictures, None if prints is None else FilePrints(file_digest(path), prints))

    def _estimate_pictures(self, job: MediaJob) -> int:
        """Estimate the number of pictures of a job."""
        if job.times_s is not None:
            return len(job.times_s)
        return min(self._settings.frame_rule.frame_limit, USUAL_FRAMES) if job.medium == "video" else 1

    @staticmethod
    def _result(queued: _QueuedJob) -> tuple[MediaJob, LoadedMedium | MediaError]:
        job = queued.job
        try:
            return job, queued.loaded.result()
        except MediaError as error:
            return job, error
        except OSError as error:  # the file or the disk disappeared during the read
            reason = error.strerror or error
            return job, MediaError("unreachable", f"{job.uri} could not be read ({reason}); try --retry")


def _kind(job: MediaJob) -> Literal["picture", "video"]:
    return "picture" if job.medium == "image" else "video"
