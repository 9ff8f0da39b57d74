"""Rerankers are fitted, promoted, dropped and evaluated; search works without any."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import OptionalDependencyError, QueryError, StoreError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.fetch_batching import run_rankings
from firstsight.retrieval.ranking.relevance import RelevanceCalibration
from firstsight.retrieval.rerank.candidate_features import feature_names, features
from firstsight.retrieval.reranker_store import RerankerShelf, RerankerVersion
from firstsight.retrieval.search import make_rankers
from firstsight.storage.store import Store
from tests.retrieval.rerank.sales_catalogue import by_nothing, by_sales, gain, ids, write_lines

# ---- fitting and the promotion rule


@pytest.mark.slow
def test_what_helps_is_learned_promoted_used_and_dropped(db: firstsight.Database, judged: Path) -> None:
    made = db.rerankers.fit(judgements=judged)
    assert (made.version, made.mode, made.promoted) == (1, "hybrid", False)
    assert made.columns == ("sales", "in_stock")
    assert made.figures["queries"] == 32
    assert made.figures["ndcg_after"] > made.figures["ndcg_before"] + 0.05
    assert made.figures["p"] < 0.01
    text = "one good mug"  # not a training query
    before = db.search(text, k=40)
    assert before.reranker is None  # fitted but not promoted, so not in use
    assert db.rerankers.promote().promoted
    after = db.search(text, k=40)
    assert after.reranker == 1
    assert sorted(ids(after)) == sorted(ids(before))
    assert gain(after, "mug") > gain(before, "mug")
    assert ids(db.search(text, k=40, rerank=False)) == ids(before)
    assert [one.version for one in db.rerankers.drop()] == [1]
    assert ids(db.search(text, k=40)) == ids(before)
    assert [one.promoted for one in db.rerankers.versions()] == [False]


@pytest.mark.slow
def test_what_does_not_help_is_refused_with_its_figures(db: firstsight.Database, tmp_path: Path) -> None:
    made = db.rerankers.fit(judgements=write_lines(tmp_path / "j.jsonl", by_nothing()))
    with pytest.raises(QueryError) as caught:
        db.rerankers.promote()
    assert f"on 32 held-out queries is {made.figures['ndcg_after']:.4f} with it" in str(caught.value)
    assert "p < 0.05" in str(caught.value)
    assert not any(version.promoted for version in db.rerankers.versions())
    assert db.search("mug").reranker is None


@pytest.mark.slow
def test_one_version_of_a_mode_is_in_use(own: firstsight.Database, judged: Path) -> None:
    assert own.rerankers.fit(judgements=judged).version == 3
    assert own.rerankers.promote().version == 3
    assert [(one.mode, one.promoted) for one in own.rerankers.versions()] == [
        ("hybrid", False),
        ("vector", True),
        ("hybrid", True),
    ]
    assert own.search("mug").reranker == 3
    assert own.rerankers.promote(1).version == 1
    assert own.search("mug").reranker == 1
    assert own.search("mug", mode="vector").reranker == 2
    assert [one.version for one in own.rerankers.drop(2)] == [2]
    assert own.search("mug", mode="vector").reranker is None
    with pytest.raises(QueryError, match=r"there is no reranker 7 in .*; its versions: 1, 2, 3"):
        own.rerankers.promote(7)


def test_other_processes_see_what_is_promoted_and_dropped(own: firstsight.Database, starter: Encoder) -> None:
    other = firstsight.open(own.uri, encoder=starter)
    assert other.search("mug").reranker == 1
    own.rerankers.drop()
    assert other.search("mug").reranker is None
    own.rerankers.promote(1)
    assert other.search("mug").reranker == 1


@pytest.mark.slow
def test_a_fit_gives_the_same_model_again(own: firstsight.Database, judged: Path) -> None:
    again = own.rerankers.fit(judgements=judged)
    first = own.rerankers.versions()[0]
    assert (again.model, again.figures, again.learned) == (first.model, first.figures, first.learned)


@pytest.mark.slow
def test_events_teach_what_judgements_do(db: firstsight.Database, tmp_path: Path) -> None:
    names = ["impression", "click", "add_to_cart", "purchase"]
    events = [
        {"query": row["query"], "item_id": row["item_id"], "event": event}
        for row in by_sales()
        for event in names[: row["grade"] + 1]
    ]
    made = db.rerankers.fit(events=write_lines(tmp_path / "e.jsonl", events), columns=["sales"])
    assert made.columns == ("sales",)
    assert db.rerankers.promote().version == made.version


def test_a_fit_that_cannot_be_says_why(db: firstsight.Database, judged: Path, tmp_path: Path) -> None:
    few = write_lines(tmp_path / "few.jsonl", by_sales()[:16])
    with pytest.raises(QueryError, match="0 of 2 judged text queries are usable, and 20 are needed"):
        db.rerankers.fit(judgements=few)
    with pytest.raises(QueryError, match=r"'title' is no numeric or flag column of .*: sales, in_stock"):
        db.rerankers.fit(judgements=judged, columns=["title"])
    with pytest.raises(QueryError, match="mode 'meaning' is not one of vector, words, hybrid"):
        db.rerankers.fit(judgements=judged, mode="meaning")
    with pytest.raises(QueryError, match="give one file to learn from: --judgements or --events"):
        db.rerankers.fit()
    with pytest.raises(QueryError, match="fit one with: firstsight rerank fit"):
        db.rerankers.promote()
    assert db.rerankers.drop() == []


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
        assert item.vector is not None
        assert seen["vector_score"] == pytest.approx(float(item.vector @ ranker.encoded.vector), abs=1e-5)
        assert seen["words_score"] >= 0
        named = {"espresso", "cup"} & set(re.findall(r"\w+", f"{item.title} {item.text}".lower()))
        assert seen["words_score"] > 0 or not named
        assert seen["query_words"] == 2
        for part in ("title", "image", "frame"):
            cosines = [float(view.vector @ ranker.encoded.vector) for view in item.views if view.part == part]
            expected = max(cosines, default=float("nan"))
            assert seen[f"{part}_score"] == pytest.approx(expected, abs=1e-5, nan_ok=True)
        created, price = item.created_at, item.columns["price"]
        age = (datetime(2026, 1, 1, tzinfo=UTC) - created).days if created else float("nan")
        assert seen["age_days"] == pytest.approx(age, abs=1, nan_ok=True)
        assert seen["price"] == pytest.approx(float("nan") if price is None else price, nan_ok=True)
        assert [seen[f"kind={kind}"] for kind in ("product", "video", "live")] == [
            float(item.kind == kind) for kind in ("product", "video", "live")
        ]


# ---- optional dependency


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
db.rerankers.promote(1)
print(db.search('a mug').reranker, 'lightgbm' in sys.modules)
"""
    own.rerankers.drop()
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
    with pytest.raises(OptionalDependencyError, match=r"reranker 1 is promoted.*pip install 'firstsight\[rerank\]'"):
        own.search("mug")
    assert own.search("mug", rerank=False).reranker is None
    assert own.search("mug", mode="words").reranker is None
    with pytest.raises(OptionalDependencyError, match=r"pip install 'firstsight\[rerank\]'"):
        own.rerankers.fit(judgements=judged)
    own.rerankers.drop()
    assert own.search("mug").reranker is None


