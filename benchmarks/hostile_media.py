"""Hostile pictures and videos, as untrusted catalogues may contain them. Every call makes the same files."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

PICTURES = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
VIDEOS = (("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("ts", "mpeg2video"), ("avi", "mpeg4"))


def make_hostile(folder: Path, *, cuts: int = 10, flips: int = 6) -> list[tuple[Path, str]]:
    """Write the files.

    Args:
        cuts: number of truncated copies of each good file.
        flips: number of copies of each good file with flipped bytes.

    Returns:
        Each file with the kind under which a catalogue lists it: "picture" or "video".
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, (name, medium, data) in enumerate(_files(folder, cuts, flips)):
        path = folder / f"{number:03}-{name}"
        path.write_bytes(data)
        made.append((path, medium))
    return made


def _files(folder: Path, cuts: int, flips: int) -> Iterator[tuple[str, str, bytes]]:
    rng = random.Random(0)
    good = [(format.lower(), "picture", picture(format)) for format in PICTURES]
    good += [(suffix, "video", video(folder / f"good.{suffix}", codec)) for suffix, codec in VIDEOS]
    for suffix, medium, data in good:
        for cut in range(cuts):
            yield f"cut.{suffix}", medium, data[: len(data) * cut // cuts + cut % 3]
        for _ in range(flips):
            damaged = bytearray(data)
            for _ in range(1 + len(data) // 2000):
                damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            yield f"flipped.{suffix}", medium, bytes(damaged)
        start = bytearray(data)
        start[12:80] = rng.randbytes(68)
        yield f"broken-header.{suffix}", medium, bytes(start)
        other = "video" if medium == "picture" else "picture"
        yield f"listed-as-{other}.{suffix}", other, data
        yield f"magic-only.{suffix}", medium, data[:16]
        yield f"magic-and-noise.{suffix}", medium, data[:32] + rng.randbytes(20_000)
        yield f"and-garbage.{suffix}", medium, data + rng.randbytes(5000)
    for medium in ("picture", "video"):
        for name, data in _impostors(rng):
            yield name, medium, data
    yield from _bombs(folder)


def _impostors(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Files with other content than their name says."""
    yield "empty.jpg", b""
    yield "zeros.mp4", bytes(100_000)
    yield "noise.jpg", rng.randbytes(50_000)
    yield "page.jpg", b"<!DOCTYPE html><html>404 Not found</html>"
    yield "drawing.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>"
    yield "entities.jpg", b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>"
    yield "playlist.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"
    yield "concat.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield "session.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
    yield "script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    yield "document.jpg", b"%PDF-1.7\n" + bytes(100)
    yield "program.jpg", b"\x7fELF" + bytes(200)
    yield "text.mp4", "🦊 text".encode() * 100
    archive = b"nothing"
    for depth in range(6):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"{depth}.zip", archive + bytes(100_000))
        archive = buffer.getvalue()
        yield f"nested-{depth}.jpg", archive


def _bombs(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Small files that announce or expand to a huge size."""
    for side in (9_000, 30_000, 65_535, 2_000_000_000):
        yield f"bomb-{side}.png", "picture", _png(side, side)
    yield "thin.png", "picture", _png(90_000_000, 1)
    for medium in ("picture", "video"):
        yield "huge.gif", medium, b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(500)
        yield (
            "huge.bmp",
            medium,
            b"BM" + struct.pack("<IHHIIiiHHIIIIII", 100, 0, 0, 54, 40, 60_000, 60_000, *[1, 24], *[0] * 6),
        )
    jpeg = bytearray(picture("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    yield "huge.jpg", "picture", bytes(jpeg)
    yield "huge.ppm", "picture", b"P6 100000 100000 255\n"
    yield "endless.gif", "video", _endless_gif()
    mp4 = bytearray((folder / "good.mp4").read_bytes())
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        at = mp4.index(box) + offset
        mp4[at : at + 4] = b"\xff\xff\xff\xf0"
    yield "endless.mp4", "video", bytes(mp4)
    for box, at, value in (
        (b"avc1", 28, b"\xff\xff\xff\xff"),
        (b"stts", 8, b"\xff\xff\xff\xff"),
        (b"stsz", 12, b"\x7f\xff\xff\xff"),
    ):
        changed = bytearray((folder / "good.mp4").read_bytes())
        place = changed.index(box) + at
        changed[place : place + 4] = value
        yield f"huge-{box.decode()}.mp4", "video", bytes(changed)


def picture(format: str, size: tuple[int, int] = (320, 240), seed: int = 0) -> bytes:
    """The bytes of a valid picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, format)
    return buffer.getvalue()


def video(path: Path, codec: str, frames: int = 40) -> bytes:
    """Write a valid video to a file and return its bytes."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(frames):
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((160, 120))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(coarse), "rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int) -> bytes:
    rows = zlib.compress(bytes(4_000_000))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _endless_gif() -> bytes:
    """200,000 frames of one pixel on a large canvas, each shown for eleven minutes."""
    start = b"GIF89a" + struct.pack("<HHBBB", 2000, 2000, 0x80, 0, 0) + bytes(6)
    frame = b"!\xf9\x04\x00\xff\xff\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00"
    return start + frame * 200_000 + b";"
