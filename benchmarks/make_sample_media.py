"""Rebuild the pictures, clips and credits of ``sample_media/`` from public-domain sources.

    python -m benchmarks.make_sample_media OPENCLIPART [--out sample_media]

OPENCLIPART is the folder ``usr/share/openclipart/png`` of Debian's package ``openclipart-png`` 0.18 (get it with
``apt-get download openclipart-png`` and unpack it with ``dpkg -x``). The photographs come with scikit-image's
package. Needs ``pillow``, ``numpy``, ``scikit-image`` and ``av``. ``catalogue.csv`` and ``README.md`` are written by
hand and not changed. At the end the script checks that the catalogue and the files agree.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.sample_media_sources import CLIPS, PHOTOGRAPHS, PICTURES, RGB, SNEAKERS, Box, Clip, Picture, Scene

PICTURE_SIDES = (320, 640)  # smallest and largest side of a product picture in pixels
STILL_SIZE = (1280, 720)  # pixels; the camera of a scene moves over it
CLIP_SIZE = (640, 360)
CLIP_FPS = 24
BROKEN_SHARE = 0.45  # share of bytes kept of the picture that is broken on purpose
SERIES_TITLES = ("Clipart by", "Various Cliparts", "Etiquette Icons", "Diner Menu")  # these name a set, not the picture
CREDITS_HEAD = """# Credits

Every picture and clip here is made from works in the public domain, and remains in the public domain. Clip art: the
Open Clip Art Library 0.18, Creative Commons Public Domain Dedication (Debian package `openclipart-png`, with titles and
authors from its files). Photographs: scikit-image's package, with the licence from its documentation for each. Changes:
trimmed, placed on a square, recoloured to the colour in the title, rendered into clips.

| file | title | author | source | licence |
|---|---|---|---|---|
"""


def source_path(source: str, openclipart: Path) -> Path:
    name = source.removeprefix("skimage:")
    if name == source:
        return openclipart / source
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise SystemExit("scikit-image is not installed: pip install scikit-image")
    return Path(package.origin).parent / "data" / name


def load(source: str, openclipart: Path) -> Image.Image:
    """The source in RGBA, cropped to its visible part."""
    with Image.open(source_path(source, openclipart)) as opened:
        image = opened.convert("RGBA")
    return image.crop(image.getchannel("A").getbbox())


def recolour(image: Image.Image, hue: int, saturation: float) -> Image.Image:
    h, s, v = image.convert("RGB").convert("HSV").split()
    turned = h.point([(value + round(hue * 256 / 360)) % 256 for value in range(256)])
    deeper = s.point([min(255, round(value * saturation)) for value in range(256)])
    changed = Image.merge("HSV", (turned, deeper, v)).convert("RGB")
    changed.putalpha(image.getchannel("A"))
    return changed


def paint(image: Image.Image, colour: RGB) -> Image.Image:
    """The shape filled with one colour, with a darker outline."""
    shape = image.getchannel("A")
    inside = shape.filter(ImageFilter.MinFilter(5))
    painted = Image.new("RGB", image.size, tuple(channel // 3 for channel in colour))
    painted.paste(colour, mask=inside)
    painted.putalpha(shape)
    return painted


def on_square(image: Image.Image) -> Image.Image:
    smallest, largest = PICTURE_SIDES
    side = max(smallest, min(largest, round(max(image.size) * 1.12)))
    scale = side / 1.12 / max(image.size)
    fitted = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (side, side), (255, 255, 255, 0))
    square.alpha_composite(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return square


def flatten(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def make_picture(picture: Picture, openclipart: Path) -> bytes:
    """The encoded picture. PNG keeps transparency; other formats get a white background."""
    image = load(picture.source, openclipart)
    if picture.crop is not None:
        left, top, right, bottom = picture.crop
        width, height = image.size
        image = image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    if picture.hue is not None:
        image = recolour(image, picture.hue, picture.saturation)
    if picture.tint is not None:
        image = paint(image, picture.tint)
    if picture.source.startswith("skimage:"):
        image.thumbnail((PICTURE_SIDES[1], PICTURE_SIDES[1]), Image.Resampling.LANCZOS)
    else:
        image = on_square(image)
    encoded = io.BytesIO()
    suffix = Path(picture.file).suffix
    if suffix == ".png":
        image.save(encoded, "PNG", optimize=True)
    elif suffix == ".webp":
        flatten(image).save(encoded, "WEBP", quality=85)
    else:
        flatten(image).save(encoded, "JPEG", quality=87, optimize=True)
    content = encoded.getvalue()
    return content[: int(len(content) * BROKEN_SHARE)] if picture.broken else content


def make_still(scene: Scene, openclipart: Path) -> Image.Image:
    """Make the still of a scene: a photograph fills it; a cut-out is on a wall that gets darker towards the floor."""
    image = load(scene.source, openclipart).rotate(scene.turn, expand=True)
    width, height = STILL_SIZE
    if scene.source.startswith("skimage:"):
        scale = max(width / image.width, height / image.height)
    else:
        scale = min(0.85 * width / image.width, 0.8 * height / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    shade = np.linspace(1.0, 0.82, height)[:, None, None] * np.array(scene.wall, dtype=np.float64)
    if scene.wall == (255, 255, 255):
        shade = np.full((height, 1, 3), 255.0)
    still = Image.fromarray(np.broadcast_to(shade, (height, width, 3)).astype(np.uint8)).convert("RGBA")
    still.paste(image, ((width - image.width) // 2, (height - image.height) // 2), image)
    return still.convert("RGB")


def look_through(still: Image.Image, box: Box) -> Image.Image:
    x, y, zoom = box
    width, height = still.width / zoom, still.height / zoom
    left = min(max(x * still.width - width / 2, 0.0), still.width - width)
    top = min(max(y * still.height - height / 2, 0.0), still.height - height)
    return still.resize(CLIP_SIZE, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))


def draw_badge(frame: Image.Image) -> None:
    draw = ImageDraw.Draw(frame)
    draw.rounded_rectangle((18, 16, 92, 46), radius=6, fill=(214, 32, 40))
    draw.text((55, 31), "LIVE", fill="white", font=ImageFont.load_default(20), anchor="mm")


def make_clip(clip: Clip, openclipart: Path, target: Path) -> None:
    """Render a silent H.264 clip (yuv420p) with hard cuts between its scenes."""
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options={"crf": "24", "preset": "slow", "threads": "1"})
        stream.width, stream.height = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        for scene in clip.scenes:
            still = make_still(scene, openclipart)
            for share in np.linspace(0.0, 1.0, round(scene.seconds * CLIP_FPS)):
                x, y, zoom = (a + (b - a) * float(share) for a, b in zip(scene.start, scene.end, strict=True))
                frame = look_through(still, (x, y, zoom))
                if clip.badge:
                    draw_badge(frame)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def credit(file: str, source: str, openclipart: Path) -> str:
    """One row of the credits' table."""
    if source in PHOTOGRAPHS:
        title, author, licence = PHOTOGRAPHS[source]
        return f"| {file} | {title} | {author} | scikit-image, `{source.removeprefix('skimage:')}` | {licence} |"
    with Image.open(source_path(source, openclipart)) as opened:
        title = str(opened.info.get("Title", "")).strip()
        author = str(opened.info.get("Author", "")).strip()
    if not title or title.startswith(SERIES_TITLES):
        title = Path(source).stem.replace("_", " ").strip()
    return f"| {file} | {title} | {author or 'not stated'} | openclipart, `{source}` | public domain |"


