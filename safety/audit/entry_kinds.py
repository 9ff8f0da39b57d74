"""Kinds of the entries in the audit log. Stored logs hold these words, so they never change."""

from __future__ import annotations

DECISION = "decision"
"""A scoring's decision about an item: `Decision.to_dict()` and the inputs of the decision.

The inputs are `scores` (policy id -> probability), `cuts` (policy id -> [review, block or null]) and `standing` (null,
or the override's action and whether a person chose it).
"""

SCORE = "score"
"""One scoring run: its settings and counts."""

OVERRIDE = "override"
"""A person's decision about an item."""

APPEAL = "appeal"
"""An objection to the decision about an item."""

OVERTURN = "overturn"
"""A person's decision that reverses the one before it."""

REVIEW_KINDS = (OVERRIDE, APPEAL, OVERTURN)
"""Entries that people make."""

TRAIN = "train"
"""A trained head, and whether it scores from then on."""

ADOPT = "adopt"
"""Adoption of this log by a database; the subject is `ADOPTION_SUBJECT`."""

ADOPTION_SUBJECT = "audit-log"

HASHES = "hashes"
"""A change of the hash bank; the subject is `HASH_BANK_SUBJECT`."""

HASH_BANK_SUBJECT = "hash-bank"
"""Subject of the changes of the hash bank."""
