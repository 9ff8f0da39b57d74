"""Copies of videos that their fingerprints find, false pairs, offsets, and the time of `duplicates`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.video_parts.copy_kinds import (
    KINDS,
    Helpers,
    cut_video,
    make_copy,
    make_slideshow,
    seconds,
)
from firstsight.duplicates.prints.stored_prints import StoredPrints, VideoPair, find_video_pairs
from firstsight.duplicates.video_alignment import MIN_SHARE
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fingerprints import Fingerprints
from firstsight.media.video_prints import Region, VideoPrints

SAMPLES: Final = Path(__file__).parents[2] / "sample_media"
RECORDINGS: Final = ("vtest", "tree", "Megamind", "bikes", "bigbuckbunny", "carphone_pristine")
"""Recordings that show different things: the first ones are originals, the others must match nothing."""

ORIGINALS: Final = 5
MAX_ORIGINAL_S: Final = 30
_TIMED_REGIONS: Final[tuple[Region, ...]] = ("centre", "core", "strip")
TIMED_MINUTES: Final = (1_000, 10_000)


@dataclass(frozen=True)
class _Clip:
    path: Path
    original: str  # name of the original that it is made from; videos with different names are no copies
    kind: str = ""

    @property
    def has_other(self) -> bool:
        """Whether it shows the helper video: two of these do share a part."""
        return self.kind in ("compilation", "picture in picture", "intro")


def run(footage: Path | None) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        clips = _make_clips(Path(folder), footage)
        with VideoSampler() as sampler:
            prints = [sampler.prints(clip.path) for clip in clips]
        minutes = sum(made.duration_s for made in prints) / 60
        size = sum(made.whole.nbytes + sum(codes.nbytes for codes in made.regions.values()) for made in prints)
        print(f"{len(clips)} videos, {minutes:.0f} minutes; {size / minutes / 1e3:.1f} kB of codes a minute")
        stored = _stored(clips, prints)
        start = time.perf_counter()
        pairs = list(find_video_pairs(stored, min_share=MIN_SHARE))
        print(f"duplicates: {time.perf_counter() - start:.1f} s for {len(pairs):,} pairs\n")
        _report(clips, pairs)
    for count in TIMED_MINUTES:
        _time_catalogue(prints, count)


def _make_clips(folder: Path, footage: Path | None) -> list[_Clip]:
    pictures = sorted((SAMPLES / "pictures").rglob("*.jpg"))
    helpers = Helpers(SAMPLES / "clips" / "cat.mp4", pictures[7])
    samples = {path.stem: path for path in sorted((SAMPLES / "clips").glob("*.mp4")) if path.stem != "cat"}
    slides = make_slideshow(pictures[10:18], 2.5, folder / "slides.mp4")
    originals = {"slides": slides}
    recordings = {} if footage is None else {path.stem: path for path in footage.rglob("*") if path.stem in RECORDINGS}
    for name in RECORDINGS:
        if name in recordings and len(originals) < ORIGINALS:
            originals[name] = cut_video(recordings[name], 0, MAX_ORIGINAL_S, folder / f"{name}.mp4")
    for name in list(samples)[: ORIGINALS - len(originals)]:
        originals[name] = samples.pop(name)
    clips = [_Clip(path, name, "original") for name, path in originals.items()]
    for name, path in originals.items():
        clips += [_Clip(make_copy(kind, path, helpers, folder / f"{name}@{kind}.mp4"), name, kind) for kind in KINDS]
    rest = dict(samples)
    for name, path in recordings.items():
        if name not in originals:
            rest[name] = path
        elif seconds(path) > 2 * MAX_ORIGINAL_S:  # another time before the same camera
            rest[f"{name} later"] = cut_video(path, MAX_ORIGINAL_S + 5, 30, folder / f"{name}-later.mp4")
    for n, (first, last, each) in enumerate(((20, 28, 2.5), (28, 36, 1.5), (36, 44, 4))):
        rest[f"slideshow {n}"] = make_slideshow(pictures[first:last], each, folder / f"other-slides-{n}.mp4")
    for n, picture in enumerate(pictures[44:52]):
        rest[f"still {n}"] = make_slideshow([picture], 8, folder / f"still-{n}.mp4")
    for name, path in rest.items():
        clips.append(_Clip(path, name))
        for kind in ("border", "screen recording", "bars"):
            clips.append(_Clip(make_copy(kind, path, helpers, folder / f"{path.stem}@{kind}.mp4"), name, kind))
    return clips


def _stored(clips: Sequence[_Clip], prints: Sequence[VideoPrints]) -> StoredPrints:
    names = [clip.path.stem for clip in clips]
    return StoredPrints(names, names, [name.encode() for name in names], prints)


def _report(clips: Sequence[_Clip], pairs: Sequence[VideoPair]) -> None:
    originals = {clip.original: n for n, clip in enumerate(clips) if clip.kind == "original"}
    by_ends: Mapping[frozenset[int], VideoPair] = {frozenset((pair.left, pair.right)): pair for pair in pairs}
    print("| kind | found | largest offset error, s | largest error of the speed |\n|---|---|---|---|")
    found_of: dict[bool, list[bool]] = {True: [], False: []}
    missed = []
    for kind, made in KINDS.items():
        offsets, speeds, found = [0.0], [0.0], 0
        for n, clip in enumerate(clips):
            if clip.kind != kind or clip.original not in originals:
                continue
            pair = by_ends.get(frozenset((originals[clip.original], n)))
            found_of[made.strict].append(pair is not None)
            if pair is None:
                missed.append(clip.path.stem)
                continue
            found += 1
            speed, offset = pair.alignment.speed, pair.alignment.offset_s
            if pair.left == n:  # seen from the copy
                speed, offset = 1 / speed, -offset / speed
            offsets.append(abs(offset - made.offset_s))
            speeds.append(abs(speed * made.speed - 1))
        print(f"| {kind} | {found} of {len(originals)} | {max(offsets):.2f} | {max(speeds):.1%} |")
    for strict, kinds in ((True, "resize to logo"), (False, "the others")):
        print(f"\n{kinds}: {np.mean(found_of[strict]):.0%} of {len(found_of[strict])}")
    print("missed:", "; ".join(missed) or "none")
    false = [
        f"{clips[pair.left].path.stem} - {clips[pair.right].path.stem} ({pair.share:.0%})"
        for pair in pairs
        if clips[pair.left].original != clips[pair.right].original
        and not (clips[pair.left].has_other and clips[pair.right].has_other)
    ]
    print(f"false pairs: {len(false)}", "; ".join(false[:20]))


def _time_catalogue(prints: Sequence[VideoPrints], minutes: int) -> None:
    """Time `duplicates` for a catalogue of one-minute videos, a tenth of them copies.

    Codes of real videos with a third of their bits turned at random, the same ones throughout a video, have their
    repeats and their changes.
    """
    rng = np.random.default_rng(0)
    source = [made for made in prints if len(made.whole) >= 16]
    made: list[VideoPrints] = []
    while len(made) < minutes:
        if made and rng.random() < 0.1:
            original = made[rng.integers(len(made))]
            made.append(original)
            continue
        parts = [source[n] for n in rng.integers(0, len(source), 8)]
        turned = np.packbits(rng.random((8, 256)) < 0.5, axis=1)
        whole = np.concatenate([np.resize(p.whole, (16, 32)) ^ t for p, t in zip(parts, turned, strict=True)])[:120]
        regions: dict[Region, Fingerprints] = {
            region: np.concatenate(
                [np.resize(p.regions.get(region, p.whole), (8, 32)) ^ t for p, t in zip(parts, turned, strict=True)]
            )[:60]
            for region in _TIMED_REGIONS
        }
        made.append(VideoPrints(60.0, whole, regions))
    names = [str(n) for n in range(minutes)]
    stored = StoredPrints(names, names, [name.encode() for name in names], made)
    start, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in find_video_pairs(stored, min_share=MIN_SHARE))
    whole_s, whole_cpu_s = time.perf_counter() - start, time.process_time() - cpu
    probes = np.zeros(minutes, bool)
    probes[-10:] = True
    start, cpu = time.perf_counter(), time.process_time()
    sum(1 for _ in find_video_pairs(stored, min_share=MIN_SHARE, probes=probes))
    new_s, new_cpu_s = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"{minutes:,} minutes: {whole_s:.0f} s ({whole_cpu_s:.0f} s of processor time), {count:,} pairs; "
        f"of 10 new videos {new_s:.1f} s ({new_cpu_s:.1f} s)",
        flush=True,
    )
