"""Files of a folder that are not indexed: which they are, how many, and what to do about them."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firstsight.extras import install_command
from firstsight.media.file_formats import extension_of

SHOWN_EXTENSIONS: Final = 8
"""Extensions named in a sentence; the others are counted together."""

SHOWN_NAMES: Final = 3


@dataclass(frozen=True)
class Remedy:
    """A kind of files that are not read, and what to do about them."""

    kind: str
    action: str


_HEIC: Final = Remedy("HEIC pictures", f"install their reader: {install_command('heic')}")
_RAW: Final = Remedy("RAW pictures", "export them as JPEG")
_LAYERS: Final = Remedy("files of design programs", "export them as JPEG or PNG")
_DRAWINGS: Final = Remedy("vector drawings", "export them as PNG")
_PICTURES: Final = Remedy("pictures in another format", "convert them to JPEG or PNG")
_DOCUMENTS: Final = Remedy("documents", "save their pictures as JPEG or PNG")
_LIVE: Final = Remedy("live photos", "export them as JPEG and MOV")
_ARCHIVES: Final = Remedy("archives", "unpack them")
_VIDEOS: Final = Remedy("videos in another format", "convert them to MP4")
_PARTS: Final = Remedy("unfinished downloads", "download them again")

_EXTENSIONS: Final[tuple[tuple[Remedy, str], ...]] = (
    (_HEIC, "heic heif hif"),
    (
        _RAW,
        "3fr ari arw cr2 cr3 crw dcr dcs dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef ptx r3d raf raw "
        "rw2 rwl rwz sr2 srf srw x3f",
    ),
    (_LAYERS, "psd psb ai indd idml xcf kra clip afphoto afdesign sketch fig xd cdr cpt pdn pxm procreate blend"),
    (_DRAWINGS, "svg svgz eps ps emf wmf dxf"),
    (
        _PICTURES,
        "jxl jp2 j2k jpf jpx jpm j2c jpc jxr wdp hdp avci avcs bpg flif qoi tga icb vda pcx dds exr hdr pic sgi rgb "
        "ras xbm xpm ico icns cur ani dcm dicom fits pam pfm wbmp jls cin dpx ktx heics heifs",
    ),
    (_DOCUMENTS, "pdf doc docx odt ppt pptx odp key pages xps djvu epub cbz cbr"),
    (_LIVE, "livp pvt"),
    (_ARCHIVES, "zip rar 7z tar gz tgz bz2 xz zst"),
    (
        _VIDEOS,
        "rm rmvb wtv swf braw gxf nut ivf y4m mjpeg mjpg h264 264 h265 265 hevc obu mj2 amv bik smk insv m3u8 mpd",
    ),
    (_PARTS, "part crdownload partial download opdownload"),
)
_REMEDIES: Final = {f".{name}": remedy for remedy, names in _EXTENSIONS for name in names.split()}
_FORMATS: Final = {  # names of `file_formats.sniff`
    "HEIC": _HEIC,
    "RAW": _RAW,
    "PSD": _LAYERS,
    "SVG": _DRAWINGS,
    "PostScript": _DRAWINGS,
    "JPEG XL": _PICTURES,
    "JPEG 2000": _PICTURES,
    "ICO": _PICTURES,
    "PDF": _DOCUMENTS,
}

_IGNORED_EXTENSIONS: Final = frozenset(
    (
        *(".aae", ".thm", ".lrv", ".lrf", ".xmp", ".ifo", ".bup", ".moi", ".pgi", ".cpi", ".clpi", ".mpl", ".mpls"),
        *(".bdm", ".bdmv", ".tdt", ".tid", ".ctg", ".db", ".ini", ".lnk", ".url", ".webloc", ".ds_store"),
        *(".srt", ".vtt"),  # read with the video beside them
        *(".pp3", ".dop", ".cos", ".on1", ".arp", ".rws", ".tmp"),
    )
)
"""Helper files of phones, cameras, players and photo programs."""

IGNORED_FOLDERS: Final = frozenset(
    {"@eadir", "__macosx", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders with copies and thumbnails that the user has not made, lower case."""

