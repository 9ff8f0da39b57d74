"""Write the problems of a shop's pictures as one HTML page with embedded pictures; it opens without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.pages.templating import PAGES, page_template
from firstsight.retrieval.pages.thumbnails import jpeg_data, jpeg_uri, load_picture
from firstsight.understanding.quality.picture_quality import MIN_SIDE
from firstsight.understanding.quality.problems import PROBLEM_KINDS, ProblemKind
from firstsight.understanding.quality.quality_list import PictureProblem, QualityReport

THUMBNAIL = 320
"""Longer side of a picture on the page, in pixels."""


DETAIL = 120
"""Sides of the part that is shown in original pixels."""

SHOWN_IN_DETAIL = ("blurred", "upscaled", "compressed")


@dataclass(frozen=True)
class _Card:
    problem: PictureProblem
    kind: ProblemKind
    picture: str | None  # data URI
    detail: str | None  # its middle in original pixels, for problems that a small picture hides
    reason: str  # why there is no picture

    @property
    def evidence(self) -> str:
        side = "above" if self.kind.is_high else "below"
        value, threshold = self.kind.shown(self.problem.value), self.kind.shown(self.kind.threshold)
        return f"{self.kind.measure.replace('_', ' ')} {value}, {side} {threshold}"


@dataclass(frozen=True)
class _Section:
    kind: ProblemKind
    count: int  # pictures with the problem
    cards: list[_Card]


def write_quality_page(path: Path, report: QualityReport, *, max_pictures: int, policy: MediaPolicy) -> None:
    """Write a section for each problem: its pictures, the most severe first, with measure, threshold and advice.

    If a picture cannot be read, its place has the reason.

    Args:
        path: of the page; an existing file is replaced.
        report: problems of pictures.
        max_pictures: maximum number of problems with a picture.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.

    Raises:
        OSError: the page cannot be written.
    """
    policy = replace(policy, allow_anywhere=True)
    with VideoSampler() as sampler:
        cards = _cards(report.problems[:max_pictures], policy, sampler)
    sections = [
        _Section(kind, report.counts.get(name, 0), [card for card in cards if card.kind is kind])
        for name, kind in PROBLEM_KINDS.items()
        if report.counts.get(name)
    ]
    with_cards = [section for section in sections if section.cards]
    page = page_template(PAGES, "quality.html").render(
        report=report, sections=sections, with_cards=with_cards, left_out=len(report.problems) - len(cards)
    )
    path.write_text(page, encoding="utf-8")


def _cards(problems: Sequence[PictureProblem], policy: MediaPolicy, sampler: VideoSampler) -> list[_Card]:
    loaded: dict[tuple[str, bool], tuple[str | None, str | None, str]] = {}  # a picture may have several problems
    cards = []
    for problem in problems:
        in_detail = problem.problem in SHOWN_IN_DETAIL
        key = problem.view_id, in_detail
        if key not in loaded:
            loaded[key] = _load(problem.uri, policy, sampler, in_detail)
        cards.append(_Card(problem, PROBLEM_KINDS[problem.problem], *loaded[key]))
    return cards


def _load(
    uri: str | None, policy: MediaPolicy, sampler: VideoSampler, in_detail: bool
) -> tuple[str | None, str | None, str]:
    """A picture, its middle in original pixels, and the reason if there is none."""
    if uri is None:
        return None, None, "no picture"
    try:
        picture = load_picture(uri, None, policy, sampler, min_side=MIN_SIDE if in_detail else THUMBNAIL)
    except MediaError as error:
        return None, None, str(error)
    detail = jpeg_data(_middle(picture), quality=90) if in_detail else None
    return jpeg_uri(picture, THUMBNAIL), detail, ""


def _middle(picture: Image.Image) -> Image.Image:
    left, top = max(0, (picture.width - DETAIL) // 2), max(0, (picture.height - DETAIL) // 2)
    return picture.crop((left, top, min(picture.width, left + DETAIL), min(picture.height, top + DETAIL)))
