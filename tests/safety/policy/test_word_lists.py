"""Words of policies in titles and texts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from firstsight.encoders.base import EncoderSpec
from firstsight.errors import SafetyError
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.safety.policy.word_lists import match_words
from firstsight.safety.scoring.scoring_run import score
from firstsight.storage.store import Store
from tests.safety.conftest import Catalogue
from tests.safety.scored_items import decision_of
from tests.safety.scoring.test_scoring import make_head, promote

WORDS = """
policies:
  - {id: weapons, severity: 4, words: [ammo, "gun (real)", 武器], block_words: ["Sturmgewehr  44", straße]}
  - {id: alcohol, severity: 2, words: [rum]}
"""


def titled(path: Path, titles: dict[str, tuple[str | None, str | None]]) -> Store:
    store = Store.create(path, EncoderSpec("drawn", 8, 32, "d"))
    common = {"kind": "product", "digest": "d", "row_digest": "r", "catalog_dir": "/", "run_id": "r"}
    common["indexed_at"] = datetime.now(UTC)  # type: ignore[assignment]
    with store.writing():
        store.write_items([common | {"item_id": i, "title": t, "text": x} for i, (t, x) in titles.items()])
    return store


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("AMMO box", ["ammo"]),
        ("box of ammo", ["ammo"]),
        ("ａｍｍｏ, cheap", ["ammo"]),  # full width
        ("ammonite", []),
        ("a gun  (real)!", ["gun (real)"]),
        ("古い武器です", ["武器"]),
        ("STURMGEWEHR 44", ["Sturmgewehr  44"]),
        ("Sturmgewehr 445", []),
        ("Straße", ["straße"]),
        ("trumpet with rum", ["rum"]),
        ("rümpfe", []),
        (None, []),
    ],
)
def test_words_are_whole_words_in_any_case_and_width(tmp_path: Path, title: str | None, found: list[str]) -> None:
    policies = parse_policies(WORDS, "w.yaml")
    for field in ("title", "text"):
        store = titled(tmp_path / field, {"one": (title, None) if field == "title" else ("plain", title)})
        matches = match_words(store, policies.in_force)
        assert [match.word for match in matches] == found
        assert {match.field for match in matches} <= {field}


def test_a_title_alone_flags_an_item_and_a_corrected_title_releases_it(catalogue: Catalogue) -> None:
    policies = parse_policies(
        "policies:\n  - {id: weapons, severity: 4, words: [ammo], block_words: [bomb]}\n"
        "  - {id: alcohol, severity: 2}\n",
        "w.yaml",
    )
    promote(catalogue.store, make_head(catalogue))
    log = AuditLog.of(catalogue.store.uri)

    def scored() -> int:
        return score(catalogue.store, policies).scored

    def call(item_id: str, title: str) -> None:
        with catalogue.store.writing():
            catalogue.store.items.update(where=f"item_id = '{item_id}'", values={"title": title})

    call("i00001", "boxes of ammo")
    call("i00002", "A BOMB, and ammo")
    scored()
    assert [decision_of(catalogue.store, i) for i in ("i00001", "i00002", "i00003")] == ["review", "block", "allow"]
    row = ScoreTable(catalogue.store).row("i00002")
    assert row is not None
    assert [(one.source, one.part, one.note) for one in row["record"].evidence] == [
        ("words", "title", "'bomb' in its title"),
        ("words", "title", "'ammo' in its title"),
    ]
    logged = len(list(log.entries(kinds=["decision"])))
    assert scored() == 0  # what stands as it stood is not decided, nor logged, again
    assert len(list(log.entries(kinds=["decision"]))) == logged
    call("i00002", "a bath ball")
    assert scored() == 1
    assert decision_of(catalogue.store, "i00002") == "allow"
    last = list(log.entries(subject="i00002", kinds=["decision"]))[-1]
    assert last.record["action"] == "allow"  # an allow of what was blocked is logged, too


def test_words_need_a_policy_that_looks_at_titles(policies: Policies) -> None:
    with pytest.raises(SafetyError, match="add title to its parts"):
        parse_policies("policies: [{id: gore, parts: [image], words: [blood]}]", "w.yaml")
    renamed = parse_policies(WORDS.replace("severity: 4", "severity: 4, name: Arms"), "w.yaml")
    assert renamed.version == parse_policies(WORDS, "w.yaml").version
    assert parse_policies(WORDS.replace("rum", "gin"), "w.yaml").version != renamed.version


def test_a_word_in_timed_text_names_its_line_and_second(tmp_path: Path) -> None:
    store = titled(tmp_path / "db", {"a": ("a talk", None), "b": ("ammo", None)})
    common = {"part": "transcript", "uri": "talk.mp4", "vector": [1.0] + [0.0] * 7, "time_s": 5.0}
    passages = {
        "a#transcript-0-0-1": ("a", "later, more AMMO", [65.0]),
        "a#transcript-0-0-0": ("a", "we start\nwith a gun\n(real) and ammo for it", [5.0, 7.5, 9.0]),
        "b#transcript-0-0-0": ("b", "a box of ammonite", [1.0]),
    }
    with store.writing():
        rows = [
            common | {"view_id": view, "item_id": item, "text": text, "line_starts": starts}
            for view, (item, text, starts) in passages.items()
        ]
        store.write_views(rows, replaced=())
    policies = parse_policies(WORDS, "w.yaml").in_force
    matches = match_words(store, policies)
    assert [(m.item_id, m.word, m.field, m.time_s) for m in matches] == [
        ("b", "ammo", "title", None),
        ("a", "ammo", "timed text", 9.0),
        ("a", "gun (real)", "timed text", 7.5),
    ]
    evidence = matches[1].evidence()
    assert (evidence.part, evidence.view_id, evidence.uri) == ("transcript", "a#transcript-0-0-0", "talk.mp4")
    assert (evidence.time_s, evidence.note) == (9.0, "'ammo' in its timed text: (real) and ammo for it")
