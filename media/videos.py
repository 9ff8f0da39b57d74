"""Frames of videos, decoded in a child process: a hang, crash or memory blow-up costs that file alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from PIL import Image

from firstsight.errors import FAILURE_REASONS, MediaError
from firstsight.media import wire
from firstsight.media.child_process import ChildDiedError, ChildHungError, ChildProcess
from firstsight.media.frame_rules import DEFAULT_MAX_FRAMES, FrameRule
from firstsight.media.frames import Frame
from firstsight.media.policy import DEFAULT_MAX_PIXELS

__all__ = ["Frame", "VideoSampler"]

_MAX_ANSWER_BYTES: Final = 2 * 2**30


class VideoSampler:
    """Samples frames of video files through one decoding child, started when needed and again when lost.

    Several threads may share a sampler: a lock lets one file through at a time. For more at once, use more
    samplers.

    Args:
        timeout_s: seconds for one file; a child that takes longer is killed.
        memory_bytes: address space of the child (POSIX only).
        max_pixels: largest frame, width x height.
        files_per_child: files after which the child is replaced, since decoders leak.
        command: what to start in place of the decoding child, for tests; it must speak `wire`.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 30.0,
        memory_bytes: int = 3 * 2**30,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        files_per_child: int = 200,
        command: Sequence[str] | None = None,
    ) -> None:
        # -P: a decord.py in the working directory is not the decoder.
        self._command = command or [
            sys.executable,
            "-P",
            "-m",
            "firstsight.media.video_worker",
            str(memory_bytes),
        ]
        self._timeout_s = timeout_s
        self._max_pixels = max_pixels
        self._files_per_child = files_per_child
        self._lock = threading.Lock()
        self._child: ChildProcess | None = None
        self._files = 0
        self._closed = False

    def __enter__(self) -> VideoSampler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; sampling after this raises RuntimeError."""
        with self._lock:
            self._closed = True
            self._drop_child()

    @property
    def child_pid(self) -> int | None:
        """Process id of the running child, None before the first file and after a lost one."""
        child = self._child
        return child.pid if child else None

    def sample(
        self,
        path: str | os.PathLike[str],
        *,
        count: int = 8,
        rule: str | None = None,
        max_frames: int = DEFAULT_MAX_FRAMES,
        min_side: int | None = None,
    ) -> list[Frame]:
        """Decode `count` frames at the centres of equal stretches of a video, or those that a rule names.

        Args:
            path: a local file; `fetch.fetch_file` gives one for every address.
            count: how many frames, 1 to `frame_rules.MOST_FRAMES`; a video with fewer gives all it has.
            rule: in place of `count`: auto, uniform:N, every:SECONDS, keyframes or all; see `frame_rules.FrameRule`.
            max_frames: most frames that `rule` may take.
            min_side: shrink frames by whole factors as long as the shorter side keeps this many pixels.

        Returns:
            Frames in the order they are shown, upright RGB; with the rule auto each has the bounds of its shot.

        Raises:
            MediaError: "missing", "forbidden", "corrupt", "unsupported", "too_large", "timeout" or "crashed".
            ValueError: there is no such rule.
        """
        if rule is None:
            if count < 1:
                raise ValueError(f"count is {count}; ask for at least 1 frame")
            rule, max_frames = f"uniform:{count}", count
        wanted = FrameRule.parse(rule, max_frames=max_frames)
        return self._decode(path, min_side, rule=str(wanted), max_frames=wanted.max_frames)

    def frame_at(self, path: str | os.PathLike[str], time_s: float, *, min_side: int | None = None) -> Frame:
        """Decode the one frame whose presentation time is nearest to a second of the video.

        Args and errors are those of `sample`.
        """
        return self._decode(path, min_side, at_s=time_s)[0]

    def _decode(self, path: str | os.PathLike[str], min_side: int | None, **which: float | str) -> list[Frame]:
        name = os.path.abspath(path)
        request = {
            "path": name,
            "min_side": min_side,
            "max_pixels": self._max_pixels,
            "timeout_s": self._timeout_s,
            **which,
        }
        with self._lock:
            header, body = self._ask(request, name)
        if "frames" not in header:
            reason = header.get("reason")
            raise MediaError(reason if reason in FAILURE_REASONS else "crashed", str(header.get("message")))
        return _unpack(header["frames"], body, name)

    def _ask(self, request: wire.Header, name: str) -> tuple[wire.Header, bytes]:
        try:
            child = self._ready_child()
            self._files += 1
            return child.ask(request, timeout_s=self._timeout_s, max_body=_MAX_ANSWER_BYTES)
        except ChildHungError as error:
            self._child = None
            raise MediaError(
                "timeout", f"{name} was not decoded within {self._timeout_s:g} seconds; check that it plays"
            ) from error
        except ChildDiedError as error:
            self._child = None
            noise = str(error)
            if "bad_alloc" in noise or "MemoryError" in noise:
                raise MediaError(
                    "too_large", f"{name} needs more memory than a decoder may use; make it smaller"
                ) from error
            last = next((line.strip() for line in reversed(noise.splitlines()) if line.strip()), "no message")
            raise MediaError("crashed", f"{name} ended its decoder ({last[:120]}); check that it plays") from error
        except BaseException:
            self._child = None
            raise

    def _ready_child(self) -> ChildProcess:
        if self._closed:
            raise RuntimeError("this VideoSampler is closed; make a new one")
        if self._child and (self._files >= self._files_per_child or not self._child.alive):
            self._drop_child()
        if self._child is None:
            self._child = ChildProcess(self._command)
            self._files = 0
        return self._child

    def _drop_child(self) -> None:
        if self._child:
            self._child.close()
        self._child = None


def _unpack(described: list[list[float | None]], body: bytes, name: str) -> list[Frame]:
    frames: list[Frame] = []
    start = 0
    try:
        for time_s, width, height, shot_start_s, shot_end_s in described:
            size = (int(width or 0), int(height or 0))
            end = start + size[0] * size[1] * 3
            picture = Image.frombytes("RGB", size, body[start:end])
            frames.append(Frame(float(time_s or 0), picture, shot_start_s, shot_end_s))
            start = end
    except (TypeError, ValueError) as error:
        raise MediaError(
            "crashed", f"{name} made its decoder answer with broken frames; check that it plays"
        ) from error
    return frames
