"""Trained safety heads, in the Python API: list them, and choose which are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection

# `policy_heads` uses scipy, which takes a second to import: methods import it.
if TYPE_CHECKING:
    from firstsight.safety.policy.policy_heads import Head, HeadShelf


class SafetyHeads:
    """The heads of one database: a classifier of views for each policy, in numbered versions.

    `Safety.train` and `Safety.retrain` make heads. Decisions change at the next `Safety.score`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def versions(self, policy: str | None = None) -> tuple[Head, ...]:
        """Return all heads with their held-out figures, oldest first.

        Args:
            policy: only heads of this policy.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.policy.policy_heads import HeadShelf

        return tuple(HeadShelf(self._connection.open()).versions(policy))

    def promote(self, versions: int | Sequence[int], *, wait_s: float = 0.0) -> None:
        """Put heads into use, each instead of the head of its policy; one commit changes all or none.

        Args:
            versions: version of a head, or several versions, at most one of each policy.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            SafetyError: a version does not exist, or two heads are for one policy.
            AuditLogError: the audit log belongs to another database, or is lost, cut or changed.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        chosen = [versions] if isinstance(versions, int) else list(versions)
        self._change(lambda shelf: shelf.promote(chosen), wait_s)

    def drop(self, policies: str | Sequence[str], *, wait_s: float = 0.0) -> None:
        """Take the heads of policies out of use; all versions stay stored, and can be promoted again.

        Args:
            policies: id of a policy, or several ids.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            AuditLogError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `promote`.
        """
        dropped = [policies] if isinstance(policies, str) else list(policies)
        self._change(lambda shelf: shelf.drop(dropped), wait_s)

    def _change(self, change: Callable[[HeadShelf], None], wait_s: float) -> None:
        from firstsight.safety.audit.bound_log import BoundLog
        from firstsight.safety.policy.policy_heads import HeadShelf

        store = self._connection.open()
        with store.writing(wait_s):
            BoundLog.open(store)  # finishes a training that was killed, so that it cannot promote its heads later
            change(HeadShelf(store))
