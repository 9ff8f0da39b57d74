"""Tags of a database: training, columns, precedence, corrections, versions and explanations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.database import open_tables
from firstsight.errors import QueryError, TagError
from firstsight.indexer.facts.item_facts import FactItem, FactView
from firstsight.storage.vector_format import vectors_of_column
from firstsight.understanding.tags.tag_facts import TagFacts
from tests.understanding.tags.conftest import SAMPLE, category_labels, sample_rows

CATEGORIES = {row["item_id"]: row["category"] for row in sample_rows()}
LABELLED = {row["item_id"] for row in category_labels()}


def columns(db: firstsight.Database, tag: str) -> dict[str, tuple[str | None, float | None, str | None]]:
    """Value, probability and source of a tag, by item."""
    names = [f"fact_tag_{tag}", f"fact_tag_{tag}_p", f"fact_tag_{tag}_by"]
    store = open_tables(db)
    values = store.column_values(sorted(CATEGORIES), names)
    return {item_id: tuple(row[name] for name in names) for item_id, row in values.items()}


def test_labelled_items_have_their_labels_and_others_predictions(tagged: firstsight.Database) -> None:
    found = columns(tagged, "category")
    assert {found[item_id] for item_id in LABELLED} == {(CATEGORIES[item_id], 1.0, "person") for item_id in LABELLED}
    predicted = {item_id: found[item_id] for item_id in found.keys() - LABELLED}
    assert {by for _, _, by in predicted.values()} == {"predicted"}
    answered = {item_id: value for item_id, (value, _, _) in predicted.items() if value is not None}
    assert 0 < len(answered) < len(predicted)  # some are "don't know"
    right = np.mean([CATEGORIES[item_id] == value for item_id, value in answered.items()])
    assert right >= 0.75
    model = next(one for one in tagged.tags.versions("category") if one.in_use)
    assert all(p >= model.cuts[0].cut for value, p, _ in predicted.values() if value is not None and p is not None)


def test_the_catalogues_own_value_comes_before_a_prediction(tagged: firstsight.Database) -> None:
    assert columns(tagged, "shelf")["hiking-boot"] == ("shoes", 1.0, "catalogue")


def test_an_item_may_have_several_values(tagged: firstsight.Database) -> None:
    model = next(one for one in tagged.tags.versions("attribute") if one.in_use)
    assert model.multi
    assert len(model.cuts) == len(model.tree.names) == 5
    assert columns(tagged, "attribute")["pineapple"] == ("edible, natural", 1.0, "person")
    (explained,) = tagged.tags.explain("pineapple", ["attribute"])
    assert {one.value for one in explained.probabilities[:2]} == {"edible", "natural"}


def test_new_items_get_the_same_tags_when_they_are_indexed(tagged: firstsight.Database) -> None:
    store = open_tables(tagged)
    ids = sorted(CATEGORIES)[:20]
    views = store.view_rows(ids)
    vectors = vectors_of_column(views["vector"]).reshape(len(views), store.spec.dim)
    of_item: dict[str, list[FactView]] = {}
    for row, vector in zip(views.drop_columns("vector").to_pylist(), vectors, strict=True):
        of_item.setdefault(row["item_id"], []).append(FactView(row["view_id"], row["part"], vector))
    items = [FactItem(one, None, None, {"category": CATEGORIES[one]}, of_item.get(one, ())) for one in ids]
    facts = TagFacts(store)
    computed = facts.values(items)
    stored = store.column_values(ids, [field.name for field in facts.fields])
    for item_id, row in zip(ids, computed, strict=True):
        for name, value in stored[item_id].items():
            assert row[name] == (pytest.approx(value, abs=1e-4) if isinstance(value, float) else value), (item_id, name)


def test_an_explanation_names_probabilities_sides_and_neighbours(tagged: firstsight.Database) -> None:
    item_id = next(one for one in sorted(CATEGORIES) if CATEGORIES[one] == "music" and one not in LABELLED)
    (explained,) = tagged.tags.explain(item_id, ["category"])
    assert (explained.by, explained.calibrated) == ("predicted", True)
    assert explained.probabilities[0].value == "music"
    assert explained.decided_by in ("pictures", "title")
    assert all(one.item_id != item_id for one in explained.neighbours)
    assert explained.neighbours[0].values == ("music",)
    json.dumps(explained.to_dict(), allow_nan=False)
    with pytest.raises(QueryError, match="no item 'nothing'"):
        tagged.tags.explain("nothing")
    with pytest.raises(TagError, match="no tag 'size'; the tags are attribute, category, shelf"):
        tagged.tags.explain(item_id, ["size"])


def test_a_correction_wins_and_becomes_a_label(own_tagged: firstsight.Database) -> None:
    (given,) = own_tagged.tags.correct("hiking-boot", {"shelf": " SPORTS "}, by="ana")
    assert (given.values, given.by) == (("sports",), "ana")  # spelled as the other values
    assert columns(own_tagged, "shelf")["hiking-boot"] == ("sports", 1.0, "person")
    own_tagged.tags.score(everything=True)
    assert columns(own_tagged, "shelf")["hiking-boot"] == ("sports", 1.0, "person")
    report = own_tagged.tags.train(tag="shelf", method="linear", use=False)  # from the column, as before
    (version,) = report.trained
    assert version.model.source.column == "category"
    place = version.model.seen.index("hiking-boot")
    own = version.model.held_out_p
    assert own is not None
    assert report.scored is None  # not in use
    assert own[place, 1] < 0.5  # the fits without it call it shoes
    own_tagged.tags.withdraw("hiking-boot", ["shelf"])
    assert columns(own_tagged, "shelf")["hiking-boot"] == ("shoes", 1.0, "catalogue")
    with pytest.raises(TagError, match="nobody gave the item 'hiking-boot'"):
        own_tagged.tags.withdraw("hiking-boot", ["shelf"])


def test_a_correction_to_nothing_is_kept(own_tagged: firstsight.Database) -> None:
    own_tagged.tags.correct("lemon", {"category": ""})
    assert columns(own_tagged, "category")["lemon"] == (None, 1.0, "person")


def test_wrong_corrections_are_refused(own_tagged: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="no item 'nothing'"):
        own_tagged.tags.correct("nothing", {"category": "toys"})
    with pytest.raises(TagError, match="one value of the tag category"):
        own_tagged.tags.correct("lemon", {"category": ["toys", "fruit"]})
    with pytest.raises(TagError, match="no name of a tag"):
        own_tagged.tags.correct("lemon", {"Category!": "toys"})


def test_a_worse_version_is_not_used(own_tagged: firstsight.Database) -> None:
    before = columns(own_tagged, "category")
    rng = np.random.default_rng(0)
    rows = category_labels()
    mixed = rng.permutation([row["label"] for row in rows]).tolist()
    wrong = [row | {"label": mixed[n]} if n % 2 else row for n, row in enumerate(rows)]
    report = own_tagged.tags.train(wrong, method="linear")
    (trained,) = report.trained
    assert trained.comparison.compared_with == "version 1"
    assert not trained.comparison.use
    assert not trained.model.in_use
    assert "not in use" in trained.comparison.reason
    used = own_tagged.tags.use(trained.model.version)
    assert used.in_use
    assert not own_tagged.tags.versions("category")[0].in_use
    assert columns(own_tagged, "category") != before


def test_labels_that_say_nothing_give_no_version_in_use(own_tagged: firstsight.Database) -> None:
    ids = sorted(CATEGORIES)
    labels = [{"item_id": item_id, "label": "even" if n % 2 else "odd"} for n, item_id in enumerate(ids)]
    report = own_tagged.tags.train(labels, tag="parity", method="linear", prompts=False)
    assert not report.trained[0].comparison.use
    assert report.trained[0].comparison.accuracy < 0.7
    assert report.scored is None


def test_a_taxonomy_without_labels_answers_by_prompts(own_tagged: firstsight.Database, tmp_path: Path) -> None:
    lines = ["Food > Fruit > Bananas", "Food > Fruit > Pineapples", "Food > Bread", "Music > Guitars", "Music > Drums"]
    (tmp_path / "own.txt").write_text("\n".join(lines), encoding="utf-8")
    report = own_tagged.tags.train(tag="aisle", taxonomy=tmp_path / "own.txt")
    (trained,) = report.trained
    assert trained.model.in_use
    assert not trained.model.calibrated
    assert "not calibrated" in trained.comparison.reason
    found = columns(own_tagged, "aisle")
    assert found["guitar-acoustic"][0] == "Music > Guitars"
    assert str(found["pineapple"][0]).startswith("Food > Fruit")
    with pytest.raises(TagError, match="made without labels"):
        own_tagged.tags.report("aisle")


def test_labels_of_a_taxonomy_are_fitted_level_by_level(own_tagged: firstsight.Database, tmp_path: Path) -> None:
    top = {"fruit": "Food", "kitchen": "Home", "furniture": "Home", "music": "Leisure", "toys": "Leisure"}
    paths = {name: f"{above} > {name.capitalize()}" for name, above in top.items()}
    (tmp_path / "own.txt").write_text("\n".join(paths.values()), encoding="utf-8")
    labels = [{"item_id": one, "label": name.upper()} for one, name in CATEGORIES.items() if name in top]
    report = own_tagged.tags.train(labels, tag="aisle", taxonomy=tmp_path / "own.txt", method="prompt-offset")
    (trained,) = report.trained
    assert trained.model.tree.names[:2] == ("Food", "Food > Fruit")
    assert trained.comparison.accuracy > 0.7
    predicted = columns(own_tagged, "aisle")["espresso-cup"]
    assert predicted == ("Home > Kitchen", 1.0, "person")
    with pytest.raises(TagError, match="row 1: the taxonomy has no category 'boats'"):
        own_tagged.tags.train([{"item_id": "lemon", "label": "boats"}], tag="aisle", taxonomy=tmp_path / "own.txt")


def test_a_report_measures_values_and_writes_a_page(tagged: firstsight.Database, tmp_path: Path) -> None:
    report = tagged.tags.report("category", html=tmp_path / "report.html", columns=["color"])
    assert report.items == len(LABELLED)
    assert sum(one.items for one in report.values) == len(LABELLED)
    assert report.coverage["person"] == len(LABELLED)
    assert {one.column for one in report.slices} == {"color"}
    assert report.calibration is not None
    json.dumps(report.to_dict(), allow_nan=False)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>Tag category" in page
    assert all(f"<td>{one.value}</td>" in page for one in report.values)
    several = tagged.tags.report("attribute")
    assert several.confusions == ()
    assert {one.value for one in several.values} == {"edible", "natural", "household", "instrument", "other"}
    with pytest.raises(TagError, match="no column 'sizes'"):
        tagged.tags.report("category", columns=["sizes"])


def test_only_unscored_items_are_looked_at_again(own_tagged: firstsight.Database) -> None:
    assert own_tagged.tags.score().items == 0
    store = open_tables(own_tagged)
    with store.writing():
        store.items.update(where="item_id = 'lemon'", values_sql={"fact_tag_category_by": "CAST(NULL AS STRING)"})
    report = own_tagged.tags.score()
    assert (report.items, report.written) == (1, 1)
    assert own_tagged.tags.score(everything=True).written == 0


def test_a_removed_tag_has_no_columns_and_no_labels(own_tagged: firstsight.Database) -> None:
    own_tagged.tags.remove("attribute")
    assert not any(name.startswith("fact_tag_attribute") for name in open_tables(own_tagged).items.schema.names)
    assert [one.in_use for one in own_tagged.tags.versions("attribute")] == [False]
    with pytest.raises(TagError, match="no tag 'attribute'"):
        own_tagged.tags.remove("attribute")


def test_tags_block_a_switch_to_an_encoder_that_they_do_not_fit(tagged: firstsight.Database) -> None:
    from firstsight.api.models.dependent_models import models_of_other_encoders

    store = open_tables(tagged)
    described = [one.describe() for one in models_of_other_encoders(store, "another")]
    assert "tag 1 (firstsight tags train --tag category)" in described
    assert not [one for one in models_of_other_encoders(store, store.spec.fingerprint) if one.kind == "tag"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": [{"item_id": "lemon", "label": "fruit"}], "column": "category"}, "give labels or --column"),
        ({"column": "nothing"}, "no column 'nothing'"),
        ({"labels": [{"item_id": "lemon", "label": ""}]}, "row 1: the label of item 'lemon' is empty"),
        ({"labels": [{"item_id": "none", "label": "a"}]}, "row 1: there is no item 'none'"),
        ({"labels": [{"item_id": "lemon", "label": "a"}]}, "have 1 values; label items of two values"),
        ({"tag": "size"}, "there are no labels of the tag 'size'"),
        ({"column": "category", "method": "magic"}, "no method 'magic'"),
        ({"column": "category", "precision": 1.5}, "precision 1.5"),
        ({"separator": "|"}, "belong to --column"),
        ({"branches": ["Food"]}, "with --taxonomy"),
        ({"column": "category", "templates": ["a photo"]}, "no {} for the value"),
    ],
)
def test_wrong_input_is_one_clear_sentence(tagged: firstsight.Database, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TagError, match=message):
        tagged.tags.train(**given)


def test_new_and_changed_items_are_tagged_by_an_index_run(own_tagged: firstsight.Database) -> None:
    own_tagged.tags.correct("hiking-boot", {"shelf": "sports"})
    picture = str(SAMPLE.parent / "pictures" / "guitar-electric.jpg")
    own_tagged.add(
        [
            {"item_id": "new-guitar", "title": "Electric guitar with a maple neck", "images": picture},
            {"item_id": "hiking-boot", "title": "Hiking boot for rocks", "category": "shoes"},
        ]
    )
    store = open_tables(own_tagged)
    names = ["fact_tag_category", "fact_tag_category_by", "fact_tag_shelf", "fact_tag_shelf_by"]
    rows = store.column_values(["new-guitar", "hiking-boot"], names)
    assert (rows["new-guitar"]["fact_tag_category"], rows["new-guitar"]["fact_tag_category_by"]) == (
        "music",
        "predicted",
    )
    assert (rows["hiking-boot"]["fact_tag_shelf"], rows["hiking-boot"]["fact_tag_shelf_by"]) == ("sports", "person")


def test_filters_use_tags(tagged: firstsight.Database) -> None:
    results = tagged.search("something", where="tags.category = 'music' AND tags.category_p > 0.9", k=50)
    expected = {
        item_id for item_id, (value, p, _) in columns(tagged, "category").items() if value == "music" and p and p > 0.9
    }
    assert {result.item_id for result in results} == expected
