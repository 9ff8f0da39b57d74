"""Quality of pictures: planted defects that are found, false alarms, and the cost of measuring.

    python -m benchmarks.understanding quality --data FOLDER

Thresholds are chosen on one half of the shop's products, at 2 % false alarms, and measured on the other half. The
thresholds that are shipped are fixed; their figures are those of all pictures. `named` is the share that gets the right
name: a blurred and an enlarged picture look alike, and both names say that the picture is not sharp.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

import firstsight
from benchmarks.understanding_parts.planted_defects import DEFECTS, clean_pictures
from firstsight.errors import MediaError
from firstsight.media.picture_facts import JsonValue, PictureSource
from firstsight.media.pictures import open_picture, shrink
from firstsight.understanding.quality.picture_quality import MIN_SIDE, measure
from firstsight.understanding.quality.problems import PROBLEM_KINDS, PROBLEMS, ProblemKind, find_problems

PICTURES: Final = 60
GENERATED: Final = 60
ALLOWED: Final = 0.02


@dataclass(frozen=True)
class Measured:
    """A picture's measures and the names of its problems by the shipped thresholds."""

    values: Mapping[str, JsonValue]
    names: frozenset[str]

    def value(self, kind: ProblemKind) -> float | None:
        """The measure of a problem."""
        if kind.measure == "longer_side":
            return float(max(int(str(self.values["width"])), int(str(self.values["height"]))))
        value = self.values[kind.measure]
        return float(value) if isinstance(value, int | float) else None


def run(data: Path) -> None:
    """Print found shares, false alarms and cost."""
    shop = data / "luma_men_gear"
    pictures = _pictures(sorted((shop / "images").iterdir()))
    clean = [_measure(picture) for picture in pictures]
    step = max(1, len(pictures) // PICTURES)
    chosen = list(range(0, len(pictures), step))[:PICTURES]
    print(f"{len(chosen)} of {len(pictures)} pictures of the shop")
    print(f"{'planted defect':28}{'n':>4}{'found at 2 %':>14}{'shipped: found':>16}{'named':>8}")
    for defect, (names, plant) in DEFECTS.items():
        planted = [(n, plant(pictures[place])) for n, place in enumerate(chosen)]
        found = {n: _measure(picture) for n, picture in planted if picture is not None}
        if not found:
            print(f"{defect:28}{0:4}   not visible in these pictures")
            continue
        kind = PROBLEM_KINDS[names[0]]
        threshold = _threshold(kind, [clean[place] for place in chosen[::2]])
        at_two = np.mean([_is_beyond(kind, each, threshold) for n, each in found.items() if n % 2] or [False])
        shipped = np.mean([bool(each.names & set(names)) for each in found.values()])
        named = np.mean([names[0] in each.names for each in found.values()])
        print(f"{defect:28}{len(found):4}{at_two:14.3f}{shipped:16.3f}{named:8.3f}", flush=True)
    samples = _pictures(sorted((Path(__file__).parents[2] / "sample_media" / "pictures").iterdir()))
    drawn = list(clean_pictures(GENERATED))
    _print_false_alarms(
        {
            "the shop": clean,
            "sample_media": [_measure(picture) for picture in samples],
            "generated": [_measure(picture) for picture in drawn],
        }
    )
    _print_cost(shop / "catalog.csv")


def _pictures(paths: Iterable[Path]) -> list[Image.Image]:
    found = []
    for path in paths:
        try:
            found.append(open_picture(path))
        except MediaError:  # a file of each folder is truncated
            continue
    return found


def _measure(picture: Image.Image) -> Measured:
    # as the decoding child does it
    values = measure(shrink(picture, MIN_SIDE), PictureSource(*picture.size, "image"))
    return Measured(values, frozenset(found.kind.name for found in find_problems(values)))


def _threshold(kind: ProblemKind, clean: Sequence[Measured]) -> float:
    """The value that at most 2 % of clean pictures are beyond."""
    values = sorted((value for each in clean if (value := each.value(kind)) is not None), reverse=kind.is_high)
    return values[int(ALLOWED * len(values))]


def _is_beyond(kind: ProblemKind, each: Measured, threshold: float) -> bool:
    value = each.value(kind)
    return value is not None and (value > threshold if kind.is_high else value < threshold)


def _print_false_alarms(clean: Mapping[str, Sequence[Measured]]) -> None:
    print(f"\n{'share with the problem':28}" + "".join(f"{f'{name} ({len(m)})':>20}" for name, m in clean.items()))
    for kind in PROBLEMS[:-1]:  # watermarks need text
        shares = [np.mean([kind.name in each.names for each in measured]) for measured in clean.values()]
        print(f"{kind.name:28}" + "".join(f"{share:20.3f}" for share in shares))


def _print_cost(catalogue: Path) -> None:
    seconds = {}
    for quality in (False, True, False, True):  # the first pair loads files
        with tempfile.TemporaryDirectory() as folder:
            before = _processor_seconds()
            with firstsight.open(folder) as db:
                db.index(catalogue, quality=quality, colours=False, detect_language=False)
            seconds[quality] = _processor_seconds() - before
    print(
        f"\nindex run, processor seconds: {seconds[False]:.1f} without quality, {seconds[True]:.1f} with it: ", end=""
    )
    print(f"{seconds[True] / seconds[False]:.2f}x")


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
