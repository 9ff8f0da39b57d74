"""Switches between two encoders: refused until safe, seen by open databases at once, and taken back."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

import firstsight
from firstsight.api.encoders import encoder_sets as encoder_parts
from firstsight.errors import EncoderMismatchError, QueryError, StoreError
from firstsight.storage.store import Store
from tests.reindex.conftest import NEW, OLD, NamedColours
from tests.reindex.vector_sets import assert_complete, rows_of_set


def test_an_open_database_follows_a_switch_and_a_rollback(db: firstsight.Database) -> None:
    reader = firstsight.open(db.uri)
    before = [(r.item_id, r.score) for r in reader.search("thing number 3", k=5)]
    assert db.encoders.reindex(NEW).missing == 0
    assert [(r.item_id, r.score) for r in reader.search("thing number 3", k=5)] == before
    report = db.encoders.switch()
    assert (report.before, report.after, report.missing, report.unusable) == (OLD, NEW, 0, ())
    assert reader.search("thing number 3", k=1)[0].item_id == "item-3"
    assert (reader.encoder.spec.name, reader.status().encoder.dim) == (NEW, 24)
    vector = reader.get("item-3").vector
    assert vector is not None
    assert vector.shape == (24,)
    assert db.encoders.rollback().after == OLD
    assert [(r.item_id, r.score) for r in reader.search("thing number 3", k=5)] == before
    assert reader.encoder.spec.name == OLD


@pytest.mark.parametrize("of", ["items", "views", "shots"])
def test_exports_read_the_set_in_force(db: firstsight.Database, of: Literal["items", "views", "shots"]) -> None:
    before = db.to_arrow(of=of).read_all()
    db.encoders.reindex(NEW)
    db.encoders.switch()
    after = db.to_arrow(of=of).read_all()
    plain = [name for name in before.schema.names if not name.endswith("vector")]
    assert after.select(plain).sort_by(plain[0]).equals(before.select(plain).sort_by(plain[0]))
    if of != "shots":
        assert db.vectors(of=of).matrix.shape == (len(after), 24)


def test_the_states_of_both_encoders_are_listed(db: firstsight.Database) -> None:
    (only,) = db.encoders.list()
    assert (only.encoder, only.state, only.items, only.missing, only.since) == (OLD, "in force", 12, 0, None)
    db.encoders.reindex(NEW)
    assert [(s.encoder, s.state, s.missing) for s in db.encoders.list()] == [(OLD, "in force", 0), (NEW, "ready", 0)]
    db.encoders.switch(NEW)
    assert [(s.encoder, s.state) for s in db.encoders.list()] == [(OLD, "previous"), (NEW, "in force")]


def test_a_switch_is_refused_while_items_lack_vectors(db: firstsight.Database, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=rf"only the vectors of {OLD}.*firstsight reindex --encoder NAME"):
        db.encoders.switch()
    with pytest.raises(QueryError, match=rf"no encoder before {OLD} to go back to"):
        db.encoders.rollback()
    (tmp_path / "shop" / "3.png").unlink()
    report = db.encoders.reindex(NEW)
    assert (report.missing, report.counts.failed, dict(report.reasons)) == (1, 1, {"missing": 1})
    assert report.examples[0].startswith("item-3: ")
    with pytest.raises(QueryError, match=rf"1 of 12 items have no current vectors of {NEW}.*reindex --encoder {NEW}"):
        db.encoders.switch()
    assert db.status().encoder.name == OLD
    assert db.encoders.switch(force=True).missing == 1
    assert "item-3" in [r.item_id for r in db.search("thing number 3", k=3)]  # its title has a vector
    assert Store.open(db.uri).digests(["item-3"])["item-3"][0] == ""  # the next index run encodes it


def test_another_encoder_than_the_second_one_cannot_be_named(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match=f"{OLD} is in force"):
        db.encoders.reindex(OLD)
    db.encoders.reindex(NEW)
    with pytest.raises(QueryError, match=f"{OLD} is in force.*the other encoder is {NEW}"):
        db.encoders.switch(OLD)
    with pytest.raises(QueryError, match="has no vectors of colours:32"):
        db.encoders.switch("colours:32")
    with pytest.raises(StoreError, match=f"a second set of vectors, of {NEW}; drop it first: .* drop 1"):
        db.encoders.reindex("colours:32")


def test_models_of_the_encoder_in_force_block_a_switch_and_are_named_with_their_commands(
    db: firstsight.Database,
) -> None:
    db.encoders.reindex(NEW)
    db.semantic_ids.fit(levels=2, codes=2)
    with pytest.raises(QueryError, match=r"1 models in use .*semantic IDs 1 \(firstsight semantic-ids fit\).*--force"):
        db.encoders.switch()
    (unusable,) = db.encoders.switch(force=True).unusable
    assert (unusable.kind, unusable.command) == ("semantic IDs", "firstsight semantic-ids fit")
    assert db.add([{"item_id": "later", "title": "later"}]).outcome == "finished"  # without an ID of another encoder
    assert db.encoders.rollback().unusable == ()
    db.encoders.switch(force=True)
    db.semantic_ids.fit(levels=2, codes=2)
    with pytest.raises(QueryError, match="semantic IDs 2"):
        db.encoders.rollback()


def test_a_switch_ends_the_pages_of_earlier_searches(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    page = db.search("thing", k=3)
    db.encoders.switch()
    with pytest.raises(QueryError, match=f"is of the vectors of another encoder than {NEW}"):
        db.search("thing", k=3, offset=3, snapshot=page.snapshot)
    page = db.search("thing", k=3)
    assert len(db.search("thing", k=3, offset=3, snapshot=page.snapshot)) == 3


def test_an_encoder_that_is_named_must_be_the_one_in_force(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    db.encoders.switch()
    with pytest.raises(EncoderMismatchError, match=f"holds vectors of {NEW}, not of {OLD}"):
        firstsight.open(db.uri, encoder=OLD).search("thing")


def test_the_files_of_an_encoder_must_be_those_that_made_its_vectors(
    db: firstsight.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.encoders.reindex(NEW)
    db.encoders.switch()

    def retrained(name: str) -> NamedColours:
        encoder = NamedColours(24)
        encoder.spec = encoder.spec.__class__(NEW, 24, 32, "retrained")
        return encoder

    reader = firstsight.open(db.uri)
    monkeypatch.setattr(reader._connection, "load_named", retrained)
    with pytest.raises(EncoderMismatchError, match="vectors of another version"):
        reader.search("thing")


def test_drop_keeps_the_vectors_before_a_switch_for_a_day(
    db: firstsight.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.encoders.reindex(NEW)
    db.encoders.switch()
    with pytest.raises(QueryError, match=rf"{OLD} was in force until 0.0 hours ago.*--force"):
        db.encoders.drop(OLD)
    with pytest.raises(QueryError, match=f"{NEW} is in force"):
        db.encoders.drop(NEW)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(hours=25)

    with monkeypatch.context() as patch:
        patch.setattr(encoder_parts, "datetime", Later)
        dropped = db.encoders.drop(0)
    assert (dropped.encoder, dropped.items) == (OLD, 12)
    assert [state.encoder for state in db.encoders.list()] == [NEW]
    assert Store.open(db.uri).of_set(0).items.count_rows() == 0
    assert db.search("thing number 3", k=1)[0].item_id == "item-3"
    assert firstsight.open(db.uri).count() == 12
    with pytest.raises(QueryError, match="has no encoder before"):
        db.encoders.rollback()
    db.encoders.reindex(OLD)  # a new set: numbers are not used again
    assert [(state.number, state.encoder) for state in db.encoders.list()] == [(1, NEW), (2, OLD)]
    assert_complete(db.uri, (1, 2))


def test_a_copy_of_the_database_goes_its_own_way(db: firstsight.Database, tmp_path: Path) -> None:
    stop_after_first_step(db)
    copied = firstsight.open(shutil.copytree(db.uri, tmp_path / "copy"))
    assert copied.encoders.reindex(NEW).missing == 0
    copied.encoders.switch()
    copied.remove(["item-1"])
    assert (copied.status().encoder.name, db.status().encoder.name) == (NEW, OLD)
    assert db.encoders.reindex(NEW).missing == 0
    assert len(rows_of_set(db.uri, 1)[0]) == 12


def stop_after_first_step(db: firstsight.Database) -> None:
    from firstsight.indexer.reindex.reindex_settings import ReindexCounts, ReindexSettings

    stop: list[bool] = []

    def show(counts: ReindexCounts) -> None:
        if counts.items:
            stop.append(True)

    settings = ReindexSettings(max_rate=5)
    report = db.encoders.reindex(NEW, settings=settings, on_progress=show, should_stop=lambda: bool(stop))
    assert (report.outcome, report.counts.items, report.missing) == ("stopped", 5, 7)


def test_an_earlier_firstsight_refuses_a_database_with_two_sets(
    db: firstsight.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.encoders.reindex(NEW)
    metadata = Store.open(db.uri).first_items.schema.field("item_id").metadata or {}
    assert int(metadata[b"firstsight:layout"]) > 1_000  # which it compares with its own layout
    assert db.status().layout == 3


def test_a_damaged_second_set_is_named_and_can_be_dropped(db: firstsight.Database) -> None:
    db.encoders.reindex(NEW)
    shutil.rmtree(Path(db.uri) / "items_e1.lance")
    writer = firstsight.open(db.uri)
    with pytest.raises(StoreError, match=r"lacks tables of vector set 1 .*firstsight encoder drop 1 --force"):
        writer.add([{"item_id": "a", "title": "a"}])
    assert len(writer.search("thing", k=3)) == 3
    assert writer.encoders.drop(1, force=True).encoder == NEW
    assert writer.add([{"item_id": "a", "title": "a"}]).outcome == "finished"
    assert not list(Path(db.uri).glob("*_e1.lance"))


def test_a_folder_names_its_encoder_from_any_working_directory(
    db: firstsight.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firstsight.api.encoders.switch_checks import encoder_names

    monkeypatch.chdir(tmp_path)
    assert f"starter:{tmp_path / 'tuned'}" in encoder_names("starter:tuned")
    assert encoder_names(1) == {"1"}


def test_the_shelves_that_a_switch_looks_at_are_the_shelves_of_the_models() -> None:
    from importlib import import_module

    from firstsight.api.models.dependent_models import _SHELVES

    assert [import_module(module).SHELF_SPEC.table for _, module, _ in _SHELVES] == [table for table, _, _ in _SHELVES]
