"""Media of an index run: each is fetched, decoded and encoded once, however many items use it.

The variants of a product often share their pictures. The first item that uses a medium starts a job; items that use it
while the job is in progress wait for its result. Later items get the result from memory, which holds the media of the
last uses up to `KEPT_BYTES`. Failures are shared as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from firstsight.encoders.base import Vector
from firstsight.encoders.isolation import Outcome
from firstsight.errors import MediaError
from firstsight.indexer.assembly import FilePrints, LoadedMedium, LoadedPicture, PendingItem, PictureInfo
from firstsight.indexer.media_loading.media_loader import MediaJob
from firstsight.indexer.timed_text.item_texts import LoadedText
from firstsight.media.picture_facts import FoundFacts

KEPT_BYTES: Final = 32 * 2**20
"""Memory for encoded media that later items may use: about 14,000 pictures with vectors of 384 numbers."""

MAX_WAITING: Final = 4_000
"""Uses that may wait for media in progress; beyond them, a run plans no further items."""

_MEDIUM_BYTES: Final = 600  # besides the vectors: objects, address, message of a failure
_PICTURE_BYTES: Final = 400

_Key: TypeAlias = tuple[str, str, str]  # medium, address, state of the file


@dataclass(frozen=True)
class MediaUse:
    """A picture or video of one item."""

    pending: PendingItem
    medium: Literal["image", "video"]
    index: int  # position among the item's pictures, or among its videos
    uri: str


@dataclass(frozen=True)
class EncodedPicture:
    """The vector of a picture, or of a frame."""

    index: int  # position among the medium's frames; 0 for a picture
    vector: Vector
    info: PictureInfo
    standby: Vector | None = None  # by the encoder of the vector set that is not in force
    facts: FoundFacts | None = None


@dataclass(frozen=True)
class EncodedMedium:
    """The encoded pictures of a medium, and its failures: of the whole medium, or of single frames."""

    pictures: tuple[EncodedPicture, ...]
    failures: tuple[tuple[str, MediaError], ...] = ()  # stage, error
    prints: FilePrints | None = None  # of a video
    speech: LoadedText | None = None  # of a video, with a transcriber

    @property
    def memory_bytes(self) -> int:
        """Estimated bytes of memory in use."""
        vectors = sum(p.vector.nbytes + (0 if p.standby is None else p.standby.nbytes) for p in self.pictures)
        facts = sum(0 if p.facts is None else p.facts.memory_bytes for p in self.pictures)
        pictures = vectors + facts + _PICTURE_BYTES * len(self.pictures)
        spoken = sum(_PICTURE_BYTES + len(passage.text) for passage in self.speech.passages) if self.speech else 0
        return _MEDIUM_BYTES + pictures + spoken + (self.prints.memory_bytes if self.prints else 0)


@dataclass
class _Progress:
    """A medium whose job is in progress."""

    key: _Key
    uses: list[MediaUse]
    unencoded: int = 0  # pictures
    pictures: list[EncodedPicture] = field(default_factory=list)
    failures: list[tuple[str, MediaError]] = field(default_factory=list)
    prints: FilePrints | None = None


class SharedMedia:
    """Passes each encoded medium to all its uses. For one thread.

    Args:
        deliver: called with each use, its medium, and whether an earlier use had started the medium's job.
        kept_bytes: memory for encoded media, in bytes.
    """

    def __init__(
        self, deliver: Callable[[MediaUse, EncodedMedium, bool], None], *, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._deliver = deliver
        self._kept_bytes = kept_bytes
        self._jobs: dict[MediaJob, _Progress] = {}
        self._in_progress: dict[_Key, _Progress] = {}
        self._encoded: OrderedDict[_Key, EncodedMedium] = OrderedDict()  # the last used at the end
        self._encoded_bytes = 0
        self._waiting = 0

    @property
    def too_many_wait(self) -> bool:
        """Whether so many uses wait for media in progress that no more items should be planned."""
        return self._waiting >= MAX_WAITING

    def request(self, use: MediaUse, stamp: str) -> MediaJob | None:
        """Deliver a medium now if it is encoded, else once its job is complete.

        Args:
            stamp: state of the medium's file, so that a file that has changed in the meantime is read again.

        Returns:
            The job to load, if no earlier use has started it.
        """
        key = (use.medium, use.uri, stamp)
        if (encoded := self._encoded.get(key)) is not None:
            self._encoded.move_to_end(key)
            self._deliver(use, encoded, True)
            return None
        if (progress := self._in_progress.get(key)) is not None:
            progress.uses.append(use)
            self._waiting += 1
            return None
        job = MediaJob(use.medium, use.uri)
        self._jobs[job] = self._in_progress[key] = _Progress(key, [use])
        return job

    def loaded(self, job: MediaJob, medium: LoadedMedium) -> None:
        """Note a job's decoded medium; the caller encodes its pictures."""
        progress = self._jobs[job]
        progress.unencoded = len(medium.pictures)
        progress.prints = medium.prints
        if not medium.pictures:
            self._complete(job)

    def failed(self, job: MediaJob, error: MediaError) -> None:
        """Complete a job whose medium could not be fetched or decoded."""
        self._jobs[job].failures.append((job.stage, error))
        self._complete(job)

    def encoded(
        self, job: MediaJob, index: int, loaded: LoadedPicture, outcome: Outcome, standby: Vector | None = None
    ) -> None:
        """Note the outcome of one of a job's pictures; the last one completes the job.

        Args:
            standby: its vector by the encoder that is not in force.
        """
        progress = self._jobs[job]
        if isinstance(outcome, MediaError):
            progress.failures.append(("encode", outcome))
        else:
            # a copy: a row of a batch would keep the vectors of the whole batch in memory
            other = None if standby is None else standby.copy()
            progress.pictures.append(EncodedPicture(index, outcome.copy(), loaded.info, other, loaded.facts))
        progress.unencoded -= 1
        if not progress.unencoded:
            self._complete(job)

    def _complete(self, job: MediaJob) -> None:
        progress = self._jobs.pop(job)
        del self._in_progress[progress.key]
        encoded = EncodedMedium(tuple(progress.pictures), tuple(progress.failures), progress.prints, job.speech)
        self._keep(progress.key, encoded)
        self._waiting -= len(progress.uses) - 1
        for number, use in enumerate(progress.uses):
            self._deliver(use, encoded, number > 0)

    def _keep(self, key: _Key, encoded: EncodedMedium) -> None:
        if encoded.memory_bytes > self._kept_bytes:
            return
        self._encoded[key] = encoded
        self._encoded_bytes += encoded.memory_bytes
        while self._encoded_bytes > self._kept_bytes:
            _, oldest = self._encoded.popitem(last=False)
            self._encoded_bytes -= oldest.memory_bytes
