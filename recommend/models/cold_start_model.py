"""Cold-start models in the database: versions of a blend as arrays and JSON, one of them in use.

A version stores the factors of items that had events, and the words of their texts; a table of its own has the content
map of a tuned version. All other content is computed from the items when a model is loaded, so that items indexed after
the fit have scores as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderMismatchError, StoreError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.blend_selection import check_enough_events, choose_settings
from firstsight.recommend.models.cold_factors import add_cold_factors
from firstsight.recommend.models.collaborative import fit_factors
from firstsight.recommend.models.content_map import read_content_map, write_content_map
from firstsight.recommend.models.content_tuning import choose_tuned_content
from firstsight.recommend.models.stored_factors import FIELDS, pack_factors, unpack_factors
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "cold_start_models"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("in_use", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder that made the content vectors
    pa.field("settings", pa.string(), nullable=False),  # JSON: BlendSettings
    pa.field("figures", pa.string(), nullable=False),  # JSON: sizes of the training data, and held-out recall
    *FIELDS,
]
SCHEMA = pa.schema(_FIELDS)
SHELF_SPEC: ShelfSpec[dict[str, Any]] = ShelfSpec(
    TABLE,
    SCHEMA,
    flag="in_use",
    noun="cold-start model",
    fit_command="firstsight cold-start fit",
    to_row=dict,
    from_row=dict,  # a model needs the items as well: `ColdStartModel.load`
    listed=["version", "fitted_at", "in_use", "fingerprint", "settings", "figures"],
)


@dataclass(frozen=True)
class ColdStartVersion(Record):
    """One fitted model, as a list shows it.

    Attributes:
        version: 1 and up.
        fitted_at: UTC.
        in_use: whether slates are scored with it; at most one version is in use.
        settings: of the blend.
        figures: users, items and events of the training data; held-out recall@20 of cold items by the blend, by
            content alone, by collaborative factors alone and by chance. If a content map was learned: `tuned`, 1 if it
            is used, else 0; `tune_gain`, `tune_low` and `tune_high`, the gain in the blend's recall@20 that decided,
            with its 95 % interval; `tune_content_gain`, `_low` and `_high`, the same for content alone.
    """

    version: int
    fitted_at: datetime
    in_use: bool
    settings: BlendSettings
    figures: Mapping[str, float]

    @property
    def tuned(self) -> bool:
        """Whether content is mapped by what people took together."""
        return bool(self.figures.get("tuned"))

    def to_dict(self) -> dict[str, Any]:
        """The version as JSON fields."""
        return {
            "version": self.version,
            "fitted_at": self.fitted_at.isoformat(),
            "in_use": self.in_use,
            **self.settings.to_dict(),
            **self.figures,
        }


class ColdStartModel:
    """A fitted blend over all items of a space; a `Recommender` that was fitted on stored events."""

    name = "cold start"

    def __init__(self, version: ColdStartVersion, blend: Blend, content: Vectors) -> None:
        self.version = version
        self._blend = blend
        self._content = content

    @classmethod
    def load(cls, store: Store, space: ItemSpace, version: int | None = None) -> ColdStartModel | None:
        """Load the model in use for every item of the space; None if no model is in use.

        Reads all titles and texts: about a second for 10,000 items. Keep the model until the items or models change.

        Args:
            store: the database.
            space: its items.
            version: a version other than the one in use.

        Raises:
            QueryError: there is no such version.
            EncoderMismatchError: the model was fitted on vectors of another encoder.
            StoreError: the stored model is damaged.
        """
        row = ModelShelf(store, SHELF_SPEC).chosen(version)
        if row is None:
            return None
        if row["fingerprint"] != store.spec.fingerprint:
            raise EncoderMismatchError(
                f"cold-start model {row['version']} was fitted on vectors of another encoder "
                f"({row['fingerprint'][:12]}); fit it again: firstsight cold-start fit"
            )
        described = _parse_version(row)
        try:
            fitted, places, words = unpack_factors(row, space, described.settings.alpha)
            dim = store.spec.dim + len(words.components)
            content_map = read_content_map(store, described.version, dim) if described.tuned else None
        except ValueError as error:
            raise StoreError(
                f"cold-start model {row['version']} of {store.uri} is damaged ({error}); fit it again: "
                "firstsight cold-start fit"
            ) from None
        content = content_vectors(space, words.transform(read_texts(store, space)))
        if content_map is not None:
            content = content_map.apply(content)
        warm = np.zeros(len(space), dtype=bool)
        warm[places[places >= 0]] = True
        settings = described.settings
        factors = add_cold_factors(fitted, content, warm, settings.mapping, ridge=settings.ridge)
        return cls(described, Blend(content, settings, factors=factors), content)

    @property
    def content(self) -> Vectors:
        """(n, d) float32 unit rows that the model compares: vectors and words, mapped if the model was tuned."""
        return self._content

    @property
    def blend(self) -> Blend:
        """The blend with its `settings` and the `factors` of every item."""
        return self._blend

    def fit(self, train: Interactions) -> None:
        """Fit the same blend to other events over the same space; the settings stay."""
        self._blend.fit(train)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores of known or unknown users; see `Blend.scores`."""
        return self._blend.scores(users, candidates)

    def collaborative(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores of the factors alone: milliseconds for 100,000 candidates, for a first ranking."""
        return self._blend.collaborative(users, candidates)


def fit_cold_start_model(
    store: Store,
    space: ItemSpace,
    train: Interactions,
    *,
    tune: bool = False,
    use: bool = True,
    wait_s: float = 0.0,
    on_progress: Callable[[str], None] = lambda step: None,
) -> ColdStartVersion:
    """Choose a blend on held-out cold items, fit it to all events, and store it as the next version.

    Args:
        store: the database.
        space: its items.
        train: the events on them.
        tune: learn a content map, too, and use it if held-out items gain; see `choose_tuned_content`.
        use: put the new version into use, instead of the present one.
        wait_s: maximum wait at the end for another process that is writing, in seconds.
        on_progress: called with the name of each step.

    Raises:
        QueryError: there are too few events.
        OptionalDependencyError: implicit is not installed.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    check_enough_events(train)
    on_progress("reading titles and texts")
    texts = read_texts(store, space)
    words = WordSpace.fit(texts)
    content = content_vectors(space, words.transform(texts))
    on_progress(f"choosing settings on held-out items of {len(train):,} events")
    tuned = choose_tuned_content(train, content, on_progress=on_progress) if tune else None
    choice = choose_settings(train, content) if tuned is None else tuned.choice
    if tuned is not None:
        on_progress(tuned.sentence())
    content_map = None if tuned is None else tuned.content_map
    on_progress("fitting the blend to all events")
    factors = fit_factors(train, alpha=choice.settings.alpha)
    warm = np.flatnonzero(train.popularity() > 0)
    figures = {
        "users": len(np.unique(train.users)),
        "items": len(warm),
        "events": len(train),
        "recall_blend": choice.blend,
        "recall_content": choice.content,
        "recall_collaborative": choice.collaborative,
        "recall_chance": choice.chance,
    }
    if tuned is not None:
        figures |= {"tuned": int(content_map is not None), **tuned.figures()}
    row = {
        "fitted_at": datetime.now(UTC),
        "fingerprint": store.spec.fingerprint,
        "settings": json.dumps(asdict(choice.settings)),
        "figures": figures,
        **pack_factors(space, warm, factors, words),
    }
    shelf = ModelShelf(store, SHELF_SPEC)
    with store.writing(wait_s):
        stored = shelf.add([row])[0]
        if content_map is not None:  # before the version is in use
            write_content_map(store, stored["version"], content_map)
        if use:
            shelf.use([stored["version"]])
    return _parse_version(stored | {"in_use": use})


def load_tuned_content(store: Store, space: ItemSpace) -> Vectors | None:
    """Load the content of a space under the model in use, if that model is tuned; else None.

    Raises:
        EncoderMismatchError: the model was fitted on vectors of another encoder.
        StoreError: the stored model is damaged.
    """
    if not any(version.in_use and version.tuned for version in list_cold_start_models(store)):
        return None
    model = ColdStartModel.load(store, space)
    return None if model is None else model.content


def list_cold_start_models(store: Store) -> list[ColdStartVersion]:
    """List all versions, oldest first."""
    return [_parse_version(row) for row in ModelShelf(store, SHELF_SPEC).versions()]


def use_cold_start_model(store: Store, version: int | None, *, wait_s: float = 0.0) -> None:
    """Put a version into use instead of the present one; None for no version.

    Raises:
        QueryError: there is no such version.
        DatabaseBusyError: another process is still writing after `wait_s`.
        StoreError: the database cannot be written.
    """
    with store.writing(wait_s):
        ModelShelf(store, SHELF_SPEC).switch(version)


def _parse_version(row: dict[str, Any]) -> ColdStartVersion:
    try:
        settings = BlendSettings(**json.loads(row["settings"]))
    except (ValueError, TypeError):  # not JSON, or settings that this firstsight does not know
        raise StoreError(
            f"the settings of cold-start model {row['version']} cannot be read: a newer firstsight wrote them; update "
            "firstsight, or fit again: firstsight cold-start fit"
        ) from None
    return ColdStartVersion(row["version"], row["fitted_at"], row["in_use"], settings, row["figures"])
