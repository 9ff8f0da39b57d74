"""Fitted rankings in the database: versions of weights and of the models behind terms, one of them in use.

A version stores what takes long to fit: factors, words and item weights. Popularity, neighbours and the content of
items are computed from the events and items of now when it is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from firstsight.errors import EncoderMismatchError, StoreError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.ranking_fit import RankingFit, fit_to_log, read_content
from firstsight.recommend.ranking.ranking_weights import RankingWeights
from firstsight.recommend.ranking.stored_terms import MODEL_FIELDS, pack_models, unpack_models
from firstsight.recommend.ranking.terms import ScoreTerms, TermModels
from firstsight.recommend.ranking.weighted_terms import WeightedTerms
from firstsight.recommend.recommender import Recommender
from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "ranking_models"
FIT_COMMAND = "firstsight ranking fit"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("in_use", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder that made the content vectors
    pa.field("settings", pa.string(), nullable=False),  # JSON: BlendSettings
    pa.field("weights", pa.string(), nullable=False),  # JSON: RankingWeights
    pa.field("figures", pa.string(), nullable=False),  # JSON: sizes of the training data, and held-out figures
    *MODEL_FIELDS,
]
SCHEMA = pa.schema(_FIELDS)
SHELF_SPEC: ShelfSpec[dict[str, Any]] = ShelfSpec(
    TABLE,
    SCHEMA,
    flag="in_use",
    noun="ranking",
    fit_command=FIT_COMMAND,
    to_row=dict,
    from_row=dict,
    listed=["version", "fitted_at", "in_use", "fingerprint", "settings", "weights", "figures"],
)


@dataclass(frozen=True)
class RankingVersion(Record):
    """One fitted ranking, as a list shows it.

    Attributes:
        version: 1 and up.
        fitted_at: UTC.
        in_use: whether slates are ordered by it; at most one version is in use.
        weights: of the terms.
        figures: `events` and `samples` (held-out next events that decided); `hr` and `ndcg` of the fitted ranking at
            10, `hr_before` and `ndcg_before` of the ranking without weights; `gain`, `low` and `high`: difference of
            NDCG@10 with its 95 % interval; `seconds` of the fit.
    """

    version: int
    fitted_at: datetime
    in_use: bool
    weights: RankingWeights
    figures: Mapping[str, float]

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms with a weight."""
        return self.weights.names

    @property
    def improves(self) -> bool:
        """Whether held-out events found more: the whole interval of the gain is above 0."""
        return self.figures["low"] > 0

    def to_dict(self) -> dict[str, Any]:
        """The version as JSON fields."""
        return {
            "version": self.version,
            "fitted_at": self.fitted_at.isoformat(),
            "in_use": self.in_use,
            "improves": self.improves,
            **self.figures,
            "weights": json.loads(self.weights.to_json()),
        }


@dataclass(frozen=True)
class StoredRanking:
    """A version with its models, for the items of one space."""

    version: RankingVersion
    content: ItemContent
    models: TermModels

    def ranking(self, events: Interactions, sequence: Recommender | None = None) -> WeightedTerms:
        """The ranking by this version, with popularity and neighbours of some events.

        Args:
            events: on the items.
            sequence: the sequence model in use; its term counts if the version has a weight for it.
        """
        return WeightedTerms(ScoreTerms(self.content, events, self.models, sequence=sequence), self.version.weights)


