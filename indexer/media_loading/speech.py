"""Speech of videos: their sound tracks through a transcriber, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from firstsight.errors import MediaError, first_line
from firstsight.indexer.timed_text.item_texts import LoadedText
from firstsight.indexer.timed_text.passages import make_passages
from firstsight.media.decode.sound_reader import SoundReader
from firstsight.media.policy import MediaPolicy
from firstsight.media.subtitles import check_timed_lines
from firstsight.media.transcribers import Samples, Transcriber, load_transcriber


class SpeechRecogniser:
    """Recognises the speech of videos; any number of threads may share it.

    Args:
        name: of the transcriber, as for `load_transcriber`.
        policy: its time limit is for each chunk of sound.

    Raises:
        EncoderError: the transcriber cannot be loaded.
    """

    def __init__(self, name: str, policy: MediaPolicy) -> None:
        self._name = name
        self._transcriber: Transcriber = load_transcriber(name)
        self._sounds = SoundReader(workers=1, timeout_s=policy.timeout_s)
        self._lock = threading.Lock()  # most models use all cores, and few allow two threads

    def close(self) -> None:
        """End the decoding child."""
        self._sounds.close()

    def recognise(self, path: Path, uri: str) -> LoadedText:
        """Recognise the speech of a video; a failure is the problem of the result.

        Args:
            path: of its file.
            uri: for messages.
        """
        sound = _SoundTrack(self._sounds, path)
        try:
            with self._lock:
                lines = list(self._transcriber.transcribe(iter(sound)))
            text = check_timed_lines(lines, f"the transcript of {uri}")
        except MediaError as error:
            return LoadedText(problem=("speech", error))
        except Exception as error:  # another package may raise anything
            if sound.error is not None:
                return LoadedText(problem=("speech", sound.error))
            message = f"the transcriber {self._name!r} failed on {uri}: {first_line(error)}"
            return LoadedText(problem=("speech", MediaError("crashed", message)))
        problem = sound.error or text.problem
        return LoadedText(
            tuple(make_passages(text.lines)), len(text.lines), problem=("speech", problem) if problem else None
        )


class _SoundTrack:
    """Chunks of a sound track; keeps the error that ended it, which a transcriber may hide."""

    def __init__(self, sounds: SoundReader, path: Path) -> None:
        self._sounds = sounds
        self._path = path
        self.error: MediaError | None = None

    def __iter__(self) -> Iterator[Samples]:
        try:
            yield from self._sounds.chunks(self._path)
        except MediaError as error:
            self.error = error
            raise
