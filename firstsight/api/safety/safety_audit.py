"""The audit log of safety decisions, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from firstsight.api.connection import Connection
from firstsight.safety.audit.audit_log import LOG_VARIABLE, AuditLog
from firstsight.storage.store import Store

if TYPE_CHECKING:
    from firstsight.safety.audit.adoption import Adoption
    from firstsight.safety.audit.audit_entries import Verification
    from firstsight.safety.review.history import EntryDescription


class AuditTrail:
    """The audit log of one database: every decision, with its reasons, in entries that chain by SHA-256."""

    path_variable: ClassVar[str] = LOG_VARIABLE
    """Environment variable with the path of the log; a database in an object store needs it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def path(self) -> Path:
        """File of the log: the one that the environment variable names, else one in the database's folder.

        Raises:
            SafetyError: the database is in an object store, and the variable is not set.
        """
        return AuditLog.of(self._connection.uri).path

    def entries(self, item_id: str | None = None) -> Iterator[EntryDescription]:
        """Read the entries in words, oldest first, without checking them.

        Args:
            item_id: only entries about this item, or about the policy with this id.

        Raises:
            SafetyError: a line of the log is no entry.
            AuditLogError: the log cannot be read.
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.review.history import describe_entry

        _, log = open_with_log(self._connection)
        return (describe_entry(entry) for entry in log.entries(subject=item_id))

    def check(self, expect: str | None = None) -> Verification:
        """Check every entry of the log, and that the log has all decisions of the database.

        Args:
            expect: id of an entry that must be in the log; keep the `head` of an earlier check elsewhere for this.

        Returns:
            The number of entries, and the problems; `ok` if there are none.

        Raises:
            AuditLogError: the log cannot be read.
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.audit.log_check import check_log

        return check_log(*open_with_log(self._connection), expect)

    def adopt(self, path: str | os.PathLike[str], *, by: str, wait_s: float = 0.0) -> Adoption:
        """Use another log from now on, if the database's own is lost, cut, changed, or was never linked.

        Decisions in force stay, unless a person's decision in the adopted log replaces them. The log gets an entry for
        each decision in force that it lacks, and one about the adoption.

        Args:
            path: a log that verifies, or a file that does not exist yet.
            by: name of the person who adopts it.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            AuditLogError: the log does not verify, or cannot be written.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.safety.audit.adoption import adopt

        return adopt(self._connection.open(), AuditLog(path), by=by, wait_s=wait_s)


def open_with_log(connection: Connection) -> tuple[Store, AuditLog]:
    """Open a database and find its audit log.

    Raises:
        MissingDatabaseError, StoreError: there is no database, or it cannot be read.
        SafetyError: the database is in an object store, and `$FIRSTSIGHT_SAFETY_LOG` is not set.
    """
    store = connection.open()
    return store, AuditLog.of(store.uri)
