"""`firstsight tags train`: read labels, train a version of each tag, and put it into use if it is not worse."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from firstsight.duplicates.groups import duplicate_group_ids
from firstsight.encoders.base import Encoder, Vectors
from firstsight.encoders.prompting.text_towers import load_text_tower
from firstsight.errors import TagError
from firstsight.records import Record
from firstsight.storage.product_groups import GROUP_COLUMN
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_reading import (
    LabelSource,
    TagLabels,
    label_tag,
    read_column_labels,
    read_label_rows,
)
from firstsight.understanding.tags.labels.label_table import read_given_tags, write_labels
from firstsight.understanding.tags.labels.tag_names import require_tag_name, tag_name_of_column
from firstsight.understanding.tags.labels.tag_tree import TagTree
from firstsight.understanding.tags.labels.taxonomy import Taxonomy, read_taxonomy
from firstsight.understanding.tags.models.item_vectors import part_means, read_item_vectors
from firstsight.understanding.tags.models.tag_decisions import PROMPT_CUT, TagCut
from firstsight.understanding.tags.models.tag_model import TagModel, TagShelf, TagSource
from firstsight.understanding.tags.models.tag_prompts import make_prompts
from firstsight.understanding.tags.models.tag_scorers import PromptScorer
from firstsight.understanding.tags.tag_scoring import TagScoreReport, score_tags
from firstsight.understanding.tags.training.tag_shots import limit_labels, make_shots
from firstsight.understanding.tags.training.tag_training import TagTrainSettings, TrainedTag, train_tag
from firstsight.understanding.tags.training.version_comparison import TagComparison

TRAIN_WAIT_S: Final = 60.0
"""Maximum wait in seconds for another process that is writing, so that its work does not cost the trained version."""


@dataclass(frozen=True)
class TagInput:
    """Where labels come from.

    Raises:
        TagError: two sources are given, or an option has no source it belongs to.
    """

    labels: LabelSource | None = None  # a CSV file or rows with item_id, label and optionally tag
    column: str | None = None  # of the catalogue, instead of labels
    tag: str | None = None  # name; None for that of the column or of the rows, else category
    separator: str | None = None  # of several values in a cell of the column
    path_separator: str | None = None  # of levels in a value of the column; " > " always separates levels
    taxonomy: str | os.PathLike[str] | None = None  # file of categories that labels must name
    branches: Sequence[str] = ()  # categories of the taxonomy to use, with all below; none for all
    multi: bool | None = None  # whether an item may have several values; None: as the labels show

    def __post_init__(self) -> None:
        if self.labels is not None and self.column is not None:
            raise TagError("give labels or --column, not both")
        if self.column is None and (self.separator or self.path_separator):
            raise TagError("--separator and --path-separator belong to --column; give the column, too")
        if self.branches and self.taxonomy is None:
            raise TagError("--branch names categories of a taxonomy; give the file with --taxonomy, too")


@dataclass(frozen=True)
class TagTrainReport(Record):
    """Result of a training."""

    trained: tuple[TrainedTag, ...]  # as stored
    problems: tuple[str, ...]  # labels that were left out, with reasons
    scored: TagScoreReport | None = None  # None if no new version is in use

    def to_dict(self) -> dict[str, Any]:
        """Return the versions, the problems and the scoring as plain values."""
        return {
            "trained": [one.to_dict() for one in self.trained],
            "problems": list(self.problems),
            "scored": None if self.scored is None else self.scored.to_dict(),
        }


@dataclass(frozen=True)
class _Job:
    """Labels of one tag, and where they came from."""

    labels: TagLabels
    source: TagSource
    taxonomy: Taxonomy | None
    stores_labels: bool  # whether the labels are new, and go into the table of labels


def train_tags(
    store: Store,
    given: TagInput,
    settings: TagTrainSettings,
    *,
    encoder: Callable[[], Encoder],
    prompts: bool = True,
    skip_bad_labels: bool = False,
    use: bool | None = None,
    score: bool = True,
    wait_s: float = TRAIN_WAIT_S,
    on_progress: Callable[[str], None] = lambda line: None,
) -> TagTrainReport:
    """Train tags, store the versions, put them into use if they are not worse, and tag all items with them.

    Corrections of people count as labels, whatever other labels say. Labels from a file are kept in the database, so
    that a later training without labels uses them again.

    Args:
        store: the database.
        given: where labels come from. Without labels and column: the source of the tag's newest version; with a
            taxonomy and without any label, prompts alone.
        settings: method, precision and templates.
        encoder: loads the encoder, for the prompts.
        prompts: whether prompts of the values start the methods.
        skip_bad_labels: leave out unusable labels, instead of refusing all.
        use: put new versions into use, or not, whatever the comparison says; None to follow it.
        score: tag all items if a new version is in use.
        wait_s: maximum wait for another writer, in seconds.
        on_progress: called with the name of each step.

    Raises:
        TagError: labels, column or taxonomy cannot be read, some labels cannot be used, or there is nothing to train
            from.
        EncoderError, EncoderMismatchError: the encoder cannot be loaded.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    if not store.items.count_rows():
        raise TagError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
    jobs = _jobs(store, given)
    if not skip_bad_labels:
        for job in jobs:
            job.labels.require_clean()
    means = part_means(store)
    champions = _champions(store)
    groups = _groups(store, on_progress) if any(job.labels.values for job in jobs) else {}
    trained: list[TrainedTag] = []
    for job in jobs:
        if not job.labels.values:
            trained.append(
                _by_prompts(store, job, settings, means, encoder, champions.get(job.labels.tag), on_progress)
            )
            continue
        on_progress(f"{job.labels.tag}: reading the vectors of {len(job.labels.values):,} labelled items")
        items = read_item_vectors(store, limit_labels(job.labels.values), means)

        def of_values(tree: TagTree) -> Vectors | None:
            return make_prompts(store, tree, settings.templates, encoder, on_progress) if prompts else None

        trained.append(
            train_tag(
                make_shots(job.labels, items, groups, of_values),
                settings=settings,
                means=means,
                fingerprint=store.spec.fingerprint,
                source=job.source,
                champion=champions.get(job.labels.tag),
                text_tower=load_text_tower(encoder()) if settings.method == "coop" else None,
                on_progress=on_progress,
            )
        )
    chosen = [one.comparison.use if use is None else use for one in trained]
    with store.writing(wait_s):
        stored = TagShelf(store).add([one.model for one in trained], chosen)
        for job in jobs:
            if job.stores_labels:
                write_labels(store, job.labels.tag, job.labels.values)
        in_use = [one.tag for one in stored if one.in_use]
        scored = None
        if score and in_use:
            on_progress(f"tagging {store.items.count_rows():,} items")
            scored = score_tags(store, tags=in_use, everything=True)
    problems = tuple(problem for job in jobs for problem in job.labels.problems)
    return TagTrainReport(
        tuple(replace(one, model=model) for one, model in zip(trained, stored, strict=True)), problems, scored
    )


