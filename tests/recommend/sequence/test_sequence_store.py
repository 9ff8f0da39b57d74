"""Sequence models in a database: versions, updates, searches, projected items and exported users."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from lancedb.query import LanceVectorQueryBuilder

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderMismatchError, QueryError, StoreError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.searches import SearchLog
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.text_vectors import WordSpace
from firstsight.recommend.sequence.item_projection import project_items, project_new_items
from firstsight.recommend.sequence.query_vectors import QueryReader, read_query_vectors
from firstsight.recommend.sequence.sequence_fit import CHECKPOINT_FOLDER, fit_sequence_model, improves_rankings
from firstsight.recommend.sequence.sequence_store import (
    SHELF_SPEC,
    TABLE,
    list_sequence_models,
    load_sequence_model,
    use_sequence_model,
)
from firstsight.recommend.sequence.user_export import export_users
from firstsight.storage.store import Store
from tests.recommend.conftest import write_items
from tests.recommend.sequence.ordered_events import SMALL, hit_rate, next_items, ordered_log, random_space

SPACE = random_space()
LOG = ordered_log(SPACE, 120)
NEW = next_items(ordered_log(SPACE, 40, seed=1))
EVERY = np.arange(len(SPACE))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A database with one model, which is in use and projected."""
    made = make_store(tmp_path_factory.mktemp("sequence") / "db")
    lines: list[str] = []
    version = fit_sequence_model(made, SPACE, LOG, settings=SMALL, on_progress=lines.append)
    assert any("held-out HR@10" in line for line in lines)
    assert version.version == 1
    with made.writing():
        assert project_items(made).items == len(SPACE)
    return made


def make_store(folder: Path, space: ItemSpace = SPACE) -> Store:
    from firstsight.encoders.base import EncoderSpec

    spec = EncoderSpec(name="synthetic", dim=space.vectors.shape[1], image_size=1, fingerprint="of vectors alone")
    made = Store.create(folder, spec)
    write_items(made, space)
    return made


def test_a_version_has_held_out_figures_and_is_used_if_they_are_better(store: Store) -> None:
    version = list_sequence_models(store)[0]
    assert version.in_use
    assert version.from_version is None
    figures = version.figures
    assert figures["ndcg"] > 2 * figures["ndcg_popularity"]
    assert figures["samples"] == 12
    assert (figures["users"], figures["events"], figures["searches"]) == (120, len(LOG), 0)
    assert version.to_dict()["width"] == 16
    assert not (Path(store.uri) / CHECKPOINT_FOLDER).exists()


def test_a_model_is_used_only_if_it_improves_held_out_rankings() -> None:
    assert improves_rankings({"ndcg": 0.2, "ndcg_popularity": 0.1})
    assert not improves_rankings({"ndcg": 0.1, "ndcg_popularity": 0.1})
    assert improves_rankings({"ndcg": 0.1, "ndcg_popularity": 0.0, "ndcg_blend": 0.2, "ndcg_joined": 0.21})
    assert not improves_rankings({"ndcg": 0.1, "ndcg_popularity": 0.0, "ndcg_blend": 0.2, "ndcg_joined": 0.19})


def test_a_loaded_model_ranks_as_it_was_trained_also_over_new_items(store: Store) -> None:
    model = load_sequence_model(store, SPACE)
    assert model is not None
    histories = [sample.history for sample in NEW]
    assert hit_rate(model.scores(histories, EVERY), NEW) > 0.8
    more = ItemSpace.of([*SPACE.item_ids, "z"], np.vstack([SPACE.vectors, SPACE.vectors[:1]]))
    wider = load_sequence_model(store, more)
    assert wider is not None
    scores = wider.scores(histories, np.arange(len(more)))
    np.testing.assert_allclose(scores[:, -1], scores[:, 0], atol=1e-4)


def test_fit_of_a_loaded_model_learns_other_events_for_the_same_epochs(store: Store) -> None:
    model = load_sequence_model(store, SPACE)
    assert model is not None
    model.fit(LOG.where(LOG.users < 60))
    model.learn()
    assert model.trained is not None
    assert model.trained.epochs == list_sequence_models(store)[0].figures["epochs"]


def test_without_a_model_there_is_none(tmp_path: Path) -> None:
    empty = make_store(tmp_path / "db")
    assert load_sequence_model(empty, SPACE) is None
    assert list_sequence_models(empty) == []
    with pytest.raises(QueryError, match="its versions: none; fit one with: firstsight sequence fit"):
        load_sequence_model(empty, SPACE, 3)
    with pytest.raises(QueryError, match=r"no sequence model of .* is in use"), empty.writing():
        project_items(empty)


