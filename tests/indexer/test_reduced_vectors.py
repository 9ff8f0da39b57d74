"""Databases with fewer dimensions: a matrix is fitted, measured and stored at the first index, and always used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import lancedb
import numpy as np
import pytest
from safetensors.numpy import save

import firstsight
from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder
from firstsight.encoders.reduced.reduction import (
    MIN_RECALL,
    Reduction,
    fit_pca,
    fit_reduction,
    measure_recall,
    truncation,
)
from firstsight.errors import EncoderMismatchError, MissingDatabaseError, QueryError, StoreError
from firstsight.storage.reduction_table import TABLE
from firstsight.storage.store import Store
from firstsight.vectors import unit

DIM, RANK = 32, 12


class WordEncoder:
    """Encodes a text as the sum of a fixed vector for each word; nearly all of it lies in `RANK` directions."""

    def __init__(self, fingerprint: str = "words", *, ordered: bool = False) -> None:
        self.spec = EncoderSpec("words", DIM, 32, fingerprint)
        rng = np.random.default_rng(0)
        axes = np.eye(DIM) if ordered else np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
        self._axes = axes * np.where(np.arange(DIM) < RANK, 1.0, 0.03)[:, None]

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return unit(np.array([sum(map(self._vector, text.split())) for text in texts]).reshape(-1, DIM))

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        return np.empty((0, DIM), dtype=np.float32)

    def _vector(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        return np.asarray(np.random.default_rng(seed).normal(size=DIM) @ self._axes)


COLOURS = ("red", "blue", "green", "black", "white", "grey", "pink", "brown")
THINGS = ("shoe", "hat", "coat", "bag", "lamp", "chair", "mug", "ring", "sock", "belt")
ROWS = [{"item_id": f"{c}-{t}", "title": f"{c} {t}"} for c in COLOURS for t in THINGS]


@pytest.fixture(scope="module")
def reduced_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reduced") / "db"
    with firstsight.open(path, encoder=WordEncoder()) as db:
        report = db.index(ROWS, dimensions=16, vectors="float16")
    assert report.counts.encoded == len(ROWS)
    assert report.reduction is not None
    assert report.to_dict()["reduction"]["recall"] >= MIN_RECALL
    return path


def test_every_vector_has_fewer_dimensions_and_searches_find_the_same(reduced_db: Path, tmp_path: Path) -> None:
    with (
        firstsight.open(reduced_db, encoder=WordEncoder()) as db,
        firstsight.open(tmp_path / "whole", encoder=WordEncoder()) as whole,
    ):
        whole.index(ROWS)
        ids, matrix = db.vectors()
        assert matrix.shape == (len(ROWS), 16)
        assert np.linalg.norm(matrix, axis=1) == pytest.approx(np.ones(len(ROWS)), abs=1e-5)
        found = [[result.item_id for result in d.search("green mug", k=3, mode="vector")] for d in (db, whole)]
        assert found[0][0] == found[1][0] == "green-mug"
        assert set(ids) == {row["item_id"] for row in ROWS}
        reduction = db.status().reduction
        assert reduction is not None
        assert (reduction["method"], reduction["dimensions"], reduction["of_dimensions"]) == ("pca", 16, DIM)
        assert reduction["queries"] == len(ROWS) // 10
        assert whole.status().reduction is None


def test_later_runs_keep_the_dimensions(reduced_db: Path) -> None:
    with firstsight.open(reduced_db, encoder=WordEncoder()) as db:
        assert db.index(ROWS).counts.unchanged == len(ROWS)
        assert db.index(ROWS, dimensions=16).reduction == db.status().reduction
        db.add([{"item_id": "new", "title": "violet shoe"}])
        assert db.search("violet shoe", k=1, mode="vector")[0].item_id == "new"
        with pytest.raises(StoreError, match=r"16 dimensions by pca.*another --db"):
            db.index(ROWS, dimensions=24)
        with pytest.raises(StoreError, match=r"16 dimensions by pca"):
            db.index(ROWS, dimensions=16, reduce="matryoshka")


def test_another_encoder_or_another_matrix_is_refused(reduced_db: Path, tmp_path: Path) -> None:
    with firstsight.open(reduced_db, encoder=WordEncoder("other words")) as db, pytest.raises(EncoderMismatchError):
        db.search("red shoe")
    with firstsight.open(tmp_path / "db", encoder=WordEncoder()) as db:
        db.index(ROWS, dimensions=16)
        spec = Store.open(db.uri).spec
        assert (spec.name, spec.dim) == ("words", 16)
    table = lancedb.connect(tmp_path / "db").open_table(TABLE)
    other = np.linalg.qr(np.random.default_rng(1).normal(size=(DIM, 16)))[0].astype(np.float32)
    for matrix, message in ((b"1234", "damaged"), (save({"matrix": other}), "not the one that made them")):
        table.update(values={"matrix": matrix})
        with firstsight.open(tmp_path / "db", encoder=WordEncoder()) as db, pytest.raises(StoreError, match=message):
            db.search("red shoe")


def test_a_reduction_that_loses_too_much_creates_no_database(tmp_path: Path) -> None:
    with firstsight.open(tmp_path / "db", encoder=WordEncoder()) as db:
        with pytest.raises(QueryError, match=r"matryoshka keep a recall@10 of \.?0?\.\d+ .* below 0\.9; take more"):
            db.index(ROWS, dimensions=8, reduce="matryoshka")
        with pytest.raises(QueryError, match=r"40 titles and pictures are too few .* it takes 64"):
            db.index(ROWS[:40], dimensions=16)
        with pytest.raises(QueryError, match=r"32 dimensions are out of range .* give 8 to 31"):
            db.index(ROWS, dimensions=DIM)
        with pytest.raises(QueryError, match="stopped while it encoded a sample"):
            db.index(ROWS, dimensions=16, should_stop=lambda: True)
        with pytest.raises(MissingDatabaseError):
            db.status()
        assert db.index(ROWS).counts.encoded == len(ROWS)  # whole vectors, afterwards
    with firstsight.open(tmp_path / "db", encoder=WordEncoder()) as db:
        assert db.vectors().matrix.shape[1] == DIM
        with pytest.raises(StoreError, match="32 dimensions, not reduced"):
            db.index(ROWS, dimensions=16)


def test_the_first_dimensions_serve_a_model_that_puts_the_most_into_them(tmp_path: Path) -> None:
    with firstsight.open(tmp_path / "db", encoder=WordEncoder(ordered=True)) as db:
        report = db.index(ROWS, dimensions=16, reduce="matryoshka")
        assert report.reduction is not None
        assert report.reduction["method"] == "matryoshka"
        vector = db.get("red-shoe").vector
        assert vector is not None
        exact = WordEncoder(ordered=True).encode_texts(["red shoe"])[0, :16]
        assert vector == pytest.approx(exact / np.linalg.norm(exact), abs=1e-6)


def test_recall_counts_what_reduced_vectors_find() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(400, DIM)).astype(np.float32))
    assert measure_recall(truncation(DIM, DIM), vectors[40:], vectors[:40]) == 1
    half = measure_recall(truncation(DIM, 16), vectors[40:], vectors[:40])
    assert 0.1 < half < 0.9
    assert measure_recall(fit_pca(vectors[40:], DIM), vectors[40:], vectors[:40]) > 0.99
    with pytest.raises(QueryError, match=f"below {MIN_RECALL}"):
        fit_reduction(vectors, "pca", 8)


def test_a_matrix_is_read_as_it_was_written_and_checked() -> None:
    made = fit_pca(WordEncoder().encode_texts([row["title"] for row in ROWS]), 16)
    again = Reduction.from_bytes("pca", made.to_bytes(), DIM, 16)
    assert again.digest == made.digest
    assert ReducedEncoder(WordEncoder(), again).spec == ReducedEncoder(WordEncoder(), made).spec
    for method, data, dimensions in (
        ("pca", b"1234", 16),
        ("pca", b"0" * 10_000, 16),
        ("pca", made.to_bytes(), 8),
        ("random", made.to_bytes(), 16),
        ("pca", save({"matrix": np.full((DIM, 16), np.inf, np.float32)}), 16),
    ):
        with pytest.raises(ValueError, match=r"matrix|safetensors|unknown|finite"):
            Reduction.from_bytes(method, data, DIM, dimensions)


def test_figures_are_plain_numbers(reduced_db: Path) -> None:
    with firstsight.open(reduced_db, encoder=WordEncoder()) as db:
        assert json.loads(json.dumps(db.status().to_dict()))["reduction"]["dimensions"] == 16
