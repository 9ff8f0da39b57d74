"""Recall of safety heads at their kept thresholds when the pictures are corrupted, or changed to evade them.

The head, its calibration and its thresholds stay as they are. Pictures and frames of labelled units are changed; titles
stay, as they would in a shop. Known-picture matching (PDQ within 31 bits) is measured on the same changed pictures: it
needs the very picture in its list, and the head does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.duplicates.groups import duplicate_group_ids
from firstsight.encoders.base import Encoder
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.heads.labelled_views import match_views, read_labelled_views
from firstsight.heads.labels import Label, LabelSet
from firstsight.heads.view_sample import matrix, texts
from firstsight.media.corruptions.hidden_frames import VIDEO_FRAME
from firstsight.media.corruptions.picture_corruptions import COMMON, EVASIONS, choose_corruptions
from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.media.policy import MediaPolicy
from firstsight.records import Record, RecordList
from firstsight.retrieval.evaluation.robustness.kept_recall import ClusterBootstrap
from firstsight.safety.policy.policies import Policies, Policy
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.safety.robustness.labelled_pictures import ChangedViews, change_views
from firstsight.storage.store import Store

MIN_UNSEEN = 10
"""Minimum number of positive groups that a head has not seen, to measure it on unseen units only."""

DRAWS = 1_000
"""Bootstrap draws of near-duplicate groups."""

CLEAN = "none"
"""Name of the row without a change."""


@dataclass(frozen=True)
class HeadRobustness(Record):
    """Rates of one head under one change, at its review threshold."""

    policy: str
    version: int  # of the head
    change: str  # corruption or evasion; "none" for the stored views
    strength: int  # 1 to 5; 0 for "none"
    positives: int  # labelled units
    recall: float  # share of the positives that go to review or are blocked; NaN without positives
    low: float  # ends of the 95 % interval of `recall`; the bootstrap draws near-duplicate groups
    high: float
    kept: float  # recall / recall without the change; NaN if that is 0
    block_recall: float  # share of the positives that are blocked; NaN if the head blocks nothing
    negatives: int
    false_positive_rate: float  # share of the negatives that go to review or are blocked
    false_positive_low: float
    false_positive_high: float
    hash_recall: float  # share of the positives whose changed picture PDQ still matches with the intact one; a plain
    # picture has no hash
    unseen: bool  # whether the head has seen none of these units


@dataclass(frozen=True)
class SafetyRobustnessReport(RecordList[HeadRobustness]):
    """Rates of all heads with labels."""

    figures: tuple[HeadRobustness, ...]
    unreadable: tuple[str, ...]  # one message for each picture that could not be opened
    problems: tuple[str, ...]  # labels that were left out, with reasons
    notes: tuple[str, ...]


def measure_heads(
    store: Store,
    labels: LabelSet,
    policies: Policies,
    encoder: Encoder,
    media: MediaPolicy,
    *,
    corruptions: Sequence[str] | None = None,
    strengths: Sequence[int] | None = None,
    sample: int = 100,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda line: None,
    on_encoded: Callable[[int, int], None] = lambda done, total: None,
) -> SafetyRobustnessReport:
    """Measure the promoted heads of all policies with labels.

    Args:
        store: the database with the labelled items.
        labels: from `firstsight.safety.training.policy_labels.read_labels`.
        policies: the policies in force.
        encoder: the encoder of the database.
        media: limits for reading pictures.
        corruptions: names of corruptions and evasions, with "video-frame"; None for all.
        strengths: 1 to 5; None for all.
        sample: maximum number of labelled units of each policy and class.
        seed: random seed of the sample, the changes and the intervals.
        on_progress: called with one line about the cost, and with the name of each step.
        on_encoded: called with the number of changed pictures, and of all.

    Raises:
        SafetyError: no labelled policy has a head, no picture can be opened, or `sample` is below 1.
        QueryError: there is no such corruption or strength.
        EncoderError, EncoderMismatchError: the encoder fails, or is another one than the database's.
    """
    if sample < 1:
        raise SafetyError(f"sample must be 1 or more, not {sample}")
    changes = choose_changes(corruptions, strengths)
    heads = HeadShelf(store).promoted()
    named = sorted({row.policy_id for row in labels.rows})
    usable = [name for name in named if name in heads]
    if not usable:
        raise SafetyError(
            f"no policy with labels has a head in use ({', '.join(named) or 'there are no labels'}); "
            "run firstsight safety train, or firstsight safety score for heads of prompts"
        )
    notes = [f"policy {name} has no head in use, so it is left out" for name in named if name not in heads]
    on_progress("searching for near-duplicates, which intervals and unseen units keep together")
    groups = duplicate_group_ids(store)
    of_policy: dict[str, tuple[list[Label], bool]] = {}
    for name in usable:
        rows, unseen = _unseen(labels.of(name), heads[name], groups)
        of_policy[name] = (_drawn(rows, sample, seed), unseen)
        if not unseen:
            notes.append(
                f"policy {name}: fewer than {MIN_UNSEEN} positives are unseen, so these units include some that the "
                "head was trained on; its recall is too good"
            )
    views = read_labelled_views(store, [row for rows, _ in of_policy.values() for row in rows])
    pictures = sum(part in ("image", "frame") for part in texts(views["part"]))
    on_progress(f"{pictures:,} pictures of labelled units, {pictures * len(changes):,} changed pictures are encoded")
    changed = change_views(store, views, changes, encoder, media, seed=seed, on_encoded=on_encoded)
    if not changed.readable.any():
        first = changed.unreadable[0] if changed.unreadable else "the units have no pictures"
        raise SafetyError(f"{store.uri}: no picture of a labelled unit can be opened ({first})")
    figures: list[HeadRobustness] = []
    for name, (rows, unseen) in of_policy.items():
        figures += _measure(heads[name], policies[name], rows, views, changed, groups, unseen, seed)
    return SafetyRobustnessReport(tuple(figures), changed.unreadable, labels.problems, tuple(notes))


def choose_changes(corruptions: Sequence[str] | None, strengths: Sequence[int] | None) -> list[tuple[str, int]]:
    """List corruptions and evasions with their strengths; see `choose_corruptions`, which lacks "video-frame"."""
    names = [*dict.fromkeys([*COMMON, *EVASIONS]), VIDEO_FRAME] if corruptions is None else list(corruptions)
    drawn = [name for name in names if name != VIDEO_FRAME]
    changes = choose_corruptions(drawn, strengths) if drawn or not names else []
    return [*changes, (VIDEO_FRAME, 1)] if VIDEO_FRAME in names else changes


def _unseen(rows: list[Label], head: Head, groups: Mapping[str, str]) -> tuple[list[Label], bool]:
    """Return the units that the head has not seen, if they are enough; else all, and False."""
    seen = set(head.seen)
    owner = {id(row): _group(row, groups) for row in rows}
    seen_groups = {owner[id(row)] for row in rows if f"{row.unit_kind}:{row.name}" in seen}
    fresh = [row for row in rows if owner[id(row)] not in seen_groups]
    positives = {owner[id(row)] for row in fresh if row.label == 1}
    if len(positives) >= MIN_UNSEEN and any(row.label == 0 for row in fresh):
        return fresh, True
    return rows, not seen_groups


def _group(row: Label, groups: Mapping[str, str]) -> str:
    owner = row.item_id or row.name
    return groups.get(owner, owner)


def _drawn(rows: Sequence[Label], sample: int, seed: int) -> list[Label]:
    """Draw units of each class; a unit stays drawn when labels are added after it in the order of digests."""

    def place(row: Label) -> bytes:
        return hashlib.blake2b(f"{seed}\n{row.unit_kind}:{row.name}".encode(errors="surrogatepass")).digest()

    return [row for label in (1, 0) for row in sorted((r for r in rows if r.label == label), key=place)[:sample]]


def _measure(
    head: Head,
    policy: Policy,
    rows: Sequence[Label],
    views: pa.Table,
    changed: ChangedViews,
    groups: Mapping[str, str],
    unseen: bool,
    seed: int,
) -> list[HeadRobustness]:
    parts = texts(views["part"])
    matched = match_views(rows, views, parts=head.parts(policy), policy_id=policy.id)
    stored = head.logits(matrix(views["vector"], len(head.coef)), parts)
    picture_parts = np.array(parts, dtype=object)[changed.views].tolist()
    logits = head.logits(changed.vectors, picture_parts)
    labels = np.array([row.label for row in rows])
    items = texts(views["item_id"])
    first = {unit: items[place] for place, unit in zip(*(reversed(part.tolist()) for part in matched), strict=True)}
    owners = np.array([groups.get(first[unit], first[unit]) for unit in range(len(rows))], dtype=object)
    review, block = head.cuts(policy)
    found: list[HeadRobustness] = []
    clean_recall = np.nan
    for place in range(-1, len(changed.changes)):
        values = stored.copy()
        if place >= 0:
            # a picture that a video hides completely has no score any more
            values[changed.readable] = -np.inf
            of_change = changed.change == place
            np.maximum.at(values, changed.views[of_change], logits[of_change])
        scores = _unit_scores(head, values, matched, len(rows))
        flagged = (scores >= review).astype(np.float64)
        recall = _rate(flagged, labels == 1, owners, seed)
        false_positives = _rate(flagged, labels == 0, owners, seed)
        clean_recall = recall[0] if place < 0 else clean_recall
        name, strength = (CLEAN, 0) if place < 0 else changed.changes[place]
        found.append(
            HeadRobustness(
                *(policy.id, head.version, name, strength, int((labels == 1).sum())),
                *recall,
                kept=recall[0] / clean_recall if clean_recall > 0 else np.nan,
                block_recall=np.nan if block is None else float((scores >= block)[labels == 1].mean()),
                negatives=int((labels == 0).sum()),
                false_positive_rate=false_positives[0],
                false_positive_low=false_positives[1],
                false_positive_high=false_positives[2],
                hash_recall=_hash_recall(changed, matched, labels, place),
                unseen=unseen,
            )
        )
    return found


def _unit_scores(
    head: Head, logits: Floats, matched: tuple[NDArray[np.int64], NDArray[np.int64]], units: int
) -> Floats:
    places, of_unit = matched
    highest = np.full(units, -np.inf)
    np.maximum.at(highest, of_unit, logits[places])
    scores = np.zeros(units)
    finite = np.isfinite(highest)
    scores[finite] = head.calibration(highest[finite])
    return scores


def _rate(
    flagged: Floats, chosen: NDArray[np.bool_], owners: NDArray[np.object_], seed: int
) -> tuple[float, float, float]:
    """Share of the chosen units that are flagged, with its interval."""
    if not chosen.any():
        return np.nan, np.nan, np.nan
    kept = ClusterBootstrap(owners[chosen], DRAWS, seed).kept(np.ones(int(chosen.sum())), flagged[chosen])
    return kept.share, kept.low, kept.high


def _hash_recall(
    changed: ChangedViews, matched: tuple[NDArray[np.int64], NDArray[np.int64]], labels: NDArray[Any], place: int
) -> float:
    """Share of the positives with an opened picture that is still near its own fingerprint."""
    places, of_unit = matched
    opened = changed.readable[places]
    near = changed.hashed[places] if place < 0 else changed.bits[places, place] <= MAX_DISTANCE
    has_picture = np.zeros(len(labels), np.bool_)
    hit = np.zeros(len(labels), np.bool_)
    np.logical_or.at(has_picture, of_unit, opened)
    np.logical_or.at(hit, of_unit, opened & near)
    counted = has_picture & (labels == 1)
    return float(hit[counted].mean()) if counted.any() else np.nan
