"""A policy's words in the text of pictures send items to review, with the picture and the place as evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.policy.word_lists import match_words
from firstsight.safety.review.explanation import explain
from firstsight.safety.scoring.scoring_run import score
from tests.safety.conftest import Catalogue
from tests.safety.scored_items import decision_of
from tests.safety.scoring.test_scoring import make_head, promote
from tests.understanding.ocr.stored_texts import store_texts

WORDS = """
policies:
  - {id: weapons, severity: 4, words: [ammo], block_words: ["for sale", 武器]}
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "db", 40)


def test_words_in_pictures_go_to_review_even_if_they_block_in_titles(catalogue: Catalogue) -> None:
    policies = parse_policies(WORDS, "w.yaml")
    promote(catalogue.store, make_head(catalogue))
    log = AuditLog.of(catalogue.store.uri)
    score(catalogue.store, policies)
    assert decision_of(catalogue.store, "i00001") == "allow"
    texts = {
        "i00001#image-1": ["Cheap", "guns FOR", "SALE"],
        "i00002#frame-0-2": ["new AMMO"],
        "i00003#image-0": ["am"],
    }
    store_texts(catalogue.store, texts)
    score(catalogue.store, policies)
    assert [decision_of(catalogue.store, i) for i in ("i00001", "i00002", "i00003")] == ["review", "review", "allow"]
    (piece,) = (e for e in explain(catalogue.store, "i00001", policies).evidence if e.source == "words")
    assert (piece.policy_id, piece.view_id, piece.part) == ("weapons", "i00001#image-1", "image")
    assert piece.note == "'for sale' in the text of its image at x 10% to 50%, y 20% to 30%: guns FOR"
    (frame,) = (e for e in explain(catalogue.store, "i00002", policies).evidence if e.source == "words")
    assert (frame.view_id, frame.part, frame.time_s is None) == ("i00002#frame-0-2", "frame", False)
    last = list(log.entries(subject="i00001", kinds=["decision"]))[-1]
    assert last.record["action"] == "review"
    assert last.record["evidence"][0]["view_id"] == "i00001#image-1"
    assert score(catalogue.store, policies).scored == 0  # unchanged evidence is not decided again
    store_texts(catalogue.store, {})
    score(catalogue.store, policies)
    assert decision_of(catalogue.store, "i00001") == "allow"


def test_a_word_is_matched_once_for_an_item_in_any_width(catalogue: Catalogue) -> None:
    store_texts(
        catalogue.store, {"i00001#image-0": ["ＡＭＭＯ"], "i00001#image-1": ["ammo"], "i00002#image-0": ["古い武器"]}
    )
    matches = match_words(catalogue.store, parse_policies(WORDS, "w.yaml").in_force)
    assert [(m.item_id, m.word, m.action, m.view_id) for m in matches] == [
        ("i00001", "ammo", "review", "i00001#image-0"),
        ("i00002", "武器", "review", "i00002#image-0"),
    ]
