"""Search among videos and products: by texts with known answers, by whole videos, by short cuts and by pictures.

The videos are those of `clips.py`, beside the products of sample_media. `before` is the ranking by an item's fused
vector (texts: part item, with words) or by the best of that and its views (pictures and clips: part best). `now` is the
default of a database with videos.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import firstsight
from benchmarks.picture_queries import wilson
from benchmarks.video_parts import clips
from benchmarks.video_parts.clips import Clip
from firstsight import Query
from firstsight.retrieval.query import PartChoice
from firstsight.retrieval.results import SearchResult, SearchResults

T = TypeVar("T")

CUT_S: Final = 3.0
CUTS_PER_ORIGINAL: Final = 1
MIN_RELEVANCE: Final = 0.5
NEAR_S: Final = 0.3
"""Largest error of an offset that counts as right, in seconds."""

TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "a drum set with cymbals": ("drum-kit",),
    "small violin": ("violin",),
    "a brass wind instrument": ("trumpet",),
    "sleeping outdoors in a tent": ("tent",),
    "rucksack for a long hike": ("backpack",),
    "notebook computer with an open screen": ("laptop",),
    "red phone with buttons": ("red-telephone",),
    "clock that rings in the morning": ("alarm-clock",),
    "stuffed bear": ("teddy-bear",),
    "little yellow duck": ("rubber-duck",),
    "cubes with letters": ("abc-blocks",),
    "red hat with a black band": ("fedora-red",),
    "dark round glasses": ("sunglasses",),
    "record player with a horn": ("gramophone",),
    "an old television set": ("television",),
    "cutting a hedge with shears": ("garden-shears",),
    "red flowers in a pot": ("geranium",),
    "electric guitar": ("guitar-electric",),
    "a rocket ready for launch": ("poster-rocket",),
    "a pineapple": ("pineapple",),
    "colourful ball for the beach": ("beach-ball",),
    "cheese fondue in a red pot": ("fondue-pot",),
    "a wooden chair that folds": ("folding-chair",),
    "pink tulips": ("tulips",),
    "stars and galaxies in space": ("poster-galaxies",),
    "a cat looking at the camera": ("poster-cat",),
    "a grey cartoon rabbit on a meadow": ("bigbuckbunny",),
    "a man with a red bow tie in a car": ("carphone",),
    "people walking past a parking lot": ("vtest",),
    "a cartoon woman in a purple dress": ("megamind",),
}
"""Texts, with the pictures and recordings that they describe."""


@dataclass(frozen=True)
class Way:
    """A way to rank."""

    name: str
    texts: PartChoice | None
    media: PartChoice | None


BEFORE: Final = Way("before", "item", "best")
NOW: Final = Way("now", None, None)


def run(footage: Path | None) -> None:
    """Build the clips and their database, and print the figures of both ways."""
    videos = clips.build_clips(footage)
    catalogue = clips.write_catalogue(videos, clips.clip_folder() / "catalogue.csv")
    db = firstsight.open(clips.clip_folder() / "search-db")
    db.index(catalogue)
    seconds = sum(clip.duration_s for clip in videos)
    print(f"{len(videos)} videos of {seconds:,.0f} s, and the products of sample_media\n")
    with tempfile.TemporaryDirectory() as work:
        cuts = make_cuts(videos, Path(work))
        for way in (BEFORE, NOW):
            print(f"## {way.name}\n")
            measure_texts(db, videos, way)
            measure_whole_videos(db, videos, way)
            measure_cuts(db, cuts, way)
            measure_pictures(db, cuts, way)
            print()


# ---- texts


def measure_texts(db: firstsight.Database, videos: Sequence[Clip], way: Way) -> None:
    shown = {shot.source for clip in videos for shot in clip.shots}
    texts = {text: sources for text, sources in TEXTS.items() if shown.issuperset(sources)}
    queries = [Query(text, part=way.texts, kinds=["video"], k=10, moments=True) for text in texts]
    answers = db.search_many(queries)
    first, third, moment, kept, misses = [], [], [], [], []
    for (text, sources), results in zip(texts.items(), answers, strict=True):
        right = {clip.item_id: clip for clip in videos if {shot.source for shot in clip.shots} & set(sources)}
        ranks = [n for n, result in enumerate(results) if result.item_id in right]
        first.append(ranks[:1] == [0])
        third.append(bool(ranks) and ranks[0] < 3)
        best = results[ranks[0]] if ranks else None
        moment.append(best is not None and _names_moment(best, right[best.item_id], sources))
        kept.append(best is not None and best.relevance >= MIN_RELEVANCE)
        if not first[-1]:
            misses.append(f"{text} ({ranks[0] + 1 if ranks else '-'})")
    print_share("texts: right video first", first)
    print_share("texts: right video in the first three", third)
    print_share("texts: right moment", moment)
    print_share(f"texts: right video kept by --min-relevance {MIN_RELEVANCE}", kept)
    print("  not first (rank):", ", ".join(misses))
    products = [Query(row.title or "", part=way.texts, k=1) for row in product_rows(db)]
    found = db.search_many(products)
    print_share(
        "titles of products: that product first, beside the videos",
        [[r.title for r in answer] == [query.text] for query, answer in zip(products, found, strict=True)],
    )


def product_rows(db: firstsight.Database) -> list[SearchResult]:
    """Every product."""
    return list(db.search("product", kinds=["product"], k=1_000, mode="vector", part="item"))


def _names_moment(result: SearchResult, clip: Clip, sources: Sequence[str]) -> bool:
    """Whether the first moment overlaps a right stretch, intersection over union above .5."""
    if not result.moments:
        return False
    start, end = result.moments[0].start_s, result.moments[0].end_s
    for shot in clip.shots:
        shared = min(end, shot.end_s) - max(start, shot.start_s)
        if shot.source in sources and shared / (max(end, shot.end_s) - min(start, shot.start_s)) > 0.5:
            return True
    return False


# ---- clips


def measure_whole_videos(db: firstsight.Database, videos: Sequence[Clip], way: Way) -> None:
    queries = [Query(videos=[clip.path], part=way.media, k=3) for clip in videos]
    answers = db.search_many(queries)
    firsts = [_first(results) == clip.item_id for clip, results in zip(videos, answers, strict=True)]
    print_share("whole videos: itself first", firsts)
    print_misses(videos, answers, lambda clip: clip.item_id)
    by_item = db.search_many([Query(items=[clip.item_id], part=way.media, k=1) for clip in videos if clip.copy_of])
    copies = [clip for clip in videos if clip.copy_of]
    print_share(
        "similar to a copy: its original first",
        [_first(results) == clip.copy_of for clip, results in zip(copies, by_item, strict=True)],
    )


@dataclass(frozen=True)
class Cut:
    """A short part of a clip, encoded again."""

    original: Clip
    path: Path
    start_s: float
    family: frozenset[str]  # the original and its copies


def make_cuts(videos: Sequence[Clip], folder: Path) -> list[Cut]:
    """Cut each original at random seconds."""
    rng = random.Random(19)
    cuts = []
    for clip in videos:
        if clip.copy_of is None:
            family = frozenset({clip.item_id, *(copy.item_id for copy in videos if copy.copy_of == clip.item_id)})
            for n in range(CUTS_PER_ORIGINAL):
                start_s = round(rng.uniform(0, max(0.0, clips.duration(clip.path) - CUT_S)), 2)
                path = folder / f"{clip.item_id}-{n}.mp4"
                cut = ["-ss", str(start_s), "-t", str(CUT_S), "-i", str(clip.path), "-vf", "scale=426:-2"]
                clips.make(path, *cut, *clips.ENCODING, "-crf", "30")
                cuts.append(Cut(clip, path, start_s, family))
    return cuts


def measure_cuts(db: firstsight.Database, cuts: Sequence[Cut], way: Way) -> None:
    answers = db.search_many([Query(videos=[cut.path], part=way.media, k=10) for cut in cuts])
    firsts = [_first(results) == cut.original.item_id for cut, results in zip(cuts, answers, strict=True)]
    print_share(f"cuts of {CUT_S:g} s: original first", firsts)
    family = [_first(results) in cut.family for cut, results in zip(cuts, answers, strict=True)]
    print_share("cuts: original or a copy of it first", family)
    print_share(
        "cuts: offset right", [_offset_is_right(cut, results) for cut, results in zip(cuts, answers, strict=True)]
    )
    print_misses(cuts, answers, lambda cut: cut.original.item_id)


def _offset_is_right(cut: Cut, results: SearchResults) -> bool:
    for result in results:
        clip = getattr(result, "clip", None)
        if result.item_id == cut.original.item_id:
            return clip is not None and abs(clip.offset_s - cut.start_s) <= NEAR_S
    return False


def measure_pictures(db: firstsight.Database, cuts: Sequence[Cut], way: Way) -> None:
    """A picture from the middle of each cut."""
    pictures = [
        clips.make(cut.path.with_suffix(".jpg"), "-ss", str(CUT_S / 2), "-i", str(cut.path), "-frames:v", "1")
        for cut in cuts
    ]
    answers = db.search_many([Query(images=[str(path)], part=way.media, k=10, kinds=["video"]) for path in pictures])
    hits = [
        [n for n, r in enumerate(results) if r.item_id in cut.family]
        for cut, results in zip(cuts, answers, strict=True)
    ]
    print_share("a frame: its video or a copy first", [ranks[:1] == [0] for ranks in hits])
    kept = [
        bool(ranks) and results[ranks[0]].relevance >= MIN_RELEVANCE
        for ranks, results in zip(hits, answers, strict=True)
    ]
    print_share(f"a frame: its video kept by --min-relevance {MIN_RELEVANCE}", kept)


# ---- printing


def _first(results: SearchResults) -> str | None:
    return results[0].item_id if results else None


def print_share(what: str, hits: Sequence[bool]) -> None:
    """Print hits, their number, and the 95 % interval of the share."""
    low, high = wilson(sum(hits), len(hits))
    print(f"{what}: {sum(hits)} of {len(hits)} ({100 * low:.0f} to {100 * high:.0f} %)", flush=True)


def print_misses(queries: Sequence[T], answers: Iterable[SearchResults], name: Callable[[T], str]) -> None:
    """Print what came first instead of the right video."""
    wrong = [
        f"{name(q)} -> {_first(results)}"
        for q, results in zip(queries, answers, strict=True)
        if _first(results) != name(q)
    ]
    if wrong:
        print("  not first:", ", ".join(wrong))