CATALOGUE_EXTENSIONS: Final = frozenset(
    {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".xlsx", ".xml"}
)


def remedy_of(extension: str, file_format: str | None) -> Remedy | None:
    """The remedy for a file that cannot be read, by its extension, else by its format."""
    return _REMEDIES.get(extension) or _FORMATS.get(file_format or "")


def is_helper_file(name: str) -> bool:
    """Whether a file only helps another program, such as a phone's thumbnail or a sidecar."""
    return extension_of(name) in _IGNORED_EXTENSIONS or name.startswith("Icon\r")


def is_catalogue(path: Path, media_stems: frozenset[str]) -> bool:
    """Whether a file may be a catalogue of the pictures beside it.

    Args:
        media_stems: names of the pictures and videos in its folder without extension, lower case. `photo.jpg.json` or
            `C0001M01.XML` belongs to one of them and is no catalogue.
    """
    extension = extension_of(path.name)
    if extension not in CATALOGUE_EXTENSIONS:
        return False
    if extension not in {".json", ".xml"}:
        return True
    stem = path.stem.lower()
    if stem in {"metadata", "package", "manifest", "mediapro", "print-subscriptions", "user-generated-memory-titles"}:
        return False
    own = re.sub(r"(\.[a-z0-9]+)?\.(supplemental-metadata|suppl.*)$|m\d\d$", "", stem)
    return not media_stems & {stem, own, Path(stem).stem, Path(own).stem}


class LeftOutFiles:
    """Counts the files that a pass over a folder leaves out."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[Remedy, Counter[str]] = {}
        self._others: Counter[str] = Counter()
        self._named: dict[tuple[str, str], list[str]] = {}  # problem, remedy -> names
        self._catalogues: list[str] = []

    def add_file(self, extension: str, file_format: str | None) -> None:
        """Count a file that is not read."""
        remedy = remedy_of(extension, file_format)
        counter = self._others if remedy is None else self._known.setdefault(remedy, Counter())
        counter[extension or "without extension"] += 1

    def add_problem(self, problem: str, name: str, remedy: str = "") -> None:
        """Note a file or folder that cannot be used.

        Args:
            problem: a noun in the plural, such as "links that lead to no file".
        """
        self._named.setdefault((problem, remedy), []).append(name)

    def add_catalogue(self, relative: str) -> None:
        """Note a file that may be a catalogue of the folder's pictures."""
        self._catalogues.append(relative)

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each kind of problem, with its remedy."""
        if self._known:
            total = sum(counter.total() for counter in self._known.values())
            parts = [f"{_counted(counter)} ({r.kind}; {r.action})" for r, counter in self._known.items()]
            yield f"{_files(total)} left out: {', '.join(parts)}"
        for (problem, remedy), names in self._named.items():
            more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
            shown = ", ".join(names[:SHOWN_NAMES]) + more
            yield f"{len(names):,} left out as {problem}: {shown}" + (f"; {remedy}" if remedy else "")
        if self._others:
            total = self._others.total()
            verb = "it is no picture or video" if total == 1 else "they are no pictures or videos"
            yield f"{_files(total, 'other ')} left out, because {verb}: {_counted(self._others)}"
        if self._catalogues:
            yield self._catalogue_note()

    def _catalogue_note(self) -> str:
        first = min(self._catalogues, key=lambda name: (name.count("/"), name))
        command = f"firstsight index {shlex.quote(str(Path(self._folder) / first))}"
        if len(self._catalogues) == 1:
            return f"the folder also holds {first}; to use its titles and prices run: {command}"
        count = len(self._catalogues)
        return (
            f"the folder also holds {count:,} catalogues, such as {first}; to use its titles and prices run: {command}"
        )


def _files(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}file is" if count == 1 else f"{count:,} {kind}files are"


def _counted(counter: Counter[str]) -> str:
    shown = counter.most_common(SHOWN_EXTENSIONS)
    rest = counter.total() - sum(count for _, count in shown)
    return ", ".join(f"{count:,} {name}" for name, count in shown) + (f" and {rest:,} more" if rest else "")
