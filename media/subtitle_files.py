"""Subtitle files beside local videos: `clip.srt`, `clip.de.srt` and `clip.en-US.vtt` belong to `clip.mp4`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from firstsight.errors import MediaError
from firstsight.media.fetch.addresses import resolve, scheme_of
from firstsight.media.language_tags import language_tag
from firstsight.media.policy import MediaPolicy

EXTENSIONS: Final = (".srt", ".vtt")

_KINDS: Final = frozenset({"sdh", "cc", "forced", "default"})
"""Last parts of names that players know, such as `clip.en.sdh.srt`; they say nothing about the language."""

_KEPT_FOLDERS: Final = 64
"""Listings of folders in memory."""


@dataclass(frozen=True)
class SubtitleFile:
    """A subtitle file of a video."""

    uri: str  # like the address of its video
    language: str | None  # from its name; None if unknown


def language_in_name(name: str) -> str | None:
    """The language tag in the name of a subtitle file, such as "de" in `clip.de.srt`; None without one."""
    parts = PurePosixPath(name.replace("\\", "/")).name.split(".")[1:-1]
    while parts and parts[-1].lower() in _KINDS:
        parts.pop()
    return language_tag(parts[-1]) if parts else None


class SubtitleFinder:
    """Finds subtitle files beside local videos. A folder is listed once."""

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy
        self._folders: dict[Path, dict[str, list[str]]] = {}  # folder -> first part of a name, lower case -> names

    def beside(self, uri: str) -> list[SubtitleFile]:
        """Subtitle files of a video, by name; none for a remote or stored video, and for a file that cannot be read."""
        if scheme_of(uri) is not None:
            return []
        try:
            resolve(uri, self._policy)  # so that only folders that the policy allows are listed
        except MediaError:
            return []
        folder = (self._policy.root or Path()) / Path(uri).parent
        stem = Path(uri).stem
        found = []
        for name in self._names(folder).get(stem.partition(".")[0].lower(), ()):
            rest = name[len(stem) :]
            tag = language_in_name(f"x{rest}")
            if name.startswith(f"{stem}.") and (tag is not None or _is_plain(rest)):
                found.append(SubtitleFile(uri[: len(uri) - len(Path(uri).name)] + name, tag))
        return found

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            while len(self._folders) >= _KEPT_FOLDERS:
                self._folders.pop(next(iter(self._folders)))
            names: dict[str, list[str]] = {}
            try:
                listed = sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(EXTENSIONS))
            except OSError:
                listed = []
            for name in listed:
                names.setdefault(name.partition(".")[0].lower(), []).append(name)
            self._folders[folder] = names
        return self._folders[folder]


def _is_plain(rest: str) -> bool:
    """Whether the name goes on with the extension, or with words such as `sdh` before it."""
    return all(part.lower() in _KINDS for part in rest.split(".")[1:-1])
