"""Titles from file names: numbers of cameras and programs give none, words of people do."""

from __future__ import annotations

import secrets
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.indexer.file_titles import title_of

CAMERAS = """
IMG_4000.jpg IMG4000.JPG img_4000.jpg IMG_20230101_123456.jpg IMG_20230101_123456_1.jpg IMG-4000.jpg IMG_E1234.HEIC
DSC0001.JPG DSC_0001.jpg DSC00001.JPG DSCF1234.jpg DSCN1234.jpg DSCI0001.JPG SDC10001.JPG SAM_0001.JPG CIMG0001.JPG
IMGP0001.JPG IMAG0001.jpg PICT0001.JPG HPIM0001.JPG WP_20150101_001.jpg P1010001.JPG P1234567-2.jpg 100_0001.JPG
_MG_1234.CR2 _DSC1234.jpg _DSF1234.jpg _IGP1234.jpg MVI_0001.MOV MOV00123.mp4 C0001.MP4 00001.MTS MAH01234.MP4
PXL_20230101_123456789.jpg PXL_20230101_123456789.MP.jpg PXL_20230101_123456789.PORTRAIT-01.COVER.jpg
MVIMG_20190101_123456.jpg VID_20230101_123456.mp4 VID_20230101_123456_00_001.insv 20230101_123456_Burst01.jpg
GOPR0001.JPG GP010001.MP4 GH010001.MP4 GX010001.MP4 DJI_0001.JPG DJI_20230101123456_0001_W.JPG IMG_4000.HEIC.jpg
"""

PROGRAMS = """
IMG-20230101-WA0001.jpg signal-2023-01-01-123456.jpg signal-2023-01-01-12-34-56-789.jpg photo_2023-01-01_12-34-56.jpg
signal-2023-01-01-123456_002.jpeg photo_5123456789012345678_y.jpg FB_IMG_1234567890123.jpg mmexport1234567890123.jpg
received_1234567890.jpeg Screenshot_20230101-123456.png Screenshot_2.png Untitled-1.png untitled.png unnamed.jpg
image.png image0.jpeg image-1.png FullSizeRender.jpg scan0001.jpg Scan_0001.jpg thumb_1234.jpg InShot_20230101_1234.mp4
71s3xkBvQOL._AC_SL1500_.jpg 1000x1000.jpg 微信图片_20230101123456.jpg Burst_Cover_20230101.jpg Snapchat-123456789.jpg
Screenshot_20230101-123456_Chrome.jpg Screenshot_2023-01-01-12-34-56-789_com.android.chrome.jpg
Screenshot_20230101_123456_WhatsApp.jpg
"""

WITH_BLANKS = [
    "IMG 4000.jpg",
    "image (3).jpg",
    "unnamed (1).png",
    "FullSizeRender(1).jpg",
    "WhatsApp Image 2023-01-01 at 12.34.56.jpeg",
    "WhatsApp Image 2023-01-01 at 12.34.56 PM (1).jpeg",
    "WhatsApp Video 2023-01-01 at 12.34.56.mp4",
    "Screenshot 2023-01-01 at 12.34.56.png",
    "Screen Shot 2023-01-01 at 12.34.56 PM.png",
    "Bildschirmfoto 2023-01-01 um 12.34.56.png",
    "Capture d’écran 2023-01-01 à 12.34.56.png",
    "Captura de pantalla 2023-01-01 123456.png",
    "Photo on 01-01-2023 at 12.34.jpg",
    "Photo Jan 01, 12 34 56 PM.jpg",
    "2023-01-01 12.34.56.jpg",
]

NUMBERS = """
007.jpg 12345.jpg 0001-0002.jpg 2023-01-01.jpg 20230101.jpg 20230101_123456.jpg 01-01-2023.jpg 1672531200000.jpg
3f2504e0-4f89-11d3-9a0c-0305e82c3301.jpg 3F2504E04F8911D39A0C0305E82C3301.jpg d41d8cd98f00b204e9800998ecf8427e.jpg
dQw4w9WgXcQ.jpg 01ARZ3NDEKTSV4RRFFQ69G5FAV.jpg a1b2c3d4e5.jpg ___.jpg
"""


@pytest.mark.parametrize("name", [*(CAMERAS + PROGRAMS + NUMBERS).split(), *WITH_BLANKS])
def test_a_name_without_words_gives_no_title(name: str) -> None:
    assert title_of(name) is None


