"""A/B buckets: a stable share of the users, without a table of users."""

from __future__ import annotations

import hashlib
from typing import Final

BUCKETS: Final = 100
"""Number of buckets; each has one percent of the users."""


def bucket_of(user_id: str, experiment: str = "") -> int:
    """The bucket of a user in an experiment: the same in every process, and independent between experiments.

    Args:
        user_id: id of the user.
        experiment: name of the experiment.

    Returns:
        0 to 99: the first eight bytes of the SHA-256 of the experiment, a zero byte and the user id, modulo 100.
    """
    digest = hashlib.sha256(f"{experiment}\0{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS
