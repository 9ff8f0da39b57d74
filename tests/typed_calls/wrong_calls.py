"""Calls of the public API that type checkers refuse, each in a line that ends in "# wrong"."""

from __future__ import annotations

import firstsight


def search(db: firstsight.Database) -> None:
    db.search("x", wehre="price < 50")  # wrong
    db.search("x", k="5")  # wrong
    db.search("x", mode="fuzzy")  # wrong
    db.search(["x"])  # wrong
    db.search([firstsight.Query("x")])  # wrong
    db.search(firstsight.Query("x"), k=5)  # wrong
    db.search_many([firstsight.Query("x")], on_error="ignore")  # wrong
    db.search_many([firstsight.Query("x")], on_error="return")[0].snapshot  # wrong
    firstsight.Query("x", kk=5)  # wrong


def write(db: firstsight.Database) -> None:
    db.index("catalogue.csv", prun=True)  # wrong
    db.index("catalogue.csv", options={"mapping": {}})  # wrong
    db.add([{"item_id": "a"}], prune=True)  # wrong
    db.index(5)  # wrong
    db.remove(5)  # wrong
    db.indexing.watch("live.m3u8", item_id="show", every_s=1)  # wrong
    db.events.add("clicks.csv", hash_user=True)  # wrong
    db.maintenance.optimize(rebuilt=True)  # wrong


def recommend(db: firstsight.Database) -> None:
    db.recommend("ana", quota={"video": 0.2})  # wrong
    db.recommend("ana", collapse="color")  # wrong
    db.similar("shoe", kind="product")  # wrong
    db.duplicates.find(max_distanse=10)  # wrong
    db.rerankers.fit(judgment="judged.csv")  # wrong
    db.semantic_ids.fit(level=2)  # wrong
    db.cold_start.use("none")  # wrong


def read(db: firstsight.Database) -> None:
    db.get("shoe").titel  # wrong
    db.get("shoe").vector.shape  # wrong
    db.to_arrow(colums=["title"])  # wrong
    db.vectors(batch_rows=5)  # wrong
    db.semantic_ids.assign()[0]  # wrong
    firstsight.nothing  # wrong
    db.status().itmes  # wrong
    db.search("x")[0].score = 1.0  # wrong
    db.store  # wrong
    db.evaluate()  # wrong
    firstsight.Querry("x")  # wrong
    db.evaluation.search(mode=["vector"])  # wrong
    db.evaluation.space_map(method="lle")  # wrong
    db.to_arrow(of="failures")  # wrong
    db.to_arrow(part=["image"])  # wrong
    db.vectors(parts=["sound"])  # wrong


def safety(db: firstsight.Database) -> None:
    db.safety.decide("shoe", "forbid", policy="weapons", reason="a knife", by="ana")  # wrong
    db.safety.decide("shoe", "block", policy="weapons", by="ana")  # wrong
    db.safety.score(overrides={})  # wrong
