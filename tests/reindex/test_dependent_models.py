"""Each kind of fitted model is named before a switch, with a command that exists, and never used after it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import firstsight
from firstsight.api.models.dependent_models import _SHELVES
from firstsight.cli.main import app
from firstsight.errors import EncoderMismatchError, FirstsightError, QueryError
from firstsight.heads.model_shelf import ShelfSpec
from firstsight.recommend.sequence.item_projection import project_new_items
from firstsight.recommend.sequence.query_vectors import read_query_vectors, store_query_vectors
from firstsight.recommend.sequence.sequence_store import read_stored_model
from firstsight.storage.projection_column import projected_version, write_projections
from firstsight.storage.side_tables import upsert
from firstsight.storage.store import Store
from tests.reindex.conftest import NEW

COMMANDS = {
    "rerankers": "firstsight rerank fit",
    "personal_search_models": "firstsight personal-search fit",
    "cold_start_models": "firstsight cold-start fit",
    "sequence_models": "firstsight sequence fit --fresh",
    "ranking_models": "firstsight ranking fit",
    "safety_heads": "firstsight safety train LABELS.csv",
    "tag_models": "firstsight tags train --tag category",
}
KINDS = [
    *((table, {}, command) for table, command in COMMANDS.items()),
    ("cold_start_models", {"figures": json.dumps({"tuned": 1})}, "firstsight cold-start fit --tune"),
    ("safety_heads", {"kind": "zero_shot"}, "firstsight safety score"),
]


def put_in_use(store: Store, table: str, **values: Any) -> None:
    """Store a row in use in the table of a kind of model, fitted to the vectors in force."""
    spec: ShelfSpec[Any] = import_module({name: module for name, module, _ in _SHELVES}[table]).SHELF_SPEC
    row = {field.name: _empty(field.type) for field in spec.schema}
    row |= {
        "version": 1,
        spec.flag: True,
        "fingerprint": store.spec.fingerprint,
        "figures": "{}",
        "kind": "head",
        "tag": "category",
    }
    with store.writing():
        upsert(store, table, spec.schema, "version", [{name: (row | values)[name] for name in spec.schema.names}])


def _empty(kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        return datetime.now(UTC)
    if pa.types.is_nested(kind):
        return []
    if pa.types.is_string(kind):
        return ""
    return b"" if pa.types.is_large_binary(kind) or pa.types.is_binary(kind) else 0


def test_each_kind_of_model_blocks_a_switch_and_is_named_with_its_command(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    store = Store.open(db.uri)
    for table, values, command in KINDS:
        put_in_use(store, table, **values)
        with pytest.raises(QueryError) as refused:
            db.encoders.switch()
        assert f" 1 ({command})" in str(refused.value), table
    assert {model.kind for model in db.encoders.switch(force=True).unusable} == {
        *("reranker", "personal search", "cold-start model", "sequence model", "ranking", "safety head", "tag")
    }
    assert db.encoders.rollback().unusable == ()


def test_the_named_commands_exist() -> None:
    for command in {command for _, _, command in KINDS}:
        words = command.split()[1:]
        options = [word for word in words if word.startswith("--")]
        shown = CliRunner().invoke(app, [*(word for word in words if word[0].islower()), "--help"])
        assert shown.exit_code == 0, command
        assert all(option in shown.output for option in options), command


def test_all_shelves_of_models_are_looked_at() -> None:
    folder = Path(firstsight.__file__).parents[1]
    sources = {
        path
        for name in ("heads", "recommend", "retrieval", "safety", "understanding")
        for path in (folder / name).rglob("*.py")
    }
    shelves = {path for path in sources if re.search(r"^SHELF_SPEC\b", path.read_text(), re.MULTILINE)}
    assert shelves == {Path(import_module(module).__file__ or "").resolve() for _, module, _ in _SHELVES}
    assert {table for table, _, _ in _SHELVES} == COMMANDS.keys()


def test_vectors_of_queries_belong_to_the_encoder_that_made_them(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    store = Store.open(db.uri)
    store_query_vectors(store, {"red": db.encoder.encode_texts(["red"])[0]})
    db.encoders.switch()
    store.refresh()
    assert read_query_vectors(store, ["red"]) == {}
    new = db.encoder.encode_texts(["red"])[0]
    store_query_vectors(store, {"red": new})
    np.testing.assert_allclose(read_query_vectors(store, ["red"])["red"], new, atol=1e-6)
    db.encoders.rollback()
    store.refresh()
    assert read_query_vectors(store, ["red"])["red"].shape == (16,)


def test_an_index_run_goes_on_beside_projections_of_a_sequence_model_of_the_other_encoder(
    db: firstsight.Database,
) -> None:
    db.encoders.reindex(NEW)
    store = Store.open(db.uri)
    put_in_use(store, "sequence_models", fingerprint="of the other encoder")
    with store.writing():
        write_projections(store, 1, 8, lambda ids, vectors, texts: vectors[:, :8])
    with pytest.raises(EncoderMismatchError, match="firstsight sequence fit --fresh"):
        read_stored_model(store)
    assert db.add([{"item_id": "later", "title": "later"}]).outcome == "finished"
    with store.writing():
        project_new_items(store)
    assert store.items.count_rows("sequence_vector IS NULL") == 1  # not projected by another model
    assert projected_version(store) == 1
    db.encoders.switch(force=True)
    store.refresh()
    assert "sequence_vector" not in store.items.schema.names


def test_a_reranker_of_the_other_encoder_is_left_out_of_searches(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    before = [result.item_id for result in db.search("thing number 3", k=5, mode="vector")]
    store = Store.open(db.uri)
    put_in_use(store, "rerankers", fingerprint="of the other encoder", mode="vector")
    assert [result.item_id for result in db.search("thing number 3", k=5, mode="vector")] == before
    put_in_use(store, "rerankers", mode="vector")  # without trees: it is read now
    with pytest.raises(FirstsightError):
        db.search("thing number 3", k=5, mode="vector")
