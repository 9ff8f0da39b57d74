"""Models that were fitted to the vectors of one encoder, and the commands that fit them again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from firstsight.heads.model_shelf import ShelfSpec
from firstsight.records import Record
from firstsight.storage.semantic_id_table import newest_fingerprint, newest_version
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store

_SHELVES: Final = (
    ("rerankers", "firstsight.retrieval.reranker_store", ""),
    ("personal_search_models", "firstsight.recommend.personal_search.personal_search_store", ""),
    ("cold_start_models", "firstsight.recommend.models.cold_start_model", ""),
    ("sequence_models", "firstsight.recommend.sequence.sequence_store", " --fresh"),
    ("ranking_models", "firstsight.recommend.ranking.ranking_store", ""),
    ("safety_heads", "firstsight.safety.policy.policy_heads", ""),
    ("tag_models", "firstsight.understanding.tags.models.tag_model", ""),
)
"""Table, module with its SHELF_SPEC, and option of the command for models of another encoder."""


@dataclass(frozen=True)
class DependentModel(Record):
    """A model in use that belongs to the vectors of one encoder."""

    kind: str  # such as "reranker" or "head"
    version: int
    fingerprint: str  # of the encoder
    command: str  # fits it again, to the vectors in force

    def describe(self) -> str:
        """The model and the command, for messages."""
        return f"{self.kind} {self.version} ({self.command})"


def models_of_other_encoders(store: Store, fingerprint: str) -> list[DependentModel]:
    """List the models in use that do not fit the vectors of an encoder.

    Args:
        store: the database.
        fingerprint: of the encoder.
    """
    found = []
    for table, module, option in _SHELVES:
        if open_side_table(store, table) is None:  # its module may import large libraries
            continue
        spec: ShelfSpec[Any] = import_module(module).SHELF_SPEC
        found += [
            DependentModel(_kind(spec), version, of, _command(spec, of_row) + option)
            for version, of, of_row in _in_use(store, spec)
            if of != fingerprint
        ]
    of = newest_fingerprint(store)
    if of is not None and of != fingerprint:
        found.append(DependentModel("semantic IDs", newest_version(store) or 0, of, "firstsight semantic-ids fit"))
    return found


def _in_use(store: Store, spec: ShelfSpec[Any]) -> list[tuple[int, str, dict[str, Any]]]:
    table = open_side_table(store, spec.table)
    if table is None:
        return []
    columns: list[str] = [
        name for name in ("version", "fingerprint", "kind", "policy_id", "tag", "figures") if name in table.schema.names
    ]
    rows = table.search().where(spec.flag).select(columns).limit(None).to_arrow().to_pylist()
    return [(int(row["version"]), str(row["fingerprint"]), row) for row in sorted(rows, key=lambda r: r["version"])]


def _kind(spec: ShelfSpec[Any]) -> str:
    return "safety head" if spec.noun == "head" else spec.noun.replace("version of a ", "").replace("version of ", "")


def _command(spec: ShelfSpec[Any], row: dict[str, Any]) -> str:
    if row.get("kind") == "zero_shot":  # made from the prompts of its policy, by the next scoring
        return "firstsight safety score"
    if row.get("kind") == "head":
        return f"{spec.fit_command} LABELS.csv"
    if row.get("tag") is not None:
        return f"{spec.fit_command} --tag {row['tag']}"
    if spec.table == "cold_start_models" and json.loads(row["figures"]).get("tuned"):  # it has a content map
        return f"{spec.fit_command} --tune"
    return spec.fit_command
