"""Titles from the names of picture and video files.

People name files after what they show; cameras, phones and programs number them. A number says nothing about a picture,
and as a title it would hide what the picture shows from searches. So a name without a word that people have written
gives no title, and a camera's number beside such words is left out: `IMG_4000 red shoe.jpg` gives "red shoe".
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath
from typing import Final

_CAMERA: Final = (
    r"(?:fb_img|mvimg|imgp|imag|rimg|img|dscf|dscn|dsci|dsc|sdc|sam|pict|cimg|pxl|mvi|vid|mov|wp|hpim|kif|gopr|dji|dcp"
    r"|dscd|ptdc|stc|pano|psx|snapseed|mmexport|received|signal|image|photo|video|picture|pic|scan)"
)
"""Prefixes of cameras, phones and messengers; a number follows."""

_WITH_NUMBER: Final = re.compile(
    rf"""{_CAMERA}e?\d+                  # IMG4000, IMGE1234, image0
      | e\d{{4,}} | wa\d{{4,}}           # IMG_E1234, IMG-20230101-WA0001
      | (?:gh|gx|gp|gl|gs|lrv)\d{{4,8}}  # GoPro
      | [a-z]\d{{4,8}} | mah\d{{5}}      # P1010001 (Panasonic, Olympus), C0001 and MAH01234 (Sony)
      | (?:unnamed|untitled|unbenannt|file|download|fullsizerender|screenshot|clip|thumb|burst|cover|portrait|copy)\d+
      | \d{{8}}t?\d{{6,}}z? | \d+(?:x\d+)+ | (?:sl|sx|sy|ss|us|ul|ux|uy|qlw?)\d{{2,}}
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words that consist of a prefix and a number, or of a date and a time, or of a size in pixels."""

_PLACEHOLDER_WORDS: Final = (
    "image images img imgs photo photos picture pictures pic video bild bilder foto fotos imagen immagine imagem obraz "
    "untitled unnamed unbenannt noname download fullsizerender fullsize whatsapp screenshot screencapture "
    "screenrecording bildschirmfoto bildschirmaufnahme schermafbeelding schermata skärmavbild capture captura blob tmp "
    "temp attachment anhang thumb thumbnail picsart inshot snapchat mmexport dcim signal telegram viber "
    "图片 照片 微信图片 屏幕截图 截图 截屏 写真 画像 スクリーンショット 사진"
)
_PLACEHOLDERS: Final = frozenset(_PLACEHOLDER_WORDS.split())
"""Words that say nothing about a picture, even alone."""

_MARK_WORDS: Final = (
    # of cameras and phones, beside a number
    "dsc dscf dscn dsci dcp sdc sam pict cimg pxl mvimg mvi vid mov wp hpim kif gopr dji imgp imag rimg fb psx mg dsf "
    "igp pano panorama portrait burst hdr night cover bokeh slow timelapse cinematic mp ts lrv live raw top ori mfnr "
    # of programs and messengers
    "screen shot recording clip file scan scanned movie received snapseed export exported output new project "
    "pantalla écran ekranu zrzut pasted message microsoftteams sans titre sin título titulo ac "
    # copies and changes
    "copy copie kopie copia kopia edit edited bearbeitet modifié modifie editado modificato bewerkt effects original "
    "final scaled compressed cropped resized rotated enhanced heic jpg jpeg png 副本 复制 編集済み "
    # dates
    "at on um de à alle las om vom von of the am pm uhr "
    "jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june july august september "
    "october november december"
)
_MARKS: Final = frozenset(_MARK_WORDS.split())
"""Words that say nothing beside a number or a placeholder."""

_OWN_PREFIX: Final = re.compile(r"^_[a-z]{2,3}_?\d{4}(?!\d)", re.IGNORECASE)
"""Beginning of a camera's file name in the colour space Adobe RGB, such as _MG_1234."""
_UUID: Final = re.compile(
    r"\b[0-9a-f]{8}([-_]?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
_TOKEN: Final = re.compile(r"[^\W_]+")
_HEX: Final = re.compile(r"[0-9a-f]{8,}", re.IGNORECASE)
_RANDOM: Final = re.compile(r"[A-Za-z0-9_-]{10,}={0,2}")
_WORD: Final = re.compile(r"[A-Z][a-z]{2,}|[a-z]{5,}")
_CHANGE: Final = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[a-z])")
"""A place where letters and digits meet, or a capital stands within a word."""

