"""Cold-start models kept in the database: versions of a blend as arrays and JSON, of which one is in use.

The factors of items that had events are kept, and the words that texts were read by. Everything else of content is made
anew from the items when a model is loaded, so that items indexed after the fit have scores as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.errors import EncoderMismatchError, StoreError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.blend import Blend, BlendSettings
from firstsight.recommend.models.blend_selection import check_enough_events, choose_settings
from firstsight.recommend.models.cold_factors import add_cold_factors
from firstsight.recommend.models.collaborative import Factors, fit_factors, gram_of
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.storage.store import Store
from firstsight.storage.tables import TIME

TABLE = "cold_start_models"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("fitted_at", TIME, nullable=False),
    pa.field("in_use", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder whose vectors are its content
    pa.field("settings", pa.string(), nullable=False),  # JSON: BlendSettings
    pa.field("figures", pa.string(), nullable=False),  # JSON: what it was fitted on, and held-out recall
    pa.field("item_ids", pa.list_(pa.string()), nullable=False),  # that had events
    pa.field("factors", pa.large_binary(), nullable=False),  # (items, f) little-endian float32
    pa.field("crowd", pa.large_binary(), nullable=False),  # (f,) float64
    pa.field("words", pa.list_(pa.string()), nullable=False),
    pa.field("idf", pa.large_binary(), nullable=False),  # (words,) float64
    pa.field("components", pa.large_binary(), nullable=False),  # (d, words) float32
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
class ColdStartVersion:
    """One fitted model, as a list shows it.

    Attributes:
        figures: users, items and events it was fitted on; held-out recall@20 of cold items by the blend, by content
            alone, by collaborative factors alone and by chance.
    """

    version: int
    fitted_at: datetime
    in_use: bool
    settings: BlendSettings
    figures: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {
            "version": self.version,
            "fitted_at": self.fitted_at.isoformat(),
            "in_use": self.in_use,
            **asdict(self.settings),
            **self.figures,
        }


class ColdStartModel:
    """A fitted blend over all items of a space; a Recommender whose events are those it was fitted on."""

    name = "cold start"

    def __init__(self, version: ColdStartVersion, blend: Blend) -> None:
        self.version = version
        self._blend = blend

    @classmethod
    def load(cls, store: Store, space: ItemSpace, version: int | None = None) -> ColdStartModel | None:
        """The model in use, ready for every item of the space; None where none is in use.

        Reads all titles and texts: about a second for 10,000 items. Keep it until the items or the models change.

        Args:
            version: another than that in use.

        Raises:
            QueryError: there is no such version.
            EncoderMismatchError: it was fitted on another encoder's vectors.
            StoreError: it is damaged.
        """
        shelf = ModelShelf(store, SHELF_SPEC)
        rows = shelf.in_use() if version is None else [shelf.get(version)]
        if not rows:
            return None
        row = rows[0]
        if row["fingerprint"] != store.spec.fingerprint:
            raise EncoderMismatchError(
                f"cold-start model {row['version']} was fitted on vectors of another encoder "
                f"({row['fingerprint'][:12]}); fit it again: firstsight cold-start fit"
            )
        light = _parse_version(row)
        try:
            wide = len(row["crowd"]) // 8
            kept = np.frombuffer(row["factors"], "<f4").reshape(len(row["item_ids"]), wide)
            words = WordSpace(
                tuple(row["words"]),
                np.frombuffer(row["idf"], "<f8").reshape(len(row["words"])),
                np.frombuffer(row["components"], "<f4").reshape(-1, max(1, len(row["words"]))),
            )
            crowd = np.frombuffer(row["crowd"], "<f8")
            if not (np.isfinite(kept).all() and np.isfinite(crowd).all() and np.isfinite(words.components).all()):
                raise ValueError("a number that is none")
        except ValueError as error:
            raise StoreError(
                f"cold-start model {row['version']} of {store.uri} is damaged ({error}); fit it again: "
                "firstsight cold-start fit"
            ) from None
        content = content_vectors(space, words.transform(read_texts(store, space)))
        places = space.places(row["item_ids"])
        items = np.zeros((len(space), wide), dtype=np.float32)
        items[places[places >= 0]] = kept[places >= 0]
        warm = np.zeros(len(space), dtype=bool)
        warm[places[places >= 0]] = True
        settings = light.settings
        fitted = Factors(items, gram_of(kept), crowd, settings.alpha)
        whole = add_cold_factors(fitted, content, warm, settings.mapping, ridge=settings.ridge)
        return cls(light, Blend(content, settings, factors=whole))

    @property
    def blend(self) -> Blend:
        """Its parts: `settings`, and `factors` of every item."""
        return self._blend

    def fit(self, train: Interactions) -> None:
        """Learn the same blend from other events over the same space; settings stay."""
        self._blend.fit(train)

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) scores of users known or not; see `Blend.scores`."""
        return self._blend.scores(users, candidates)

    def collaborative(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) of the factors alone: milliseconds for 100,000 candidates, to rank before blending."""
        return self._blend.collaborative(users, candidates)


def fit_cold_start_model(
    store: Store,
    space: ItemSpace,
    train: Interactions,
    *,
    use: bool = True,
    wait_s: float = 0.0,
    on_progress: Callable[[str], None] = lambda step: None,
) -> ColdStartVersion:
    """Choose a blend by cold items held out of the events, fit it to all of them, and keep it as the next version.

    Args:
        train: the events, on the items of the space.
        use: put it in use, in the place of another.
        wait_s: seconds to wait, at the end, for another process that is writing.
        on_progress: told each step.

    Raises:
        QueryError: too few events.
        OptionalDependencyError: implicit is not installed.
        DatabaseBusyError, StoreError: it could not be kept.
    """
    check_enough_events(train)
    on_progress("reading titles and texts")
    texts = read_texts(store, space)
    words = WordSpace.fit(texts)
    content = content_vectors(space, words.transform(texts))
    on_progress(f"choosing a blend on held-out items of {len(train):,} events")
    choice = choose_settings(train, content)
    on_progress("fitting it to all of them")
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
    made = {
        "fitted_at": datetime.now(UTC),
        "fingerprint": store.spec.fingerprint,
        "settings": json.dumps(asdict(choice.settings)),
        "figures": figures,
        "item_ids": space.item_ids[warm].tolist(),
        "factors": factors.items[warm].astype("<f4").tobytes(),
        "crowd": factors.crowd.astype("<f8").tobytes(),
        "words": list(words.words),
        "idf": words.idf.astype("<f8").tobytes(),
        "components": words.components.astype("<f4").tobytes(),
    }
    shelf = ModelShelf(store, SHELF_SPEC)
    with store.writing(wait_s):
        row = shelf.add([made])[0]
        if use:
            shelf.use([row["version"]])
    return _parse_version(row | {"in_use": use})


def list_cold_start_models(store: Store) -> list[ColdStartVersion]:
    """Every version, oldest first."""
    return [_parse_version(row) for row in ModelShelf(store, SHELF_SPEC).versions()]


def use_cold_start_model(store: Store, version: int | None, *, wait_s: float = 0.0) -> None:
    """Put a version in use, in the place of another; None for none of them.

    Raises:
        QueryError: there is no such version.
        DatabaseBusyError, StoreError: it could not be written.
    """
    shelf = ModelShelf(store, SHELF_SPEC)
    with store.writing(wait_s):
        if version is None:
            shelf.drop()
        else:
            shelf.use([version])


def _parse_version(row: dict[str, Any]) -> ColdStartVersion:
    try:
        settings = BlendSettings(**json.loads(row["settings"]))
    except (ValueError, TypeError):  # not JSON, or settings that this version does not have
        raise StoreError(
            f"the settings of cold-start model {row['version']} cannot be read; a newer firstsight wrote them: use "
            "it, or fit again"
        ) from None
    return ColdStartVersion(row["version"], row["fitted_at"], row["in_use"], settings, row["figures"])
