"""The timed texts of an item: files beside its videos, and the subtitles of its catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from firstsight.errors import MediaError
from firstsight.indexer.columns.subtitle_cells import SubtitleSource
from firstsight.indexer.row_reader import CatalogItem
from firstsight.indexer.timed_text.passages import Passage, make_passages
from firstsight.media.fetch.addresses import change_stamp
from firstsight.media.fetch.fetched_media import fetch
from firstsight.media.policy import MediaPolicy
from firstsight.media.subtitle_files import SubtitleFinder
from firstsight.media.subtitles import MAX_BYTES, TimedText, parse_subtitle_file, parse_subtitles, parse_timed_json

IN_CATALOGUE: Final = "subtitles in the catalogue"
"""Address, in `failures`, of timed lines that are in the catalogue itself."""


@dataclass(frozen=True)
class ItemText:
    """Timed text of one video of an item."""

    source: SubtitleSource
    video: int  # place of the video in the item; 0 for an item without videos

    @property
    def name(self) -> str:
        """The address of the file."""
        return self.source.uri or IN_CATALOGUE


@dataclass(frozen=True)
class LoadedText:
    """The passages of a timed text, or why there are none."""

    passages: tuple[Passage, ...] = ()
    lines: int = 0
    version: str | None = None  # ETag or Last-Modified of a remote file
    problem: tuple[str, MediaError] | None = None  # stage, and what could not be used


class ItemTexts:
    """Finds and loads the timed texts of items.

    Remote videos have only the subtitles that the catalogue names: guessed addresses would be requests that nobody
    asked for, mostly for files that do not exist.
    """

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = replace(policy, max_picture_bytes=MAX_BYTES)
        self._finder = SubtitleFinder(policy)

    def of(self, item: CatalogItem) -> tuple[ItemText, ...]:
        """The timed texts of an item; each file once."""
        found: dict[object, ItemText] = {}
        for source in item.subtitles:
            found.setdefault(source.uri or (source.content, source.language), ItemText(source, _video_of(source, item)))
        for video, uri in enumerate(item.videos):
            for file in self._finder.beside(uri):
                found.setdefault(file.uri, ItemText(SubtitleSource(file.uri, None, file.language), video))
        return tuple(found.values())

    def stamp(self, texts: tuple[ItemText, ...]) -> list[object]:
        """Plain values that change with the texts, for the item's digest."""
        return [
            [
                text.video,
                text.source.language,
                text.source.content,
                text.source.uri and [text.source.uri, change_stamp(text.source.uri, self._policy)],
            ]
            for text in texts
        ]

    def load(self, text: ItemText) -> LoadedText:
        """Fetch and parse a timed text; called in any thread."""
        stage, version = "fetch", None
        try:
            if text.source.uri is None:
                parsed = _parse_content(text.source)
            else:
                with fetch(text.source.uri, self._policy, "picture") as fetched:
                    data = fetched.read()
                    version = fetched.version or None
                stage = "decode"
                parsed = parse_subtitle_file(data, text.name, language=text.source.language)
        except MediaError as error:
            return LoadedText(problem=("catalog" if text.source.uri is None else stage, error))
        except OSError as error:
            reason = f"{text.name} could not be read ({error.strerror or error})"
            return LoadedText(problem=(stage, MediaError("unreachable", reason)))
        problem = ("decode", parsed.problem) if parsed.problem else None
        return LoadedText(tuple(make_passages(parsed.lines)), len(parsed.lines), version, problem)


def _parse_content(source: SubtitleSource) -> TimedText:
    content = source.content or ""
    if content.startswith("["):
        return parse_timed_json(content, "the list of lines", language=source.language)
    return parse_subtitles(content, "the text of subtitles", language=source.language)


def _video_of(source: SubtitleSource, item: CatalogItem) -> int:
    """The video of a file: the one of its name, else the first."""
    if source.uri is not None:
        name = _file_name(source.uri)
        for video, uri in enumerate(item.videos):
            if name.startswith(f"{PurePosixPath(_file_name(uri)).stem}."):
                return video
    return 0


def _file_name(uri: str) -> str:
    return PurePosixPath(uri.partition("?")[0].partition("#")[0].replace("\\", "/")).name
