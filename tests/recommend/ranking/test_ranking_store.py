"""Fitted rankings in the database: fitting, storing, loading, and damaged versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pytest

from firstsight.encoders.base import EncoderSpec
from firstsight.errors import EncoderMismatchError, QueryError, StoreError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models import blend_selection
from firstsight.recommend.ranking.ranking_store import (
    TABLE,
    RankingVersion,
    fit_ranking,
    list_rankings,
    load_ranking,
    ranking_state,
    use_ranking,
)
from firstsight.storage.store import Store
from tests.recommend.conftest import write_items
from tests.recommend.synthetic_events import clustered_space, make_preference_log

SPACE = clustered_space(120)
NAMES = ("anchor", "bolt", "chisel", "drill", "engine", "file")
TITLES = {f"i{n:04d}": f"{NAMES[n % 6]} number{n}" for n in range(130)}
LOG = make_preference_log(SPACE, 90, events=8)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, RankingVersion]:
    folder = tmp_path_factory.mktemp("ranking")
    store = Store.create(folder / "db", EncoderSpec(name="synthetic", dim=16, image_size=1, fingerprint="f"))
    write_items(store, SPACE, TITLES)
    steps: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blend_selection, "MAPPINGS", (("ridge", 1.0),))
        patch.setattr(blend_selection, "SPLITS", 1)
        made = fit_ranking(store, ItemSpace.load(store), LOG, use=True, on_progress=steps.append)
    assert len(steps) == 5
    return store, made


def test_a_version_says_what_held_out_events_gained(fitted: tuple[Store, RankingVersion]) -> None:
    store, made = fitted
    assert (made.version, made.in_use) == (1, True)
    figures = made.figures
    assert figures["hr"] >= figures["ndcg"] > 0
    assert figures["low"] <= figures["gain"] <= figures["high"]
    assert figures["gain"] == pytest.approx(figures["ndcg"] - figures["ndcg_before"])
    assert {"greatest cosine", "neighbours", "EASE", "popularity", "cold prior"} <= set(made.terms)
    assert list_rankings(store) == [made]
    assert made.to_dict()["weights"]["warm"]["popularity"].keys() == {"base", "by_share"}


def test_a_loaded_version_scores_items_that_were_indexed_after_the_fit(fitted: tuple[Store, RankingVersion]) -> None:
    store, _ = fitted
    space = clustered_space(130)
    write_items(store, space, TITLES)
    loaded = load_ranking(store, space)
    assert loaded is not None
    users, places = LOG.user_ids[LOG.users], space.places(SPACE.item_ids[LOG.items].tolist())
    ranking = loaded.ranking(Interactions.of(space, users, places, LOG.times))
    score = ranking.score(History.of(np.array([2, 8, 14, 20])))  # all of cluster 2
    new = np.arange(120, 130)
    assert np.isfinite(score).all()
    assert int(new[np.argmax(score[new])]) % 6 == 2
    one = History.of(np.array([2]))
    assert np.allclose(ranking.contributions(one).sum(axis=0), ranking.score(one))


def test_only_one_version_is_in_use_and_none_is_possible(fitted: tuple[Store, RankingVersion]) -> None:
    store, _ = fitted
    before = ranking_state(store)
    use_ranking(store, None)
    assert load_ranking(store, SPACE) is None
    assert ranking_state(store) > before
    assert load_ranking(store, SPACE, 1) is not None
    use_ranking(store, 1)
    assert [version.in_use for version in list_rankings(store)] == [True]
    with pytest.raises(QueryError, match=r"there is no ranking 7 in .*; its versions: 1"):
        use_ranking(store, 7)


def test_too_few_events_are_refused(fitted: tuple[Store, RankingVersion]) -> None:
    store, _ = fitted
    with pytest.raises(QueryError, match="the minimum is 20 of each"):
        fit_ranking(store, SPACE, LOG.where(LOG.users < 5))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("weights", "'{}'", "ranking 1 cannot be read .*firstsight ranking fit"),
        ("weights", "'[[['", "ranking 1 cannot be read"),
        ("settings", "'{\"unknown\": 1}'", "the settings of ranking 1 cannot be read"),
        ("ease_weights", "X'0000C07F'", "ranking 1 of .* is damaged"),
        ("figures", "'{'", "the figures of ranking 1 of .* are damaged"),
    ],
)
def test_a_damaged_version_is_refused_in_one_sentence(
    fitted: tuple[Store, RankingVersion], tmp_path: Path, column: str, value: str, message: str
) -> None:
    store, _ = fitted
    assert store.folder is not None
    table = lancedb.connect(store.uri).open_table(TABLE)
    state = table.version
    table.update(values_sql={column: value})
    try:
        with pytest.raises(StoreError, match=message):
            load_ranking(store, SPACE, 1)
    finally:
        table.checkout(state)
        table.restore()


def test_vectors_of_another_encoder_are_refused(fitted: tuple[Store, RankingVersion]) -> None:
    store, _ = fitted
    other = Store.open(store.uri)
    object.__setattr__(other, "spec", replace(other.spec, fingerprint="another"))
    with pytest.raises(EncoderMismatchError, match="ranking 1 was fitted on vectors of another encoder"):
        load_ranking(other, SPACE, 1)