def _jobs(store: Store, given: TagInput) -> list[_Job]:
    taxonomy = None if given.taxonomy is None else read_taxonomy(given.taxonomy)
    if taxonomy is not None and given.branches:
        taxonomy = taxonomy.branches(given.branches)
    if given.labels is not None:
        rows, problems = read_label_rows(given.labels, given.tag)
        tags = sorted({row.tag for row in rows}) or [given.tag or "category"]
        jobs = []
        for tag in tags:
            own = [row for row in rows if row.tag == tag]
            labels = label_tag(tag, own, store, taxonomy=taxonomy, multi=given.multi, problems=problems)
            jobs.append(_Job(labels, TagSource("labels"), taxonomy, stores_labels=True))
            problems = []  # they are told once
        if not any(job.labels.values for job in jobs):
            jobs[0].labels.require_clean()
            raise TagError("there are no labels to train from; give rows of item_id and label")
        return [_corrected(store, job) for job in jobs if job.labels.values]
    source = TagSource("column", given.column, given.separator, given.path_separator)
    tag = given.tag or (tag_name_of_column(given.column) if given.column else "category")
    require_tag_name(tag)
    if given.column is None:
        earlier = TagShelf(store).versions(tag)
        source = earlier[-1].source if earlier else TagSource("labels")
        if given.multi is None and earlier:
            given = replace(given, multi=earlier[-1].multi)
    if source.column is not None:
        labels = read_column_labels(
            *(store, tag, source.column),
            separator=source.separator,
            path_separator=source.path_separator,
            taxonomy=taxonomy,
            multi=given.multi,
        )
        return [_corrected(store, _Job(labels, source, taxonomy, stores_labels=False))]
    stored = {one.item_id: one.values for one in read_given_tags(store, tag).values() if one.kind == "label"}
    multi = any(len(values) > 1 for values in stored.values()) if given.multi is None else given.multi
    job = _corrected(store, _Job(TagLabels(tag, stored, multi), TagSource("labels"), taxonomy, stores_labels=False))
    if job.labels.values or taxonomy is not None:
        return [job if job.labels.values else replace(job, source=TagSource("none"))]
    raise TagError(
        f"there are no labels of the tag {tag!r}; give a file of labels (firstsight tags train LABELS.csv), a column "
        "(--column category), or a taxonomy for a start without labels (--taxonomy FILE)"
    )


