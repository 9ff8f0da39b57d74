"""A database of a few items with decisions and scores, as scoring leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.encoders.base import EncoderSpec
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.storage.store import Store

POLICIES_TEXT = """
policies:
  - {id: weapons, severity: 5}
  - {id: alcohol, severity: 2}
"""
POLICIES: Policies = parse_policies(POLICIES_TEXT, "test.yaml")

Scored = Mapping[str, tuple[str | None, Mapping[str, float], float]]
"""Item -> (decision, scores, views)."""


def make_store(path: Path, scored: Scored, *, with_decisions: bool = True) -> Store:
    """Write items with digests, decisions, scores, and a column `views` that tells their reach."""
    store = Store.create(path, EncoderSpec("drawn", 8, 32, "d"))
    store.add_columns({"views": "number", "colour": "text"})
    if with_decisions:
        store.write_safety({})
    now = datetime.now(UTC)
    rows = []
    for item_id, (decision, scores, views) in scored.items():
        row: dict[str, Any] = {
            "item_id": item_id,
            "kind": "product",
            "title": f"thing {item_id}",
            "digest": f"digest-{item_id}",
        }
        row |= {"row_digest": "r", "catalog_dir": "/", "run_id": "r", "indexed_at": now, "views": views}
        row |= {"vector": np.eye(8, dtype=np.float32)[0]}
        rows.append(
            row | ({"safety_decision": decision, "safety_scores": json.dumps(dict(scores))} if with_decisions else {})
        )
    with store.writing():
        store.write_items(rows)
    return store


def change_item(store: Store, item_id: str) -> None:
    """Let what is encoded of an item be another."""
    with store.writing():
        store.items.update(where=f"item_id = '{item_id}'", values={"digest": "another"})


def decision_of(store: Store, item_id: str) -> str:
    """Return the action for an item now."""
    store.refresh()
    found: str | None = store.item_rows([item_id])[item_id]["safety_decision"]
    return found or "allow"