def test_daily_updates_start_from_the_version_in_use(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db")
    first = fit_sequence_model(store, SPACE, LOG, settings=SMALL)
    later = ordered_log(SPACE, 110, first_day=20, seed=3)
    both = Interactions.of(
        SPACE,
        np.concatenate([LOG.user_ids[LOG.users], later.user_ids[later.users]]),
        np.concatenate([LOG.items, later.items]),
        np.concatenate([LOG.times, later.times]),
    )
    lines: list[str] = []
    second = fit_sequence_model(store, SPACE, both, on_progress=lines.append)
    assert second.from_version == first.version
    assert second.settings == SMALL
    assert lines[0] == "starting from version 1"
    first_loss = float(next(line for line in lines if line.startswith("epoch 1:")).split("loss ")[1].split(",")[0])
    assert first_loss < 1.5  # of random weights it is above 2.5
    third = fit_sequence_model(store, SPACE, LOG, fresh=True, settings=replace(SMALL, epochs=1), use=False)
    assert third.from_version is None
    assert [version.in_use for version in list_sequence_models(store)] == [False, True, False]
    use_sequence_model(store, 1)
    assert [version.in_use for version in list_sequence_models(store)] == [True, False, False]
    with pytest.raises(QueryError, match="its width is 16; leave out --from-version"):
        fit_sequence_model(store, SPACE, LOG, from_version=1, settings=replace(SMALL, width=32))


def test_damaged_weights_and_other_encoders_are_refused(store: Store, tmp_path: Path) -> None:
    damaged = make_store(tmp_path / "db")
    rows = store.session.open_table(TABLE).to_arrow()
    table = damaged.session.create_table(TABLE, schema=SHELF_SPEC.schema)
    weights = rows["weights"][0].as_py()
    for broken, reason in (
        (weights[:-3], "no safetensors file"),
        (b"\x80\x04", "no safetensors file"),
        (weights.replace(b"network.norm.bias", b"network.norm.bia$"), "lacks|unknown"),
    ):
        table.delete("true")
        index = rows.schema.get_field_index("weights")
        table.add(rows.set_column(index, rows.schema.field(index), pa.array([broken], pa.large_binary())))
        with pytest.raises(StoreError, match=rf"sequence model 1 of .* is damaged \(.*({reason})"):
            load_sequence_model(damaged, SPACE)
    table.update(values={"fingerprint": "other"})
    with pytest.raises(EncoderMismatchError, match="fit it again: firstsight sequence fit --fresh"):
        load_sequence_model(damaged, SPACE)


def test_searches_are_encoded_once_and_then_read_from_the_database(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db")
    calls: list[Sequence[str]] = []

    def encode(texts: Sequence[str]) -> Vectors:
        calls.append(texts)
        return SPACE.vectors[[int(text.split()[1]) for text in texts]]

    rng = np.random.default_rng(0)
    items = rng.integers(0, 12, 200)
    log = Interactions.of(
        SPACE, np.array([f"u{n:03d}" for n in range(200)], dtype=object), items, np.full(200, 5_000_000)
    )
    texts = np.array([f"query {item}" for item in items], dtype=object)
    log = replace(log, searches=SearchLog(np.arange(200), texts, np.full(200, 4_000_000), np.full(200, -1)))
    version = fit_sequence_model(store, SPACE, log, settings=replace(SMALL, epochs=4), encode=encode)
    assert version.figures["searches"] == 200
    assert sorted(calls[0]) == sorted({f"query {n}" for n in range(12)})
    assert len(calls) == 1
    model = load_sequence_model(store, SPACE, 1, encode=encode)
    assert model is not None
    history = replace(log.history(0), items=np.empty(0, np.int64), times=np.empty(0, np.int64))
    asked = History(history.items, history.times, np.empty(0), np.empty(0, np.int8), log.history(0).searches)
    with_search, without = model.scores([asked, History.of(np.empty(0, np.int64))], EVERY)
    assert not np.allclose(with_search, without)
    assert len(calls) == 1
    assert set(read_query_vectors(store, ["query 3", "unknown"])) == {"query 3"}
    reader = QueryReader(store, WordSpace.fit([]), None)
    known, unknown = reader(["query 3", "unknown"])
    np.testing.assert_allclose(known, SPACE.vectors[3], atol=1e-6)
    assert not unknown.any()


def test_lancedb_finds_the_items_that_the_model_ranks_first(store: Store) -> None:
    model = load_sequence_model(store, SPACE)
    assert model is not None
    user = model.user_vectors([NEW[0].history]).short_term[0]
    table = lancedb.connect(store.uri).open_table("items")
    query = cast("LanceVectorQueryBuilder", table.search(user, vector_column_name="sequence_vector"))
    found = query.distance_type("cosine").limit(10).to_list()
    order = np.argsort(-model.scores([NEW[0].history], EVERY)[0])[:10]
    assert [row["item_id"] for row in found] == SPACE.item_ids[order].tolist()


def test_new_and_changed_items_are_projected_and_others_left_alone(store: Store) -> None:
    assert "sequence_vector" not in store.filter_kinds()
    assert "sequence_vector" not in store.column_kinds()
    changed = ItemSpace.of(["i000", "z"], -SPACE.vectors[:2])
    with store.writing():
        write_items(store, changed)
        assert store.items.count_rows("sequence_vector IS NULL") == 2
        project_new_items(store)
        assert store.items.count_rows("sequence_vector IS NULL") == 0
        assert project_items(store).items == 0
        store.delete_items(["z"])
        write_items(store, SPACE)
        project_new_items(store)


def test_another_version_replaces_all_projections(store: Store) -> None:
    settings = replace(SMALL, width=8, epochs=1)
    version = fit_sequence_model(store, SPACE, LOG, fresh=True, settings=settings, use=True)
    with store.writing():
        project_new_items(store)  # of a version that is not the projected one: nothing
        assert store.items.schema.field("sequence_vector").type.list_size == 16
        assert project_items(store).to_dict() == {"version": version.version, "items": len(SPACE), "width": 8}
        assert store.items.schema.field("sequence_vector").type.list_size == 8
    use_sequence_model(store, 1)
    with store.writing():
        assert project_items(store).width == 16


@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl"])
def test_users_are_exported_with_unit_vectors(store: Store, tmp_path: Path, ending: str) -> None:
    model = load_sequence_model(store, SPACE)
    assert model is not None
    file = tmp_path / f"users.{ending}"
    exported = export_users(file, model, 1, LOG)
    assert (exported.users, exported.width, exported.version) == (120, 16, 1)
    if ending == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert rows[0]["sequence_version"] == 1
    else:
        table = pq.read_table(file) if ending == "parquet" else pa.ipc.open_file(str(file)).read_all()
        assert table.schema.metadata[b"firstsight:sequence_version"] == b"1"
        assert table.schema.metadata[b"firstsight:width"] == b"16"
        assert table.schema.field("short_term").type == pa.list_(pa.float32(), 16)
        rows = table.to_pylist()
    assert [row["user_id"] for row in rows] == LOG.user_ids.tolist()
    assert {row["events"] for row in rows} == {6}
    vectors = model.user_vectors([LOG.history(5)])
    np.testing.assert_allclose(rows[5]["short_term"], vectors.short_term[0], atol=1e-5)
    np.testing.assert_allclose(rows[5]["long_term"], vectors.long_term[0], atol=1e-5)


def test_an_unknown_ending_is_refused(store: Store, tmp_path: Path) -> None:
    model = load_sequence_model(store, SPACE)
    assert model is not None
    with pytest.raises(QueryError, match=r"users\.csv ends in none of \.parquet, \.arrow, \.jsonl"):
        export_users(tmp_path / "users.csv", model, 1, LOG)


@pytest.mark.slow
def test_projections_of_many_items_have_an_index_that_finds_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstsight.storage.indexes.vector_index.MIN_ROWS", 400)
    space = random_space(500)
    many = make_store(tmp_path / "db", space)
    log = ordered_log(space, 60)
    fit_sequence_model(many, space, log, settings=replace(SMALL, epochs=1), use=True)
    with many.writing():
        assert project_items(many).items == len(space)
    assert "sequence_vector_idx" in {index.name for index in many.items.list_indices()}
    model = load_sequence_model(many, space)
    assert model is not None
    users = model.user_vectors([log.history(user) for user in range(20)]).short_term
    exact = np.argsort(-(users @ model.item_vectors().T), axis=1)[:, :10]
    found = []
    for user, nearest in zip(users, exact, strict=True):
        query = cast("LanceVectorQueryBuilder", many.items.search(user, vector_column_name="sequence_vector"))
        rows = query.distance_type("cosine").nprobes(1).refine_factor(10).limit(10).select(["item_id"]).to_list()
        found.append(len({row["item_id"] for row in rows} & set(space.item_ids[nearest])) / 10)
    assert np.mean(found) > 0.9