def write_credits(out: Path, openclipart: Path) -> None:
    rows = [credit(picture.file, picture.source, openclipart) for picture in PICTURES]
    for clip in CLIPS:
        sources = dict.fromkeys(scene.source for scene in clip.scenes)
        rows += [credit(clip.file, source, openclipart) for source in sources]
    (out / "CREDITS.md").write_text(CREDITS_HEAD + "\n".join(rows) + "\n", encoding="utf-8")


def picture_state(path: Path) -> Literal["good", "broken"]:
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return "broken"
    return "good"


def check(out: Path) -> list[str]:
    """Find differences between the catalogue and the files; one sentence for each."""
    with (out / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = []
    ids = [row["item_id"] for row in rows]
    wrong += [f"item_id {name!r} is used twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    named = {path for row in rows for column in ("images", "videos") for path in row[column].split("|") if path}
    made = {picture.file for picture in PICTURES} | {clip.file for clip in CLIPS}
    wrong += [f"{path} is in the catalogue, but this script does not make it" for path in sorted(named - made)]
    unused = sorted(path for path in made - named if not path.startswith("queries/"))
    wrong += [f"{path} is made, but no item uses it" for path in unused]
    for picture in PICTURES:
        if picture_state(out / picture.file) != ("broken" if picture.broken else "good"):
            wrong.append(f"{picture.file} is not {'broken' if picture.broken else 'good'}, but should be")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the pictures, clips and credits of sample_media/.")
    parser.add_argument("openclipart", type=Path, help="the folder usr/share/openclipart/png of openclipart-png")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "sample_media")
    arguments = parser.parse_args()
    openclipart: Path = arguments.openclipart
    out: Path = arguments.out
    if not (openclipart / SNEAKERS).is_file():
        parser.error(f"{openclipart} does not contain {SNEAKERS}; use the folder usr/share/openclipart/png")
    for folder in ("pictures", "clips", "queries"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        (out / picture.file).write_bytes(make_picture(picture, openclipart))
    for clip in CLIPS:
        make_clip(clip, openclipart, out / clip.file)
    write_credits(out, openclipart)
    wrong = check(out)
    print("\n".join(wrong) or f"{len(PICTURES)} pictures and {len(CLIPS)} clips in {out}, as the catalogue names them")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
