"""Formats of media files: by extension when a folder is listed, by the first bytes when a file is opened."""

from __future__ import annotations

import re
from os import PathLike, fspath
from typing import Final, Literal

PICTURE_EXTENSIONS: Final = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".mpo", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif"),
    )
)
"""Extensions of picture files in a folder, lower case. HEIC needs the extra `heic`."""

HEIC_EXTENSIONS: Final = frozenset({".heic", ".heif", ".hif"})
"""Those of HEIC pictures."""

VIDEO_EXTENSIONS: Final = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".3gpp2", ".f4v", ".mkv", ".webm", ".avi", ".divx"),
        *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".mod", ".ts", ".m2ts", ".mts", ".m2t", ".tod", ".trp"),
        *(".flv", ".ogv", ".ogm", ".wmv", ".asf", ".dv", ".mxf"),
    )
)
"""Extensions of video files in a folder, lower case."""

AMBIGUOUS_EXTENSIONS: Final = frozenset({".ts", ".mts", ".mod", ".tod", ".dv", ".trp"})
"""Extensions of videos that other files have too, such as TypeScript or Go's modules: look at the first bytes."""

MediaKind = Literal["picture", "video"]

SNIFF_BYTES: Final = 1024
"""Number of bytes at the start of a file that `sniff` needs."""

# Messages use these names. Only pictures and video containers are read.
_PICTURE_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)
_VIDEO_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1aE\xdf\xa3", "Matroska"),
    (b"FLV\x01", "FLV"),
    (b"\x00\x00\x01\xba", "MPEG-PS"),
    (b"\x00\x00\x01\xb3", "MPEG-ES"),
    (b"0&\xb2u\x8ef\xcf\x11", "ASF"),
    (b"\x06\x0e+4\x02\x05\x01\x01\r\x01\x02", "MXF"),
    (b"\x1f\x07\x00\x3f", "DV"),
    (b"\x1f\x07\x00\xbf", "DV"),
)
_OTHER_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"8BPS", "PSD"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"II\x1a\x00\x00\x00HEAPCCDR", "RAW"),
    (b"IIU\x00", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"FOVb", "RAW"),
    (b"#EXTM3U", "playlist"),
    (b"ffconcat", "playlist"),
)
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MP4_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})

PICTURE_FORMATS: Final = frozenset({"JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WebP", "AVIF"})
VIDEO_FORMATS: Final = frozenset(
    {"MP4", "Matroska", "AVI", "FLV", "MPEG-PS", "MPEG-TS", "MPEG-ES", "ASF", "Ogg", "DV", "MXF"}
)
ANIMATION_FORMATS: Final = frozenset({"GIF", "WebP", "PNG", "AVIF"})
"""Picture formats that can hold an animation. An animation listed as a video counts as a video."""


def media_kind(name: str | PathLike[str]) -> MediaKind | None:
    """Tell by its extension whether a file is a picture or a video; None for any other file. Case is ignored."""
    extension = extension_of(name)
    if extension in PICTURE_EXTENSIONS:
        return "picture"
    return "video" if extension in VIDEO_EXTENSIONS else None


def extension_of(name: str | PathLike[str]) -> str:
    """The last extension of a file name with its dot, lower case; empty if it has none."""
    extension = re.search(r"[^./\\](\.[^./\\]+)$", fspath(name))
    return extension.group(1).lower() if extension else ""


def sniff(head: bytes) -> str | None:
    """Recognise a file's format by its first `SNIFF_BYTES` bytes; None if they are unknown.

    This package reads the formats in `PICTURE_FORMATS` and `VIDEO_FORMATS`. Other names ("HEIC", "SVG", "PSD", "HTML",
    "ZIP", ...) let an error message say what the file is.
    """
    if head.startswith(b"II*\x00") and head[8:10] == b"CR":
        return "RAW"  # Canon's CR2; other RAW formats in TIFF look like pictures
    for magic, name in (*_PICTURE_MAGIC, *_VIDEO_MAGIC, *_OTHER_MAGIC):
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "AVI"}.get(head[8:12])
    # a size below 16 MB before "free" and similar: it could be a word of a text
    if head[4:8] in _MP4_BOXES and (head[4:8] in (b"ftyp", b"mdat") or head[0] == 0):
        return _iso_format(head)
    if re.match(rb"P[1-6f][\s#]", head):
        return "PPM"
    if head[:4] == b"OggS":
        return "Ogg"
    # Transport streams start every packet of 188 bytes with a sync byte (192 bytes with Blu-ray's 4-byte prefix).
    if (head[:1] == b"G" and head[188:189] == b"G") or (head[4:5] == b"G" and head[196:197] == b"G"):
        return "MPEG-TS"
    return _text_format(head)


def _iso_format(head: bytes) -> str:
    """Tell pictures in ISO boxes (AVIF, HEIC) from MP4 and similar videos by the brands in the ftyp box."""
    if head[4:8] != b"ftyp":
        return "MP4"
    size = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if head[8:12] == b"crx ":  # Canon's CR3
        return "RAW"
    return "HEIC" if head[8:12] in _HEIF_BRANDS else "MP4"


def _text_format(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html", b"<head")) or (text.startswith(b"<") and b"<html" in text):
        return "HTML"
    return "XML" if text.startswith(b"<?xml") else None
