"""A scored database with a decision by a person and an open appeal."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.safety.review import review_actions
from firstsight.safety.scoring.scoring_run import score
from tests.safety.audit.decided_database import APPEALED, BLOCKED, POLICY, decide, log_of
from tests.safety.conftest import Catalogue
from tests.safety.scoring.test_scoring import make_head, promote


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A scored database in which a person has blocked an item, and somebody appeals against another."""
    catalogue = Catalogue(tmp_path / "db", 40)
    store = catalogue.store
    promote(store, make_head(catalogue))
    score(store, POLICY)
    decide(store, log_of(catalogue.path), BLOCKED, "block")
    review_actions.appeal(store, log_of(catalogue.path), APPEALED, reason="a toy", by="seller")
    return catalogue.path
