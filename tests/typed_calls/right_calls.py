"""Calls of the public API that type checkers accept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import firstsight


def search(db: firstsight.Database, picture: bytes) -> None:
    found = db.search("red shoes", k=5, where="price < 50", mode="hybrid", kinds=["product"], collapse="none")
    assert_type(found, firstsight.SearchResults)
    assert_type(found[0], firstsight.SearchResult)
    assert_type(found[0].score, float)
    assert_type(found[:2], tuple[firstsight.SearchResult, ...])
    assert_type(found.snapshot, str)
    assert_type(found[0].view, firstsight.ViewMatch | None)
    db.search(image=picture, minus=["heels"], minus_weight=0.3)
    db.search(firstsight.Query("red shoes", diversity=0.5))
    db.search(videos=[Path("clip.mp4")], images=[Path("shoe.jpg")])
    assert_type(db.search_many([firstsight.Query("shoes")]), list[firstsight.SearchResults])
    for answer in db.search_many([firstsight.Query("shoes")], on_error="return"):
        if isinstance(answer, firstsight.FirstsightError):
            raise answer
        assert_type(answer, firstsight.SearchResults)


def write(db: firstsight.Database) -> None:
    report = db.index("catalogue.csv", prune=True, options=firstsight.CatalogOptions(mapping={"title": "name"}))
    assert_type(report, firstsight.IndexReport)
    assert_type(report.counts.encoded, int)
    assert_type(db.add([{"item_id": "a", "title": "shoe"}], wait_s=2.0), firstsight.IndexReport)
    assert_type(db.remove(["a"]), list[str])
    assert_type(db.indexing.preview("catalogue.csv"), firstsight.CatalogPreview)
    assert_type(db.indexing.retry(wait_s=1), list[firstsight.IndexReport])
    assert_type(db.maintenance.optimize(rebuild=True), firstsight.UpkeepReport)


def recommend(db: firstsight.Database) -> None:
    slate = db.recommend("ana", k=10, quotas={"video": 0.2}, explore=0.1, now=datetime.now(UTC))
    assert_type(slate, firstsight.Slate)
    assert_type(slate[0], firstsight.Recommendation)
    db.recommend(history=["shoe", {"item_id": "hat", "timestamp": "2026-01-01"}])
    assert_type(db.similar("shoe", k=3, kinds=["product"])[0], firstsight.SimilarItem)
    assert_type(db.cold_start.fit(use=False), firstsight.ColdStartVersion)
    assert_type(db.cold_start.interested_users("shoe")[0], firstsight.InterestedUser)
    assert_type(db.events.add("clicks.csv", hash_users=True), firstsight.AddedEvents)
    assert_type(db.semantic_ids.fit(levels=2), firstsight.SemanticIdVersion)
    assert_type(db.rerankers.versions(), list[firstsight.RerankerVersion])
    assert_type(db.duplicates.find(max_distance=10)[0], firstsight.DuplicateGroup)


def read(db: firstsight.Database) -> None:
    with firstsight.open("shop-db") as opened:
        assert_type(opened, firstsight.Database)
        assert_type(opened.status(), firstsight.Status)
        assert_type("shoe" in opened, bool)
    assert_type(db.get("shoe"), firstsight.Item)
    assert_type(db.get("shoe").title, str | None)
    assert_type(db.get("shoe").views[0], firstsight.View)
    assert_type(db.count(), int)
    ids, matrix = db.vectors(where="price < 50", of="views", parts=["image"])
    assert_type(ids, tuple[str, ...])
    assert_type(matrix, NDArray[np.float32])
    assert_type(db.vectors(), firstsight.VectorMatrix)
    assert_type(db.to_arrow(["title"], vectors=False, include_blocked=True), pa.RecordBatchReader)


def measure(db: firstsight.Database) -> None:
    assert_type(db.evaluation.search("judged.csv", modes=["vector"]), list[firstsight.SearchTask])
    assert_type(db.evaluation.links("links.csv").unknown, int)
    assert_type(db.evaluation.space_map(method="pca"), firstsight.SpaceMap)
