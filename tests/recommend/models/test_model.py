"""Cold-start models in the database: fitting, storing, loading, and scores of items that come later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lancedb
import numpy as np
import pytest

from firstsight.errors import EncoderMismatchError, QueryError, StoreError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models import blend_selection
from firstsight.recommend.models.cold_start_model import (
    TABLE,
    ColdStartModel,
    fit_cold_start_model,
    list_cold_start_models,
    use_cold_start_model,
)
from firstsight.storage.store import Store
from tests.recommend.conftest import MakeStore, write_items
from tests.recommend.synthetic_events import clustered_space, make_preference_log

WHOLE = clustered_space(130)
OLD = WHOLE.subset(np.arange(120))
NAMES = ("anchor", "bolt", "chisel", "drill", "engine", "file")
TITLES = {f"i{n:04d}": f"{NAMES[n % 6]} number{n}" for n in range(130)}


@pytest.fixture(autouse=True)
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend_selection, "MAPPINGS", (("knn", 1.0), ("ridge", 1.0)))
    monkeypatch.setattr(blend_selection, "SPLITS", 1)


def fitted(make_store: MakeStore) -> tuple[Store, ItemSpace, Interactions]:
    store = make_store(OLD, TITLES)
    space = ItemSpace.load(store)
    log = make_preference_log(space, 90)
    steps: list[str] = []
    made = fit_cold_start_model(store, space, log, on_progress=steps.append)
    assert (made.version, made.in_use) == (1, True)
    assert made.figures["recall_blend"] >= made.figures["recall_content"]
    assert len(steps) == 3
    return store, space, log


def test_a_loaded_model_scores_as_often_as_it_is_loaded_the_same(make_store: MakeStore) -> None:
    store, space, log = fitted(make_store)
    users, candidates = log.histories()[:5], np.arange(len(space))
    first, second = (ColdStartModel.load(Store.open(store.uri), space) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.scores(users, candidates).tolist() == second.scores(users, candidates).tolist()
    assert first.collaborative(users, candidates).shape == (5, 120)


def test_items_indexed_after_the_fit_are_ranked_for_users_it_never_saw(make_store: MakeStore) -> None:
    store, _, _ = fitted(make_store)
    write_items(store, WHOLE, TITLES)
    space = ItemSpace.load(store)
    model = ColdStartModel.load(store, space)
    assert model is not None
    new = np.arange(120, 130)
    stranger = History.of(np.array([2, 8, 14, 20]))  # all of cluster 2
    ranked = new[np.argsort(-model.scores([stranger], new)[0])]
    assert set(ranked[:2] % 6) == {2}
    store.delete_items(["i0002"])
    fewer = ItemSpace.load(store)
    again = ColdStartModel.load(store, fewer)
    assert again is not None
    assert np.isfinite(again.scores([History.of(np.array([7]))], np.arange(len(fewer)))).all()


def test_one_version_at_most_is_in_use(make_store: MakeStore) -> None:
    store, space, log = fitted(make_store)
    assert fit_cold_start_model(store, space, log, use=False).in_use is False
    assert [one.in_use for one in list_cold_start_models(store)] == [True, False]
    use_cold_start_model(store, 2)
    assert [one.in_use for one in list_cold_start_models(store)] == [False, True]
    model = ColdStartModel.load(store, space)
    assert model is not None
    assert model.version.version == 2
    use_cold_start_model(store, None)
    assert ColdStartModel.load(store, space) is None
    assert ColdStartModel.load(store, space, version=1) is not None
    with pytest.raises(QueryError, match=r"model 7 in .*: 1, 2"):
        use_cold_start_model(store, 7)
    with pytest.raises(QueryError, match="model 7"):
        ColdStartModel.load(store, space, version=7)


def test_without_a_fit_there_is_none(make_store: MakeStore) -> None:
    store = make_store(OLD)
    assert ColdStartModel.load(store, OLD) is None
    assert list_cold_start_models(store) == []
    with pytest.raises(QueryError, match="cold-start fit"):
        use_cold_start_model(store, 1)


def test_a_model_of_another_encoder_or_a_damaged_one_is_refused(make_store: MakeStore) -> None:
    store, space, _ = fitted(make_store)
    table = lancedb.connect(store.uri).open_table(TABLE)
    table.update(values={"factors": b"1234"})
    with pytest.raises(StoreError, match="damaged"):
        ColdStartModel.load(store, space)
    table.update(values={"fingerprint": "another"})
    with pytest.raises(EncoderMismatchError, match="another"):
        ColdStartModel.load(store, space)
    table.update(values={"settings": '{"mood": 1}'})
    with pytest.raises(StoreError, match="newer firstsight"):
        list_cold_start_models(store)


@pytest.mark.slow
def test_serving_loads_neither_torch_nor_implicit(make_store: MakeStore) -> None:
    store, _, _ = fitted(make_store)
    code = (
        "import sys, numpy as np\n"
        "from firstsight.storage.store import Store\n"
        "from firstsight.recommend.events.event_log import Events\n"
        "from firstsight.recommend.events.interactions import History\n"
        "from firstsight.recommend.items import ItemSpace\n"
        "from firstsight.recommend.models.cold_start_model import ColdStartModel\n"
        "store = Store.open(sys.argv[1])\n"
        "space = ItemSpace.load(store)\n"
        "model = ColdStartModel.load(store, space)\n"
        "print(model.scores([History.of(np.array([1, 2]))], np.arange(9)).shape)\n"
        "print({'torch', 'implicit', 'transformers', 'openvino'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store.uri], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 9)", "set()"]


def test_a_model_fits_the_real_encoder_s_index(sample_db: Path) -> None:
    space = ItemSpace.load(Store.open(sample_db))
    log = make_preference_log(space, 60, clusters=2)
    from firstsight.recommend.models.blend import Blend
    from firstsight.recommend.models.text_vectors import load_content_vectors

    blend = Blend(load_content_vectors(Store.open(sample_db), space))
    blend.fit(log)
    assert np.isfinite(blend.scores(log.histories(), np.arange(len(space)))).all()
