"""Names for the database of the fixture `db`: its two items of interest, its policies and its audit log."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from firstsight.safety.audit.audit_log import HEAD_FILE, LOG_FILE, AuditLog
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.review import review_actions
from tests.safety.conftest import POLICIES

BLOCKED, APPEALED = "i00007", "i00010"  # by a person; by its scores

POLICY = parse_policies(POLICIES, "policies.yaml")
decide: Any = partial(review_actions.decide, policies=POLICY, policy_ids=["weapons"], reason="seen", by="ana")


def log_of(path: Path) -> AuditLog:
    return AuditLog.of(str(path))


def files(path: Path) -> tuple[Path, Path]:
    return path / LOG_FILE, path / HEAD_FILE
