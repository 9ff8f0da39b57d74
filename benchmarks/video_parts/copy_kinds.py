"""Twenty kinds of copies of a video, made with the ffmpeg command."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TRIM_S: Final = 3.3
"""Seconds cut off at the start of a trimmed copy; two seconds are cut off at its end."""

INTRO_S: Final = 3.0

_FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
_CAPTION = (
    f"drawtext=fontfile={_FONT}:text='wait for it':fontsize=h/9:fontcolor=white:box=1:boxcolor=black@0.6:"
    "x=(w-text_w)/2:y=h*0.78"
)
_SIZE = "scale=640:360:force_original_aspect_ratio=decrease,pad=640:360:-1:-1"
_ENCODE = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "2", "-pix_fmt", "yuv420p")


@dataclass(frozen=True)
class Helpers:
    """Other media that copies need."""

    other: Path  # a video that is no copy of any original
    desktop: Path  # a picture: the screen around a window, or a wide border


@dataclass(frozen=True)
class Kind:
    """A kind of copy: ffmpeg's filter graph, and where the original lies in the copy.

    The inputs of the graph: 0 the original, 1 the other video in a loop, 2 the desktop picture in a loop.
    """

    graph: str
    speed: float = 1.0  # second in the copy = second in the original / speed + offset
    offset_s: float = 0.0
    strict: bool = True  # whether nearly all copies of the kind must be found
    before: tuple[str, ...] = ()  # options before the original
    after: tuple[str, ...] = ()  # options of the output


def _plain(filters: str) -> str:
    return f"[0:v]{filters}[v]"


_OTHER = "fps=24,scale=640:360,setsar=1"

KINDS: Final[Mapping[str, Kind]] = {
    "resize": Kind(_plain("scale=320:-2")),
    "re-encode": Kind(_plain("fps=15"), after=("-crf", "36")),
    "colours": Kind(_plain("eq=brightness=0.06:contrast=1.2:saturation=1.5")),
    "trim": Kind(_plain("null"), offset_s=-TRIM_S, before=("-ss", str(TRIM_S))),
    "intro": Kind(
        f"[1:v]{_OTHER},trim=duration={INTRO_S}[a];[0:v]fps=24,{_SIZE},setsar=1[b];[a][b]concat=n=2:v=1[v]",
        offset_s=INTRO_S,
    ),
    "speed 0.8": Kind(_plain("setpts=PTS/0.8"), speed=0.8),
    "speed 1.25": Kind(_plain("setpts=PTS/1.25"), speed=1.25),
    "speed 1.5": Kind(_plain("setpts=PTS/1.5"), speed=1.5),
    "mirror": Kind(_plain("hflip")),
    "caption": Kind(_plain(_CAPTION)),
    "logo": Kind(_plain("drawbox=x=iw*0.8:y=ih*0.05:w=iw*0.15:h=ih*0.12:color=orange:t=fill")),
    "border": Kind(
        f"[2:v]scale=640:360[d];[0:v]{_SIZE},scale=480:270[s];[d][s]overlay=80:45:shortest=1[v]", strict=False
    ),
    "crop": Kind(_plain("crop=iw*0.8:ih*0.8"), strict=False),
    "centre crop": Kind(_plain("crop=ih*9/16:ih,scale=360:640"), strict=False),
    "screen recording": Kind(
        f"[2:v]scale=1280:720[d];[0:v]{_SIZE}[s];[d]drawbox=x=200:y=80:w=640:h=40:color=gray:t=fill[e];"
        "[e][s]overlay=200:120:shortest=1[v]",
        strict=False,
    ),
    "picture in picture": Kind(
        f"[1:v]{_OTHER}[d];[0:v]fps=24,{_SIZE},scale=288:162[s];[d][s]overlay=332:18:shortest=1[v]", strict=False
    ),
    "blurred vertical": Kind(
        "[0:v]split[a][b];[a]scale=360:640,boxblur=20:2[d];[b]scale=360:-2[s];[d][s]overlay=0:(H-h)/2[v]", strict=False
    ),
    "bars": Kind(_plain("scale=360:-2,pad=360:640:-1:-1"), strict=False),
    "mirror, crop, caption": Kind(_plain(f"hflip,crop=iw*0.8:ih*0.8,{_CAPTION}"), strict=False),
    "compilation": Kind(
        f"[1:v]{_OTHER},split[a][c];[a]trim=duration=7,setpts=PTS-STARTPTS[x];"
        f"[0:v]fps=24,{_SIZE},setsar=1[b];"
        "[c]trim=start=7:duration=8,setpts=PTS-STARTPTS[z];[x][b][z]concat=n=3:v=1[v]",
        offset_s=7.0,
        strict=False,
    ),
}


def make_copy(kind: str, original: Path, helpers: Helpers, target: Path) -> Path:
    """Write a copy of an original.

    Raises:
        RuntimeError: ffmpeg fails.
    """
    made = KINDS[kind]
    inputs = [
        *made.before,
        "-i",
        original,
        "-stream_loop",
        "-1",
        "-i",
        helpers.other,
        "-loop",
        "1",
        "-i",
        helpers.desktop,
    ]
    length = ("-t", str(max(seconds(original) - TRIM_S - 2, 2))) if kind == "trim" else ()
    run_ffmpeg([*inputs, "-filter_complex", made.graph, "-map", "[v]", *_ENCODE, *made.after, *length, target])
    return target


def make_slideshow(pictures: Sequence[Path], each_s: float, target: Path) -> Path:
    """Write a video that shows pictures one after the other."""
    inputs = [part for picture in pictures for part in ("-loop", "1", "-t", str(each_s), "-i", picture)]
    joined = "".join(f"[{n}:v]{_OTHER}[p{n}];" for n in range(len(pictures)))
    joined += "".join(f"[p{n}]" for n in range(len(pictures))) + f"concat=n={len(pictures)}:v=1[v]"
    run_ffmpeg([*inputs, "-filter_complex", joined, "-map", "[v]", *_ENCODE, target])
    return target


def cut_video(video: Path, start_s: float, seconds: float, target: Path) -> Path:
    """Write a part of a video."""
    run_ffmpeg(["-ss", start_s, "-i", video, "-t", seconds, *_ENCODE, target])
    return target


def seconds(video: Path) -> float:
    """Length of a video."""
    import av

    with av.open(str(video)) as opened:
        return float(opened.duration or 0) / 1e6


def run_ffmpeg(arguments: Sequence[object]) -> None:
    """Run the ffmpeg command.

    Raises:
        RuntimeError: it fails; with the last line of its messages.
    """
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"ffmpeg failed: {done.stderr.strip().splitlines()[-1:]} for {arguments}")
