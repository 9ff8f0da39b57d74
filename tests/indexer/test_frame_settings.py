"""The frame rule in the settings of an index run: it is normalised, stored with the run, and part of digests."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from firstsight.indexer.assembly import encode_digest
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.row_reader import CatalogItem
from firstsight.indexer.run_recipe import Recipe
from firstsight.media.policy import MediaPolicy
from tests.cli.calling import call_in_process


def item(*videos: str) -> CatalogItem:
    return CatalogItem("a", "product", "a thing", None, (), videos, None, None, None, {})


@pytest.mark.parametrize(("given", "kept"), [(8, "uniform:8"), ("every:2.0", "every:2"), ("auto", "auto")])
def test_a_rule_has_one_spelling_and_a_number_means_uniform(given: str | int, kept: str) -> None:
    assert IndexSettings(frames=given).frames == kept


@pytest.mark.parametrize(
    ("frames", "max_frames", "words"), [("some", 64, "'some'"), (0, 64, "uniform:0"), (100, 64, "64"), ("all", 0, "0")]
)
def test_a_bad_rule_is_refused_when_the_settings_are_made(frames: str | int, max_frames: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        IndexSettings(frames=frames, max_frames=max_frames)


def test_another_rule_or_limit_encodes_items_with_videos_again_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"v")
    policy = MediaPolicy(root=tmp_path)
    ways = [IndexSettings(), IndexSettings(frames=8), IndexSettings(max_frames=32)]
    for thing, digests in ((item("v.mp4"), 3), (item(), 1)):
        assert len({encode_digest(thing, settings, policy) for settings in ways}) == digests


def test_a_run_keeps_its_rule_and_one_of_an_earlier_version_is_still_read() -> None:
    recipe = Recipe.of("-", None, IndexSettings(frames="every:2", max_frames=9), MediaPolicy())
    plain = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(plain) == recipe
    plain["settings"]["frames"] = 8  # as in runs of versions without rules
    assert Recipe.from_dict(plain).settings.frame_rule.frame_limit == 8


@pytest.mark.parametrize("rule", ["some", "uniform:513", "every:0"])
def test_the_command_refuses_a_bad_rule_as_wrong_usage(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = partial(call_in_process, monkeypatch, capsys)
    code, _, said = run("index", str(tmp_path), "--db", str(tmp_path / "db"), "--frames", rule)
    assert code == 2
    assert rule in said
    assert not (tmp_path / "db").exists()
