"""Reranking: what is there to learn is learned, where there is nothing it is refused, and it is never required."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import OptionalDependencyError, QueryError, StoreError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.candidates import run_rankings
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.rerank.candidate_features import feature_names, features
from firstsight.retrieval.reranker_store import RerankerShelf, RerankerVersion
from firstsight.retrieval.search import make_rankers
from firstsight.storage.store import Store

COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "grey")
THINGS = ("mug", "shoe", "guitar", "lamp", "tent", "clock", "bicycle", "hat")
SAYINGS = ("{}", "a {} for me", "the best {}", "buy a new {}")
SALES = {
    f"{colour}-{thing}": int(sold)
    for (colour, thing), sold in zip(
        itertools.product(COLOURS, THINGS), np.random.default_rng(5).integers(0, 1000, size=64), strict=True
    )
}


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def catalogue() -> list[dict[str, Any]]:
    """64 items, 8 colours of 8 things, each with its sales; titles alone, so that it is quick."""
    return [
        {
            "item_id": item_id,
            "title": item_id.replace("-", " "),
            "sales": sold,
            "colour": item_id.partition("-")[0],
            "in_stock": sold % 2 == 0,
            "created_at": f"2025-{1 + sold % 12:02d}-01",
        }
        for item_id, sold in SALES.items()
    ]


def by_sales() -> list[dict[str, Any]]:
    """People want the thing they name, and of those what sells well: search knows the first, not the second."""
    return [
        {"query": saying.format(thing), "item_id": f"{colour}-{thing}", "grade": SALES[f"{colour}-{thing}"] // 250}
        for saying, thing, colour in itertools.product(SAYINGS, THINGS, COLOURS)
    ]


def by_nothing() -> list[dict[str, Any]]:
    """Items drawn at random: there is nothing to learn. (Of 40 such draws one was promoted, as p < .05 allows.)"""
    random = np.random.default_rng(0)
    return [
        {"query": saying.format(thing), "item_id": str(item_id), "grade": 1}
        for saying, thing in itertools.product(SAYINGS, THINGS)
        for item_id in random.choice(sorted(SALES), 6, replace=False)
    ]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    firstsight.open(folder / "db", encoder=starter).index(write_lines(folder / "c.jsonl", catalogue()))
    return folder / "db"


@pytest.fixture(scope="module")
def ranked(indexed: Path, tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> Path:
    """The same with a reranker promoted for each of hybrid and vector, not to be written to."""
    folder = tmp_path_factory.mktemp("ranked")
    shutil.copytree(indexed, folder / "db")
    db = firstsight.open(folder / "db", encoder=starter)
    judged = write_lines(folder / "judged.jsonl", by_sales())
    for mode in ("hybrid", "vector"):
        db.fit_reranker(judgements=judged, mode=mode)
        db.promote_reranker()
    return folder / "db"


@pytest.fixture
def db(indexed: Path, tmp_path: Path, starter: Encoder) -> firstsight.Database:
    """A copy that may be written to, without rerankers."""
    shutil.copytree(indexed, tmp_path / "db")
    return firstsight.open(tmp_path / "db", encoder=starter)


@pytest.fixture
def shop(ranked: Path, starter: Encoder) -> firstsight.Database:
    """With rerankers; not to be written to."""
    return firstsight.open(ranked, encoder=starter)


@pytest.fixture
def own(ranked: Path, tmp_path: Path, starter: Encoder) -> firstsight.Database:
    """A copy with rerankers that may be written to."""
    shutil.copytree(ranked, tmp_path / "db")
    return firstsight.open(tmp_path / "db", encoder=starter)


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "judged.jsonl", by_sales())


def ids(results: Sequence[firstsight.SearchResult]) -> list[str]:
    return [result.item_id for result in results]


def gain(results: Sequence[firstsight.SearchResult], thing: str) -> float:
    good = (SALES[r.item_id] // 250 if r.item_id.endswith(thing) else 0 for r in results[:5])
    return float(sum(grade / np.log2(place + 2) for place, grade in enumerate(good)))


# ---- learning and the rule


@pytest.mark.slow
def test_what_helps_is_learned_promoted_used_and_dropped(db: firstsight.Database, judged: Path) -> None:
    made = db.fit_reranker(judgements=judged)
    assert (made.version, made.mode, made.promoted) == (1, "hybrid", False)
    assert made.columns == ("sales", "in_stock")
    assert made.figures["queries"] == 32
    assert made.figures["ndcg_after"] > made.figures["ndcg_before"] + 0.05
    assert made.figures["p"] < 0.01
    text = "one good mug"  # no query that was learned from
    before = db.search(text, k=40)
    assert before.reranker is None  # fitted, not promoted: not in use
    assert db.promote_reranker().promoted
    after = db.search(text, k=40)
    assert after.reranker == 1
    assert sorted(ids(after)) == sorted(ids(before))
    assert gain(after, "mug") > gain(before, "mug")
    assert ids(db.search(text, k=40, rerank=False)) == ids(before)
    assert [one.version for one in db.drop_reranker()] == [1]
    assert ids(db.search(text, k=40)) == ids(before)
    assert [one.promoted for one in db.rerankers()] == [False]


@pytest.mark.slow
def test_what_does_not_help_is_refused_with_its_figures(db: firstsight.Database, tmp_path: Path) -> None:
    made = db.fit_reranker(judgements=write_lines(tmp_path / "j.jsonl", by_nothing()))
    with pytest.raises(QueryError) as caught:
        db.promote_reranker()
    assert f"on 32 held-out queries is {made.figures['ndcg_after']:.4f} with it" in str(caught.value)
    assert "p < 0.05" in str(caught.value)
    assert not any(version.promoted for version in db.rerankers())
    assert db.search("mug").reranker is None


@pytest.mark.slow
def test_one_version_of_a_mode_is_in_use(own: firstsight.Database, judged: Path) -> None:
    assert own.fit_reranker(judgements=judged).version == 3
    assert own.promote_reranker().version == 3
    assert [(one.mode, one.promoted) for one in own.rerankers()] == [
        ("hybrid", False),
        ("vector", True),
        ("hybrid", True),
    ]
    assert own.search("mug").reranker == 3
    assert own.promote_reranker(1).version == 1
    assert own.search("mug").reranker == 1
    assert own.search("mug", mode="vector").reranker == 2
    assert [one.version for one in own.drop_reranker(2)] == [2]
    assert own.search("mug", mode="vector").reranker is None
    with pytest.raises(QueryError, match=r"there is no reranker 7 in .*; its versions: 1, 2, 3"):
        own.promote_reranker(7)


def test_other_processes_see_what_is_promoted_and_dropped(own: firstsight.Database, starter: Encoder) -> None:
    other = firstsight.open(own.uri, encoder=starter)
    assert other.search("mug").reranker == 1
    own.drop_reranker()
    assert other.search("mug").reranker is None
    own.promote_reranker(1)
    assert other.search("mug").reranker == 1


@pytest.mark.slow
def test_a_fit_gives_the_same_model_again(own: firstsight.Database, judged: Path) -> None:
    again = own.fit_reranker(judgements=judged)
    first = own.rerankers()[0]
    assert (again.model, again.figures, again.learned) == (first.model, first.figures, first.learned)


@pytest.mark.slow
def test_events_teach_what_judgements_do(db: firstsight.Database, tmp_path: Path) -> None:
    names = ["impression", "click", "add_to_cart", "purchase"]
    events = [
        {"query": row["query"], "item_id": row["item_id"], "event": event}
        for row in by_sales()
        for event in names[: row["grade"] + 1]
    ]
    made = db.fit_reranker(events=write_lines(tmp_path / "e.jsonl", events), columns=["sales"])
    assert made.columns == ("sales",)
    assert db.promote_reranker().version == made.version


def test_a_fit_that_cannot_be_says_why(db: firstsight.Database, judged: Path, tmp_path: Path) -> None:
    few = write_lines(tmp_path / "few.jsonl", by_sales()[:16])
    with pytest.raises(QueryError, match="0 of 2 judged text queries can be learned from, and 20 are needed"):
        db.fit_reranker(judgements=few)
    with pytest.raises(QueryError, match=r"'title' is no number or flag of .*: sales, in_stock"):
        db.fit_reranker(judgements=judged, columns=["title"])
    with pytest.raises(QueryError, match="mode 'meaning' is not one of vector, words, hybrid"):
        db.fit_reranker(judgements=judged, mode="meaning")
    with pytest.raises(QueryError, match="give one file to learn from: --judgements or --events"):
        db.fit_reranker()
    with pytest.raises(QueryError, match="fit one with: firstsight rerank fit"):
        db.promote_reranker()
    assert db.drop_reranker() == []


# ---- features


def test_features_are_what_they_say(sample_db: Path, starter: Encoder) -> None:
    store = Store.open(sample_db)
    text = "espresso cup"
    (ranker,) = make_rankers(
        store,
        [Query(text)],
        encoder=lambda: starter,
        policy=MediaPolicy(),
        calibration=partial(RelevanceCalibration.sample, store),
    )
    assert not isinstance(ranker, firstsight.FirstsightError)
    (ranking,) = run_rankings(store, [ranker.rank(20)])
    assert not isinstance(ranking, firstsight.FirstsightError)
    day = date(2026, 1, 1)
    table = features(store, text, ranker.encoded.vector, ranking.candidates[:20], ["price"], day=day)
    names = feature_names(["price"])
    assert table.shape == (20, len(names))
    by_words = {r.item_id: r.rank_score for r in ranking.candidates}
    assert set(by_words.values()) == {None}
    opened = firstsight.open(sample_db, encoder=starter)
    for place, (row, candidate) in enumerate(zip(table, ranking.candidates, strict=False)):
        seen = dict(zip(names, row.tolist(), strict=True))
        item = opened.get(candidate.item_id)
        assert seen["rank"] == place
        assert seen["vector_score"] == pytest.approx(float(item["vector"] @ ranker.encoded.vector), abs=1e-5)
        assert seen["words_score"] >= 0
        named = {"espresso", "cup"} & set(re.findall(r"\w+", f"{item['title']} {item['text']}".lower()))
        assert seen["words_score"] > 0 or not named
        assert seen["query_words"] == 2
        for part in ("title", "image", "frame"):
            cosines = [float(view["vector"] @ ranker.encoded.vector) for view in item["views"] if view["part"] == part]
            expected = max(cosines, default=float("nan"))
            assert seen[f"{part}_score"] == pytest.approx(expected, abs=1e-5, nan_ok=True)
        created, price = item["created_at"], item["columns"]["price"]
        age = (datetime(2026, 1, 1, tzinfo=UTC) - created).days if created else float("nan")
        assert seen["age_days"] == pytest.approx(age, abs=1, nan_ok=True)
        assert seen["price"] == pytest.approx(float("nan") if price is None else price, nan_ok=True)
        assert [seen[f"kind={kind}"] for kind in ("product", "video", "live")] == [
            float(item["kind"] == kind) for kind in ("product", "video", "live")
        ]


# ---- in search


def test_scores_keep_their_meaning_and_rank_scores_fall(shop: firstsight.Database) -> None:
    plain = {result.item_id: result for result in shop.search("blue tent", k=64, rerank=False)}
    assert {result.rank_score for result in plain.values()} == {None}
    results = shop.search("blue tent", k=64)
    scores = [result.rank_score for result in results if result.rank_score is not None]
    assert len(scores) == 64
    assert scores == sorted(scores, reverse=True)
    for result in results:
        assert result.score == pytest.approx(plain[result.item_id].score, abs=1e-6)
        assert result.relevance == plain[result.item_id].relevance
        assert "rank_score" in result.as_dict()
        assert "rank_score" not in plain[result.item_id].as_dict()


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({}, 1),
        ({"mode": "hybrid"}, 1),
        ({"mode": "vector"}, 2),
        ({"mode": "words"}, None),  # none was fitted to it
        ({"rerank": False}, None),
        ({"where": "sales > 100", "min_score": 0.1, "collapse": "colour", "diversity": 0.2}, 1),
        ({"fusion": "rrf"}, None),
        ({"minus": ["red"]}, None),
        ({"items": ["red-mug"]}, None),
        ({"part": "title"}, None),
    ],
)
def test_queries_like_those_that_were_learned_from_are_reranked(
    shop: firstsight.Database, settings: dict[str, Any], version: int | None
) -> None:
    results = shop.search(Query("mug", **settings))
    assert results.reranker == version
    assert (results[0].rank_score is not None) is (version is not None)


def test_many_queries_are_reranked_as_each_alone(shop: firstsight.Database) -> None:
    queries = [Query("lamp"), Query("lamp", mode="vector"), Query("lamp", mode="words"), Query(items=["red-hat"])]
    together = shop.search(queries)
    assert [answer.reranker for answer in together] == [1, 2, None, None]
    for query, answer in zip(queries, together, strict=True):
        assert ids(answer) == ids(shop.search(query))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["hybrid", "vector"])
@pytest.mark.parametrize(
    "settings", [{}, {"min_relevance": 0.2}, {"collapse": "colour"}, {"diversity": 0.4}, {"where": "in_stock"}]
)
def test_pages_are_cut_from_one_reranked_order(shop: firstsight.Database, mode: Any, settings: dict[str, Any]) -> None:
    whole = shop.search(Query("a warm hat", mode=mode, k=64, **settings))
    pages = [shop.search(Query("a warm hat", mode=mode, k=5, offset=n, **settings)) for n in range(0, 64, 5)]
    assert [item_id for page in pages for item_id in ids(page)] == ids(whole)
    assert len(whole) == len(set(ids(whole))) > 1


def test_thresholds_leave_the_order_of_what_is_left(shop: firstsight.Database) -> None:
    whole = shop.search("bicycle", k=64)
    least = float(np.median([result.score for result in whole]))
    kept = shop.search("bicycle", k=64, min_score=least)
    assert ids(kept) == [result.item_id for result in whole if result.score >= least]
    assert 0 < len(kept) < len(whole)


def test_collapse_shows_the_item_that_the_reranker_puts_first(shop: firstsight.Database) -> None:
    best: dict[object, str] = {}
    for result in shop.search("clock", k=64):
        best.setdefault(result.columns["colour"], result.item_id)
    assert ids(shop.search("clock", k=64, collapse="colour")) == list(best.values())


def test_a_snapshot_keeps_the_order_when_rerankers_come_and_go(own: firstsight.Database) -> None:
    whole = ids(own.search("guitar", k=30))
    first = own.search("guitar", k=10)
    own.drop_reranker()
    second = own.search("guitar", k=10, offset=10, snapshot=first.snapshot)
    assert (second.reranker, second.snapshot) == (1, first.snapshot)
    assert ids(first) + ids(second) == whole[:20]
    plain = own.search("guitar", k=10)
    assert plain.reranker is None
    own.promote_reranker(1)
    after = own.search("guitar", k=10, offset=10, snapshot=plain.snapshot)
    assert after.reranker is None
    assert ids(after) == ids(own.search("guitar", k=20, rerank=False))[10:]


def test_ages_stand_still_for_the_pages_of_a_snapshot(shop: firstsight.Database) -> None:
    snapshot = shop.search("mug").snapshot
    rows, _, day = snapshot.rpartition(".")
    assert date.fromordinal(int(day)) == datetime.now(UTC).date()
    longer = f"{rows}.{int(day) - 3}"
    assert shop.search("mug", snapshot=longer).snapshot == longer
    for wrong in (f"{rows}.0", f"{rows}.99999999999", "1.1.99.739000"):
        with pytest.raises(QueryError, match="snapshot"):
            shop.search("mug", snapshot=wrong)


@pytest.mark.slow
def test_the_first_hundred_are_reranked_and_the_rest_follow(indexed: Path, tmp_path: Path, starter: Encoder) -> None:
    db = firstsight.open(tmp_path / "db", encoder=starter)
    more = [row | {"item_id": f"{row['item_id']}-{n}"} for row in catalogue() for n in range(3)]
    db.index(write_lines(tmp_path / "c.jsonl", more))
    shop = firstsight.open(indexed, encoder=starter)  # has none; its judgements are of other ids
    assert shop.rerankers() == []
    judged = [row | {"item_id": f"{row['item_id']}-{n}"} for row in by_sales() for n in range(3)]
    db.fit_reranker(judgements=write_lines(tmp_path / "j.jsonl", judged), mode="vector")
    db.promote_reranker()
    plain = ids(db.search("mug", mode="vector", k=192, rerank=False))
    reranked = db.search("mug", mode="vector", k=192)
    assert sorted(ids(reranked)[:100]) == sorted(plain[:100])
    assert ids(reranked)[:100] != plain[:100]
    assert ids(reranked)[100:] == plain[100:]
    assert [result.rank_score is not None for result in reranked] == [n < 100 for n in range(192)]
    pages = [ids(db.search("mug", mode="vector", k=30, offset=n)) for n in range(0, 192, 30)]
    assert [item_id for page in pages for item_id in page] == ids(reranked)


# ---- never required


def in_another_process(code: str, path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_without_a_promoted_reranker_lightgbm_is_not_imported(own: firstsight.Database) -> None:
    code = """