_DATE: Final = r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
_NUMBER: Final = (
    rf"(?:(?:{_CAMERA}[-_ ]?e?(?:{_DATE}|\d{{3,}})|_[a-z]{{2,3}}_?\d{{4}}|[a-z]\d{{7}}|{_DATE}[-_ T]\d{{4,}})"
    r"(?:[-_]\d{2,})*)"
)
_SCREENSHOT: Final = re.compile(rf"^screenshot[-_ ]{_DATE}[-_ ]\d\d[-_.]?\d\d[-_.]?\d\d(?:[-_]\d+)?_", re.IGNORECASE)
"""Beginning of a phone's screenshot; the name of the photographed program follows."""
_NUMBER_BEFORE: Final = re.compile(rf"^{_NUMBER}(?:~\d+)?[-_ .,]+(?=\D)", re.IGNORECASE)
_NUMBER_AFTER: Final = re.compile(rf"[-_ .,]+{_NUMBER}$", re.IGNORECASE)
_COPY: Final = re.compile(r"(?: ?\(\d{1,3}\)|[-_ ]+(?:copy|copie|kopie|copia)(?: \d{1,3})?|~\d{1,3})$", re.IGNORECASE)


def title_of(name: str) -> str | None:
    """Make a title from the name of a picture or video file.

    Args:
        name: with its extension; of a path, only the last part counts.

    Returns:
        The words of the name; None if it has only numbers of cameras or programs, dates, hashes and words such as
        "image" or "copy".
    """
    stem = unicodedata.normalize("NFC", PurePath(name).stem).strip()
    if not _has_words(stem) or _SCREENSHOT.match(stem):
        return None
    words = _UUID.sub(" ", _COPY.sub("", stem))
    for number in (_NUMBER_BEFORE, _NUMBER_AFTER):
        shorter = number.sub("", words)
        words = shorter if _has_words(shorter) else words
    return re.sub(r"[\s_-]+", " ", words).strip(" .,~") or None


def _has_words(stem: str) -> bool:
    """Whether a name has a word that people have written."""
    numbered = placeholder = False
    text = _OWN_PREFIX.sub(" 0 ", _UUID.sub(" 0 ", stem))
    parts = re.split(r"[\s.,]+", text)
    for token in (token for part in parts for token in (["0"] if _is_random(part) else _TOKEN.findall(part.lower()))):
        if token.isdecimal() or _WITH_NUMBER.fullmatch(token) or _is_hex(token):
            numbered = True
        elif token in _PLACEHOLDERS:
            placeholder = True
        elif token not in _MARKS and not (len(token) == 1 and token.isascii()):
            return True
    return any(map(str.isalpha, stem)) and not numbered and not placeholder


def _is_hex(token: str) -> bool:
    """Whether a word is a hexadecimal number: long, or short with letters and digits in turn."""
    changes = len(_CHANGE.findall(token)) if _HEX.fullmatch(token) else 0
    return changes >= (1 if len(token) >= 16 else 2 if len(token) >= 10 else 3)


def _is_random(text: str) -> bool:
    """Whether a text is a hash or key in base 64, base 36 or similar: letters and digits in turn, without words."""
    if not _RANDOM.fullmatch(text) or not any(map(str.isdecimal, text)):
        return False
    letters = sum(map(str.isalpha, text))
    in_words = sum(map(len, _WORD.findall(text)))
    changes = max(4, (0.36 if len(text) < 16 else 0.2) * len(text))
    return len(_CHANGE.findall(text)) >= changes and in_words <= 0.65 * letters