@pytest.mark.parametrize(
    "suffix", [" copy", " copy 2", " (1)", "(2)", "~2", "-edited", "_HDR", "-2", " - Kopie", "_COVER"]
)
@pytest.mark.parametrize("stem", ["IMG_4000", "DSC0001", "PXL_20230101_123456789", "2023-01-01", "P1010001", "image"])
def test_marks_of_copies_and_changes_add_no_title(stem: str, suffix: str) -> None:
    assert title_of(f"{stem}{suffix}.jpg") is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("red-running-shoe.jpg", "red running shoe"),
        ("red-shoe-3f2504e0-4f89-11d3-9a0c-0305e82c3301.jpg", "red shoe"),
        ("nike_air_max_90.jpg", "nike air max 90"),
        ("A4 notebook.jpg", "A4 notebook"),
        ("a.PNG", "a"),
        ("b/red_tea-pot.jpg", "red tea pot"),
        ("levis-501.jpg", "levis 501"),
        ("iphone-14-pro.jpg", "iphone 14 pro"),
        ("WH-1000XM5.jpg", "WH 1000XM5"),
        ("DSC-RX100.jpg", "DSC RX100"),
        ("Canon EOS 5D.jpg", "Canon EOS 5D"),
        ("MacBookPro16M2.jpg", "MacBookPro16M2"),
        ("iPhone14ProMax256GB.jpg", "iPhone14ProMax256GB"),
        ("rtx3080ti12gb.jpg", "rtx3080ti12gb"),
        ("24-70mm.jpg", "24 70mm"),
        ("photo-frame-10x15.jpg", "photo frame 10x15"),
        ("video-camera.jpg", "video camera"),
        ("shot glass.jpg", "shot glass"),
        ("file-cabinet.jpg", "file cabinet"),
        ("Portrait.jpg", "Portrait"),
        ("screen.jpg", "screen"),
        ("facade.jpg", "facade"),
        ("decade20.jpg", "decade20"),
        ("2024 calendar.jpg", "2024 calendar"),
        ("T-Shirt_XL.jpg", "T Shirt XL"),
        ("mh01-gray_main.jpg", "mh01 gray main"),
        ("tasse à café.jpg", "tasse à café"),
        ("红色运动鞋.jpg", "红色运动鞋"),
        ("赤い靴.jpg", "赤い靴"),
        ("красные туфли.jpg", "красные туфли"),
    ],
)
def test_the_words_of_a_name_are_its_title(name: str, title: str) -> None:
    assert title_of(name) == title


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("IMG_4000 red shoe.jpg", "red shoe"),
        ("IMG_20230101_123456_red_dress.jpg", "red dress"),
        ("DSC0001-lamp.jpg", "lamp"),
        ("P1010001 vase.jpg", "vase"),
        ("_MG_1234 oak table.jpg", "oak table"),
        ("20230101_123456 blue vase.jpg", "blue vase"),
        ("red_shoe_IMG_4000.jpg", "red shoe"),
        ("red shoe (1).jpg", "red shoe"),
        ("red shoe copy.jpg", "red shoe"),
        ("red shoe~2.jpg", "red shoe"),
    ],
)
def test_a_number_beside_words_is_left_out(name: str, title: str) -> None:
    assert title_of(name) == title


@pytest.mark.parametrize(
    ("make", "least"),
    [
        (lambda: str(uuid.uuid4()), 1.0),
        (lambda: uuid.uuid4().hex, 1.0),
        (lambda: secrets.token_hex(20), 1.0),
        (lambda: secrets.token_urlsafe(16), 0.8),
        (lambda: secrets.token_urlsafe(32), 0.85),
        (lambda: "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(24)), 0.6),
    ],
    ids=["uuid", "hex", "sha1", "base64 of 16 bytes", "base64 of 32 bytes", "base36"],
)
def test_most_random_names_give_no_title(make: object, least: float) -> None:
    assert callable(make)
    assert sum(title_of(f"{make()}.jpg") is None for _ in range(500)) >= 500 * least


@given(st.text(max_size=60))
def test_any_name_gives_a_title_of_one_line_or_none(name: str) -> None:
    title = title_of(name)
    assert title is None or (title == title.strip() and title)