import sys, firstsight
db = firstsight.open(sys.argv[1])
db.search('a mug')
print('lightgbm' in sys.modules)
db.promote_reranker(1)
print(db.search('a mug').reranker, 'lightgbm' in sys.modules)
"""
    own.drop_reranker()
    assert in_another_process(code, Path(own.uri)).splitlines() == ["False", "1 True"]


def without_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    from firstsight.retrieval.rerank import reranker

    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.delitem(sys.modules, "firstsight.retrieval.rerank.lambdamart", raising=False)
    monkeypatch.delattr("firstsight.retrieval.rerank.lambdamart", raising=False)
    reranker._model.cache_clear()


def test_without_lightgbm_the_extra_is_named(
    own: firstsight.Database, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lightgbm(monkeypatch)
    with pytest.raises(OptionalDependencyError, match=r"reranker 1 is in use.*pip install 'firstsight\[rerank\]'"):
        own.search("mug")
    assert own.search("mug", rerank=False).reranker is None
    assert own.search("mug", mode="words").reranker is None
    with pytest.raises(OptionalDependencyError, match=r"pip install 'firstsight\[rerank\]'"):
        own.fit_reranker(judgements=judged)
    own.drop_reranker()
    assert own.search("mug").reranker is None


# ---- what cannot be used


def kept(db: firstsight.Database, **changed: Any) -> RerankerVersion:
    """A promoted version like the first, with something changed."""
    first = vars(db.rerankers()[0]) | changed
    shelf = RerankerShelf(db.uri)
    made = shelf.add(RerankerVersion(**first))
    shelf.promote(made)
    return made


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model": "not a model"}, "it cannot be read"),
        ({"columns": ("sales",)}, "with other features"),
        ({"fingerprint": "f" * 64}, "another encoder's scores"),
    ],
)
def test_a_reranker_that_cannot_be_used_is_a_store_error(
    own: firstsight.Database, changed: dict[str, Any], reason: str
) -> None:
    made = kept(own, **changed)
    with pytest.raises(StoreError, match=rf"reranker {made.version} is in use .*{reason}.*firstsight rerank drop"):
        own.search("mug")
    assert own.search("mug", rerank=False)
    own.drop_reranker()
    assert own.search("mug")
    if "fingerprint" in changed:
        with pytest.raises(QueryError, match="another encoder"):
            own.promote_reranker(made.version)


# ---- in the evaluation


@pytest.mark.slow
def test_the_evaluation_shows_rerankers_beside_their_modes(own: firstsight.Database, judged: Path) -> None:
    own.fit_reranker(judgements=judged)
    (task,), _ = own.evaluate(judged, modes=["vector", "words", "hybrid"])
    figures = {report.mode: report.means["ndcg"] for report in task.modes}
    assert list(figures) == [
        "vector",
        "vector + reranker 2",
        "words",
        "hybrid",
        "hybrid + reranker 1",
        "hybrid + reranker 3 (not promoted)",
    ]
    assert figures["hybrid + reranker 1"] > figures["hybrid"] + 0.05
    assert figures["hybrid + reranker 1"] == figures["hybrid + reranker 3 (not promoted)"]
    assert sum("has learned from 32 of these 32 queries" in note for note in task.notes) == 3


@pytest.mark.slow
def test_an_evaluation_without_lightgbm_leaves_the_rerankers_out(
    shop: firstsight.Database, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lightgbm(monkeypatch)
    (task,), _ = shop.evaluate(judged, modes=["hybrid"])
    assert [report.mode for report in task.modes] == ["hybrid"]
    assert any("reranker 1 is left out" in note for note in task.notes)
