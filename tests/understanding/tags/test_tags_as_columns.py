"""Facts and tags where a column of the catalogue can be given: exports, maps, groups of results, caps, tables."""

from __future__ import annotations

import json

import pytest

import firstsight
from firstsight.retrieval.export.file_formats import json_lines
from tests.cli.calling import call_in_process


def test_tags_are_one_column_of_an_export_and_each_by_name(tagged: firstsight.Database) -> None:
    table = tagged.to_arrow(vectors=False).read_all()
    assert table.schema.names[-4:] == ["colour", "colours", "language", "tags"]
    by_name = tagged.to_arrow(["item_id", "tags.category", "tags.category_p", "tags"], vectors=False).read_all()
    for row in by_name.to_pylist():
        assert row["tags"]["category"] == row["tags.category"]
        assert row["tags"]["category_p"] == row["tags.category_p"]
    (line, *_) = json_lines(by_name.to_batches()[0]).splitlines()
    assert json.loads(line)["tags"].keys() >= {"category", "shelf", "attribute"}


def test_a_fact_or_a_tag_groups_colours_and_caps_as_a_column_does(tagged: firstsight.Database) -> None:
    known = "tags.category IS NOT NULL"
    results = tagged.search("a nice thing", collapse="tags.category", where=known, k=5)
    found = [tagged.get(result.item_id).facts["tags"]["category"] for result in results]
    assert len(set(found)) == len(found) == 5
    with pytest.raises(firstsight.QueryError, match=r"'colours.red' is a share or a measure; collapse by a column"):
        tagged.search("a nice thing", collapse="colours.red")
    space = tagged.evaluation.space_map(color_by="tags.category", method="pca")
    assert space.colourings[0].column == "tags.category"
    assert {"colour", "category"} <= {colouring.column for colouring in space.colourings}
    tasks = tagged.evaluation.search(group_by=["tags.category", "colour"], queries=3, k=5)
    assert "tags.category + colour to items" in {task.name for task in tasks}


def test_tables_show_facts_by_name(
    tagged: firstsight.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRSTSIGHT_DB", str(tagged.uri))
    words = ("search", "red shoes", "-k", "2", "--columns", "item,colour,colours.red,tags.category", "--csv")
    code, out, err = call_in_process(monkeypatch, capsys, *words)
    assert code == 0, err
    header, first, _ = out.splitlines()
    assert header == "item,colour,colours.red,tags.category"
    assert first.startswith("sneakers-red,red,0.67")