def fit_ranking(
    store: Store,
    space: ItemSpace,
    events: Interactions,
    *,
    use: bool | None = None,
    fit_sequence: Callable[[Interactions], Recommender] | None = None,
    wait_s: float = 0.0,
    on_progress: Callable[[str], None] = lambda step: None,
) -> RankingVersion:
    """Fit weights on held-out next events and the models on all events, and store them as the next version.

    Args:
        store: the database.
        space: its items.
        events: the events on them.
        use: put the new version into use: None only if held-out events improve, True in any case, False never.
        fit_sequence: fits a model of the order of events to other events; None for no such term.
        wait_s: maximum wait at the end for another process that is writing, in seconds.
        on_progress: called with the name of each step.

    Raises:
        QueryError: there are too few events.
        OptionalDependencyError: implicit is not installed.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    fit: RankingFit = fit_to_log(store, space, events, fit_sequence=fit_sequence, on_progress=on_progress)
    row = {
        "fitted_at": datetime.now(UTC),
        "fingerprint": store.spec.fingerprint,
        "settings": json.dumps(asdict(fit.models.settings)),
        "weights": fit.weights.to_json(),
        "figures": fit.figures,
        **pack_models(space, fit.models, fit.words),
    }
    in_use = fit.figures["low"] > 0 if use is None else use
    shelf = ModelShelf(store, SHELF_SPEC)
    with store.writing(wait_s):
        stored = shelf.add([row])[0]
        if in_use:
            shelf.use([stored["version"]])
    return _parse_version(stored | {"in_use": in_use})


def list_rankings(store: Store) -> list[RankingVersion]:
    """List all versions, oldest first.

    Raises:
        StoreError: a version is damaged, or of a newer firstsight.
    """
    return [_parse_version(row) for row in ModelShelf(store, SHELF_SPEC).versions()]


def use_ranking(store: Store, version: int | None, *, wait_s: float = 0.0) -> None:
    """Put a version into use instead of the present one; None for the ranking without fitted weights.

    Raises:
        QueryError: there is no such version.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    with store.writing(wait_s):
        ModelShelf(store, SHELF_SPEC).switch(version)


def load_ranking(store: Store, space: ItemSpace, version: int | None = None) -> StoredRanking | None:
    """Load the version in use for the items of a space; None if no version is in use.

    Args:
        store: the database.
        space: its items.
        version: a version other than the one in use.

    Raises:
        QueryError: there is no such version.
        EncoderMismatchError: it was fitted on vectors of another encoder.
        StoreError: it is damaged, or of a newer firstsight.
    """
    row = ModelShelf(store, SHELF_SPEC).chosen(version)
    if row is None:
        return None
    if row["fingerprint"] != store.spec.fingerprint:
        raise EncoderMismatchError(
            f"ranking {row['version']} was fitted on vectors of another encoder ({row['fingerprint'][:12]}); fit it "
            f"again: {FIT_COMMAND}"
        )
    described = _parse_version(row)
    try:
        models, content = unpack_models(
            *(row, space, _parse_settings(row)), lambda words: read_content(store, space, words)
        )
    except ValueError as error:
        raise StoreError(
            f"ranking {row['version']} of {store.uri} is damaged ({error}); fit it again: {FIT_COMMAND}"
        ) from None
    return StoredRanking(described, content, models)


def ranking_state(store: Store) -> int:
    """Version number of the table of rankings, which every write raises; 0 if no ranking was ever stored."""
    return ModelShelf(store, SHELF_SPEC).state() or 0


def _parse_version(row: dict[str, Any]) -> RankingVersion:
    try:
        weights = RankingWeights.from_json(row["weights"])
        figures = {str(name): float(value) for name, value in row["figures"].items()}
        if "low" not in figures:
            raise ValueError("the figures have no interval")
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"ranking {row['version']} cannot be read ({error}): it is damaged, or a newer firstsight wrote it; update "
            f"firstsight, or fit again: {FIT_COMMAND}"
        ) from None
    return RankingVersion(row["version"], row["fitted_at"], row["in_use"], weights, figures)


def _parse_settings(row: dict[str, Any]) -> BlendSettings:
    try:
        return BlendSettings(**json.loads(row["settings"]))
    except (ValueError, TypeError):  # not JSON, or settings that this firstsight does not know
        raise StoreError(
            f"the settings of ranking {row['version']} cannot be read: a newer firstsight wrote them; update "
            f"firstsight, or fit again: {FIT_COMMAND}"
        ) from None
