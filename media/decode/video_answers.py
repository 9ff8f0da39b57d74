"""Answers of the decoding child about videos: frames, and fingerprints of the whole video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.decode.fact_functions import FactFunctions
from firstsight.media.decode.fact_reader import FactReader, facts_of
from firstsight.media.decode.sound_decoder import read_sound
from firstsight.media.decode.video_decoders import decode
from firstsight.media.frames.frame_rules import FrameRule
from firstsight.media.frames.frame_selection import choose_frames, scan_shots
from firstsight.media.frames.video_frames import Frame, ScannedFrame, VideoReader
from firstsight.media.prints.crop_codes import crop_codes
from firstsight.media.prints.print_maker import PrintMaker
from firstsight.media.sound_prints import SOUND_RATE, SoundCodes, sound_codes
from firstsight.media.video_prints import VideoPrints


def answer_video(
    request: child_messages.Header, working: Callable[[], None]
) -> tuple[child_messages.Header, list[bytes]]:
    """Decode the frames of a request: by `rule` and `max_frames`, or the frames nearest to the seconds `at_s`.

    With `prints`, the answer has fingerprints too. `auto` makes them in its own scan of the video; any other rule
    decodes its frames and then scans the video. With `crops`, a short video is decoded once more for the codes of
    crops. With `facts`, functions run on each selected frame.

    Args:
        working: called often during a scan.

    Returns:
        Header and body: the pixels of the frames, the codes, then the facts.

    Raises:
        MediaError: the file cannot be decoded.
    """
    functions = FactFunctions(request.get("facts", ()), working)
    work = _VideoWork(Path(request["path"]), request["min_side"], request["max_pixels"], working, functions)
    frames, prints = _frames_and_prints(request, work)
    header, body = _answer(frames, prints)
    if not functions:
        return header, body
    encoded = child_messages.encode_facts([facts_of(frame) for frame in frames])
    return {**header, "facts": len(encoded)}, [*body, encoded]


def _frames_and_prints(request: child_messages.Header, work: _VideoWork) -> tuple[list[Frame], VideoPrints | None]:
    if "at_s" in request:
        return work.frames_at(request["at_s"]), None
    rule = FrameRule.parse(request["rule"], max_frames=request["max_frames"]) if "rule" in request else None
    if rule is None:
        return [], work.prints()
    if rule.kind == "auto":
        frames, prints = work.scan(rule.frame_limit, with_prints=request["prints"])
        if prints is not None and request.get("crops"):
            prints = replace(prints, crops=work.crops())
        return frames, prints
    frames = work.choose(rule)
    return frames, work.prints() if request["prints"] else None


@dataclass(frozen=True)
class _VideoWork:
    """Work on one file."""

    path: Path
    min_side: int | None
    max_pixels: int
    working: Callable[[], None]
    functions: FactFunctions

    def frames_at(self, seconds: Sequence[float]) -> list[Frame]:
        def nearest(reader: VideoReader) -> list[Frame]:
            reader = self._with_facts(reader)
            times = reader.times
            indices = [int(abs(times - second).argmin()) for second in seconds]
            ascending = sorted(set(indices))
            pictures = dict(zip(ascending, reader.read(ascending, min_side=self.min_side), strict=True))
            return [Frame(round(float(times[index]), 6), pictures[index]) for index in indices]

        return decode(self.path, nearest, max_pixels=self.max_pixels)

    def choose(self, rule: FrameRule) -> list[Frame]:
        def chosen(reader: VideoReader) -> list[Frame]:
            return choose_frames(self._with_facts(reader), rule, min_side=self.min_side)

        return decode(self.path, chosen, max_pixels=self.max_pixels)

    def prints(self) -> VideoPrints | None:
        """Scan the video for its fingerprints alone."""
        return replace(self, functions=FactFunctions((), self.working)).scan(1)[1]

    def _with_facts(self, reader: VideoReader) -> VideoReader:
        return FactReader(reader, self.functions) if self.functions else reader

    def scan(self, limit: int, *, with_prints: bool = True) -> tuple[list[Frame], VideoPrints | None]:
        """Scan the video: at most `limit` frames by `auto`, and its fingerprints."""

        def scan(reader: VideoReader) -> tuple[list[Frame], VideoPrints | None]:
            maker = PrintMaker() if with_prints else None

            def on_scan(frame: ScannedFrame, starts_shot: bool) -> None:
                self.working()
                if maker is not None:
                    maker.add(frame, starts_shot)

            frames = scan_shots(self._with_facts(reader), limit=limit, min_side=self.min_side, on_scan=on_scan)
            duration_s = max(reader.duration_s, float(reader.times[-1]))
            return frames, None if maker is None else maker.finish(duration_s)

        frames, prints = decode(self.path, scan, max_pixels=self.max_pixels, for_scan=True)
        return frames, None if prints is None else replace(prints, sound=self._sound())

    def crops(self) -> NDArray[np.uint8] | None:
        return decode(self.path, lambda reader: crop_codes(reader, self.working), max_pixels=self.max_pixels)

    def _sound(self) -> SoundCodes | None:
        """The fingerprints of the sound track; None without one, and for one that is silent or broken."""
        try:
            codes = sound_codes(read_sound(self.path, SOUND_RATE, self.working))
        except MediaError:  # an animation that only Pillow reads
            return None
        return codes if codes.any() else None


def _answer(frames: list[Frame], prints: VideoPrints | None) -> tuple[child_messages.Header, list[bytes]]:
    header: child_messages.Header = {
        "frames": [
            [frame.time_s, frame.picture.width, frame.picture.height, frame.start_s, frame.end_s] for frame in frames
        ]
    }
    body = [frame.picture.tobytes() for frame in frames]
    if prints is not None:
        all_codes = {"whole": prints.whole} | {str(region): found for region, found in prints.regions.items()}
        if prints.sound is not None:
            all_codes["sound"] = prints.sound
        if prints.crops is not None:
            all_codes["crops"] = prints.crops
            header["crops"] = len(prints.crops)
        header["prints"] = [prints.duration_s, {name: found.nbytes for name, found in all_codes.items()}]
        body += [found.tobytes() for found in all_codes.values()]
    return header, body
