"""Decoding with functions for facts, which cannot cost the medium.

If the child hangs, ends or needs too much memory, the medium is decoded once more without functions, and then with each
function alone, so that only the guilty one fails. A function that does this too often does not run any more.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from PIL.Image import Image

from firstsight.errors import MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.frames.video_frames import Frame
from firstsight.media.picture_facts import FoundFacts, JsonValue, PictureFact

log = logging.getLogger(__name__)

MAX_KILLS: Final = 3
"""Times that a function may end or hang its child in a run, before it does not run any more."""

_REASONS: Final = ("timeout", "crashed", "too_large")
"""Reasons of failures that a function can cause."""


class FunctionKills:
    """Counts the children that each function ended or hung in a run; any number of threads may share it."""

    def __init__(self) -> None:
        self._kills: Counter[str] = Counter()
        self._lock = threading.Lock()

    def allowed(self, facts: Sequence[PictureFact]) -> list[PictureFact]:
        """The functions that may still run."""
        return [fact for fact in facts if self._kills[fact.name] < MAX_KILLS]

    def note(self, fact: PictureFact) -> None:
        """Count a child; the last one that is allowed gets a warning."""
        with self._lock:
            self._kills[fact.name] += 1
            last = self._kills[fact.name] == MAX_KILLS
        if last:
            log.warning(
                "the fact %s is not computed any more in this run: its function %s ended or hung its decoder %d times",
                *(fact.name, fact.function, MAX_KILLS),
            )


def open_with_facts(
    decoder: PictureDecoder,
    data: bytes,
    facts: Sequence[PictureFact],
    min_side: int,
    kills: FunctionKills | None = None,
) -> tuple[Image, FoundFacts | None]:
    """Decode a picture and find its facts; None without functions.

    Args:
        kills: of the run; None if no function is to be stopped.

    Raises:
        MediaError: the picture cannot be decoded, even without functions.
    """
    kills = kills or FunctionKills()
    facts = kills.allowed(facts)
    if not facts:
        return decoder.open(data, min_side=min_side), None
    try:
        return decoder.open_with_facts(data, facts, min_side=min_side)
    except MediaError as error:
        if error.reason not in _REASONS:
            raise
        picture = decoder.open(data, min_side=min_side)

        def find(fact: PictureFact) -> list[FoundFacts]:
            return [decoder.open_with_facts(data, [fact], min_side=min_side)[1]]

        (found,) = _find_one_by_one(find, facts, error, kills, 1)
        return picture, found


def sample_with_facts(
    sample: Callable[[Sequence[PictureFact]], list[Frame]],
    facts: Sequence[PictureFact],
    kills: FunctionKills | None = None,
) -> list[Frame]:
    """Sample a video and find the facts of its frames.

    Args:
        sample: samples the video with the functions that it gets.
        kills: of the run; None if no function is to be stopped.

    Raises:
        MediaError: the video cannot be decoded, even without functions.
    """
    kills = kills or FunctionKills()
    facts = kills.allowed(facts)
    if not facts:
        return sample(())
    try:
        return sample(facts)
    except MediaError as error:
        if error.reason not in _REASONS:
            raise
        frames = sample(())

        def find(fact: PictureFact) -> list[FoundFacts]:
            return [frame.facts or FoundFacts() for frame in sample([fact])]

        found = _find_one_by_one(find, facts, error, kills, len(frames))
        return [replace(frame, facts=each) for frame, each in zip(frames, found, strict=True)]


def _find_one_by_one(
    find: Callable[[PictureFact], list[FoundFacts]],
    facts: Sequence[PictureFact],
    error: MediaError,
    kills: FunctionKills,
    pictures: int,
) -> list[FoundFacts]:
    """Run each function alone, after all together have ended the child.

    Args:
        find: runs one function on the pictures of the medium.
        error: of all together.
        pictures: number of pictures of the medium.
    """
    if len(facts) == 1:  # it is known already
        kills.note(facts[0])
        return [FoundFacts.failed(facts, str(error))] * pictures
    each = []
    for fact in facts:
        try:
            found = find(fact)
            each.append(found if len(found) == pictures else [FoundFacts.failed([fact], str(error))] * pictures)
        except MediaError as own_error:
            kills.note(fact)
            each.append([FoundFacts.failed([fact], str(own_error))] * pictures)
    return [_joined(of_picture) for of_picture in zip(*each, strict=True)]


def _joined(found: Iterable[FoundFacts]) -> FoundFacts:
    values: dict[str, JsonValue] = {}
    errors: dict[str, str] = {}
    memory_bytes = 0
    for of_function in found:
        values |= of_function.values
        errors |= of_function.errors
        memory_bytes += of_function.memory_bytes
    return FoundFacts(values, errors, memory_bytes)
