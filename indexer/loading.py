"""Fetching and decoding ahead of the encoder: threads for pictures, a worker process for videos."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from firstsight.errors import MediaError
from firstsight.indexer.assembly import ItemInHand, Loaded
from firstsight.indexer.settings import IndexSettings
from firstsight.media.fetch import fetch_bytes, fetch_file
from firstsight.media.fingerprints import fingerprint
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy
from firstsight.media.videos import VideoSampler


@dataclass
class MediaJob:
    """One picture or video of one item, to be fetched and decoded."""

    hand: ItemInHand
    medium: Literal["image", "video"]
    index: int  # its position among the item's pictures, or among its videos
    uri: str
    stage: Literal["fetch", "decode"] = "fetch"  # how far it came


class MediaLoader:
    """Loads media in the order asked for, a bounded number of pictures ahead; a context manager."""

    def __init__(self, policy: MediaPolicy, settings: IndexSettings, min_side: int) -> None:
        self._policy = policy
        self._settings = settings
        self._min_side = min_side
        self._pool = ThreadPoolExecutor(settings.decode_threads, "firstsight-load")
        self._videos = VideoSampler(max_pixels=policy.max_pixels, timeout_s=policy.timeout_s)

    def __enter__(self) -> MediaLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        self._videos.close()

    def load_ahead(self, jobs: Iterable[MediaJob]) -> Iterator[tuple[MediaJob, list[Loaded] | MediaError]]:
        """Yield each job with its pictures, or with why there are none, in the jobs' order."""
        ahead: deque[tuple[MediaJob, Future[list[Loaded]]]] = deque()
        pictures = 0
        for job in jobs:
            ahead.append((job, self._pool.submit(self._load, job)))
            pictures += self._weight(job)
            while pictures > self._settings.pictures_ahead and ahead:
                pictures -= self._weight(ahead[0][0])
                yield self._result(*ahead.popleft())
        while ahead:
            yield self._result(*ahead.popleft())

    def _weight(self, job: MediaJob) -> int:
        return self._settings.frames if job.medium == "video" else 1

    @staticmethod
    def _result(job: MediaJob, future: Future[list[Loaded]]) -> tuple[MediaJob, list[Loaded] | MediaError]:
        try:
            return job, future.result()
        except MediaError as error:
            return job, error
        except OSError as error:  # the file or the disk went away while it was being read
            reason = error.strerror or error
            return job, MediaError("unreachable", f"{job.uri} could not be read ({reason}); try --retry")

    def _load(self, job: MediaJob) -> list[Loaded]:
        if job.medium == "image":
            data = fetch_bytes(job.uri, self._policy)
            job.stage = "decode"
            picture = open_picture(data, min_side=self._min_side, max_pixels=self._policy.max_pixels)
            return [Loaded(picture, job.uri, fingerprint=fingerprint(picture))]
        with fetch_file(job.uri, self._policy) as path:
            job.stage = "decode"
            frames = self._videos.sample(path, count=self._settings.frames, min_side=self._min_side)
        return [
            Loaded(f.picture, job.uri, f.time_s, f.start_s, f.end_s, fingerprint=fingerprint(f.picture)) for f in frames
        ]