# ---- unusable rerankers


def kept(db: firstsight.Database, **changed: Any) -> RerankerVersion:
    """A promoted version like the first, with some fields changed."""
    first = vars(db.rerankers.versions()[0]) | changed
    shelf = RerankerShelf(db.uri)
    made = shelf.add(RerankerVersion(**first))
    shelf.promote(made)
    return made


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model": "not a model"}, "its model cannot be read"),
        ({"columns": ("sales",)}, "with other features"),
        ({"fingerprint": "f" * 64}, "another encoder's scores"),
    ],
)
def test_a_reranker_that_cannot_be_used_is_a_store_error(
    own: firstsight.Database, changed: dict[str, Any], reason: str
) -> None:
    made = kept(own, **changed)
    with pytest.raises(StoreError, match=rf"reranker {made.version} is promoted .*{reason}.*firstsight rerank drop"):
        own.search("mug")
    assert own.search("mug", rerank=False)
    own.rerankers.drop()
    assert own.search("mug")
    if "fingerprint" in changed:
        with pytest.raises(QueryError, match="another encoder"):
            own.rerankers.promote(made.version)


# ---- in the evaluation


@pytest.mark.slow
def test_the_evaluation_shows_rerankers_beside_their_modes(own: firstsight.Database, judged: Path) -> None:
    own.rerankers.fit(judgements=judged)
    (task,) = own.evaluation.search(judged, modes=["vector", "words", "hybrid"])
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
    assert sum("was trained on 32 of these 32 queries" in note for note in task.notes) == 3


@pytest.mark.slow
def test_an_evaluation_without_lightgbm_leaves_the_rerankers_out(
    shop: firstsight.Database, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_lightgbm(monkeypatch)
    (task,) = shop.evaluation.search(judged, modes=["hybrid"])
    assert [report.mode for report in task.modes] == ["hybrid"]
    assert any("reranker 1 is skipped" in note for note in task.notes)