def _corrected(store: Store, job: _Job) -> _Job:
    """Put people's corrections in the place of other labels."""
    corrections = {
        one.item_id: one.values for one in read_given_tags(store, job.labels.tag).values() if one.kind == "correction"
    }
    known = store.digests(sorted(corrections))
    values = dict(job.labels.values) | {item_id: one for item_id, one in corrections.items() if item_id in known}
    if not job.labels.multi:
        values = {item_id: one[:1] for item_id, one in values.items() if one}
    return replace(job, labels=replace(job.labels, values=values))


def _champions(store: Store) -> dict[str, TagModel]:
    """Versions in use that were fitted to vectors of the encoder in force."""
    return {tag: one for tag, one in TagShelf(store).in_use().items() if one.fingerprint == store.spec.fingerprint}


def _groups(store: Store, on_progress: Callable[[str], None]) -> Mapping[str, str]:
    """Item id -> group id of near-duplicates and of the variants of a product, which are joined."""
    on_progress("searching for near-duplicates, to keep them on one side of each split")
    groups = duplicate_group_ids(store)
    if GROUP_COLUMN not in store.items.schema.names:
        return groups
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parents.setdefault(name, name)) != name:
            parents[name] = name = parents[above]
        return name

    search = store.items.search().select(["item_id", GROUP_COLUMN]).limit(None)
    for batch in search.to_batches(10_000):
        for row in batch.to_pylist():
            item_id, product = str(row["item_id"]), row[GROUP_COLUMN]
            if product is not None:
                parents[root(f"product:{product}")] = root(groups.get(item_id, item_id))
                parents[root(item_id)] = root(groups.get(item_id, item_id))
    return groups | {item_id: root(groups.get(item_id, item_id)) for item_id in [*parents] if item_id in parents}


def _by_prompts(
    store: Store,
    job: _Job,
    settings: TagTrainSettings,
    means: Vectors,
    encoder: Callable[[], Encoder],
    champion: TagModel | None,
    on_progress: Callable[[str], None],
) -> TrainedTag:
    """Make a version from the prompts of a taxonomy alone."""
    assert job.taxonomy is not None
    tree = TagTree.of(job.taxonomy.names, levels=True)
    prompts = make_prompts(store, tree, settings.templates, encoder, on_progress)
    nan = float("nan")
    reason = (
        "in use: there are no labels to measure; the values are the prompts' alone and are not calibrated"
        if champion is None
        else f"not in use: there are no labels to compare it with version {champion.version}"
    )
    comparison = TagComparison("nothing", nan, nan, nan, nan, nan, 0.95, 0, champion is None, reason)
    model = TagModel(
        tag=job.labels.tag,
        fingerprint=store.spec.fingerprint,
        trained_at=datetime.now(UTC),
        tree=tree,
        multi=False,
        cuts=(TagCut(PROMPT_CUT, nan, nan, reached=False, items=0),),
        source=job.source,
        templates=settings.templates,
        figures={"items": 0, "methods": ["prompts"], "calibrated": False, "reason": reason},
        means=means,
        scorer=PromptScorer(tree, np.asarray(prompts, dtype=np.float32)),
    )
    return TrainedTag(model, comparison)
