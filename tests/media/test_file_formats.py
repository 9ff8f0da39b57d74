"""The format of a file, by its name and by its first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.media.file_formats import media_kind, sniff


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("shoe.jpg", "picture"),
        ("SHOE.JPEG", "picture"),
        (Path("a.b/shoe.webp"), "picture"),
        ("clip.mp4", "video"),
        ("clip.MOV", "video"),
        ("IMG_0001.HEIC", "picture"),
        ("00001.MTS", "video"),
        ("VTS_01_1.VOB", "video"),
        ("raw.cr2", None),
        ("folder.mp4/readme", None),
        ("notes.txt", None),
        (".jpg", None),
        ("jpg", None),
        ("", None),
    ],
)
def test_the_extension_tells_pictures_from_videos(name: str | Path, kind: str | None) -> None:
    assert media_kind(name) == kind


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "AVIF"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypqt  \x00\x00\x00\x00qt  ", "MP4"),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", "MP4"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "RAW"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "RAW"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"Our free guide", None),
        (b"\x1f\x07\x00\xbf\xf8\x78", "DV"),
        (b"\x06\x0e+4\x02\x05\x01\x01\r\x01\x02\x01", "MXF"),
        (b"\x00\x00\x01\xb3\x14\x00", "MPEG-ES"),
        (b"\x1aE\xdf\xa3\x01\x00", "Matroska"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        ((b"G" + bytes(187)) * 3, "MPEG-TS"),
        (b"\x00\x00\x01\xba\x44", "MPEG-PS"),
        (b"#EXTM3U\nhttp://example.com/a.ts\n", "playlist"),
        (b"<?xml version='1.0'?><MPD/>", "XML"),
        (b"G", None),
        (b"", None),
    ],
)
def test_the_first_bytes_name_the_format(head: bytes, found: str | None) -> None:
    assert sniff(head) == found
