"""The audit log of a database, checked against the database's link to it. All commands that write decisions use it.

A person's decision is one entry. It is logged first; then the tables are updated from the log, now or by the next
command that writes. A scoring is many entries and many rows. Its `ScoringPlan` is committed first, then logged, then
put in force. If a kill follows the plan, the next command finishes it and logs only the missing entries. So each
decision in force is in the log, and no entry is logged twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_entries import AuditEntry, LogHead, entry_content
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.entry_kinds import REVIEW_KINDS, TRAIN
from firstsight.safety.audit.human_decisions import Reviews
from firstsight.safety.audit.link_creation import has_unlinked_decisions, link_from_log
from firstsight.safety.audit.log_consistency import adopt_command
from firstsight.safety.audit.log_link import Entry, LogLink, ScoringPlan, read_link, write_link
from firstsight.safety.audit.override_table import apply_decisions, read_reviews, write_reviews
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.storage.store import Store


class BoundLog:
    """The audit log that belongs to a database. The caller of a writing method holds the writer lock."""

    def __init__(self, store: Store, log: AuditLog, link: LogLink | None) -> None:
        self.store = store
        self.log = log
        self._link = link

    @classmethod
    def open(cls, store: Store, log: AuditLog | None = None, *, whole: bool = False) -> BoundLog:
        """Check that a log belongs to the database, and finish the work of a killed command.

        Args:
            store: the database.
            log: its audit log; by default `AuditLog.of(store.uri)`.
            whole: check every entry, not only the first, the last known one and the entries after it.

        Raises:
            AuditLogError: the log belongs to another database, or is lost, cut or changed; the message gives the
                remedy.
            StoreError: the database cannot be written.
        """
        log = AuditLog.of(store.uri) if log is None else log
        link, plan = read_link(store)
        if link is None:
            if not log.is_empty():
                link = link_from_log(store, log, of_earlier_version=False)
            elif has_unlinked_decisions(store):
                raise AuditLogError(
                    f"{store.uri} has decisions, but its audit log {log.path} is empty; restore the log from a copy, "
                    f"or name it with $FIRSTSIGHT_SAFETY_LOG; to begin a new log: {adopt_command(store, log)}"
                )
        bound = cls(store, log, link)
        if link is not None:
            bound._apply_log(plan, whole=whole)
        return bound

    def require(self) -> None:
        """Check that the log belongs to the database, without writing; needs no lock.

        Raises:
            AuditLogError: the log belongs to another database, or is lost, cut or changed.
        """
        assert self._link is not None
        for _ in self._since(self._link, whole=False):
            pass

    def prepare(self) -> None:
        """Check that an entry can be added now, before work that needs one.

        Raises:
            AuditLogError: the log cannot be written.
        """
        self.log.check_writable()

    def append(self, entries: Sequence[Entry]) -> list[str]:
        """Log entries, then update the tables from them.

        Returns:
            The ids of the entries.

        Raises:
            AuditLogError: the log cannot be written; nothing has changed.
            SafetyError: a record is not JSON; nothing has changed.
            StoreError: the database cannot be written; the next command that writes updates the tables.
        """
        self.prepare()
        if self._link is None:  # not earlier: a link to an empty log accepts any log that is begun later
            self._link = LogLink.to_empty_log()
            write_link(self.store, self._link)
        entry_ids = self.log.append_many(entries)
        self._apply_log(None)
        return entry_ids

    def carry_out(self, plan: ScoringPlan) -> int:
        """Log a scoring and put it in force. After the first commit, this or the next command finishes it.

        Returns:
            Number of changed items.

        Raises:
            AuditLogError: the log cannot be written; no part of the scoring is in force.
            SafetyError: a record is not JSON; nothing has changed.
            StoreError: the database cannot be written.
        """
        self.prepare()
        self._link = self._link or LogLink.to_empty_log()
        # refuse an entry that cannot be logged now: after the commit of the plan it must be logged
        plain = [entry_content(*entry) for entry in plan.entries]
        plan = ScoringPlan(plan.settings, tuple((entry["kind"], entry["subject"], entry["record"]) for entry in plain))
        write_link(self.store, self._link, plan)
        return self._apply_log(plan)

    def _apply_log(self, plan: ScoringPlan | None, *, whole: bool = False) -> int:
        """Update the tables from the log, and finish a plan; return the number of items that the plan changed."""
        assert self._link is not None
        missing = deque(plan.entries if plan else ())
        link, written = self._apply_entries(self._link, missing, whole=whole), 0
        if plan is not None:
            if missing:
                self.log.append_many(missing)
                link = self._apply_entries(link, missing)
            written = ScoreTable(self.store).put_in_force(plan.settings)
        if link != self._link or plan is not None:
            write_link(self.store, link)
        if plan is not None:
            ScoreTable(self.store).drop_staged()
        self._link = link
        return written

    def _apply_entries(self, link: LogLink, missing: deque[Entry], *, whole: bool = False) -> LogLink:
        """Apply people's decisions and promoted heads after the last known entry.

        Args:
            link: the last known entry.
            missing: entries of a plan; the entries that are in the log already are removed from it.
            whole: check every entry of the log.

        Returns:
            The link to the last entry.
        """
        reviewed: list[AuditEntry] = []
        trained: list[AuditEntry] = []
        for entry, head in self._since(link, whole=whole):
            if missing and (entry.kind, entry.subject, entry.record) == missing[0]:
                missing.popleft()
            if entry.kind in REVIEW_KINDS:
                reviewed.append(entry)
            elif entry.kind == TRAIN:
                trained.append(entry)
            link = replace(link, first=link.first or entry.entry_id, last=head)
        if reviewed:
            items = {entry.subject for entry in reviewed}
            reviews = Reviews.of(reviewed, read_reviews(self.store, sorted(items)))
            write_reviews(self.store, reviews, items)
            apply_decisions(self.store, reviews, items)
        self._promote(trained)
        return link

    def _since(self, link: LogLink, *, whole: bool) -> Iterator[tuple[AuditEntry, LogHead]]:
        try:
            for entry, head in self.log.entries_since(link.last, link.first, whole=whole):
                if link.first is None and entry.sequence == 1 and entry.time < link.began:
                    raise AuditLogError(f"the audit log {self.log.path} is older than this database's link to a log")
                yield entry, head
        except AuditLogError as error:
            raise self._refusal(str(error)) from None

    def _refusal(self, reason: str) -> AuditLogError:
        return AuditLogError(
            f"{reason}; nothing was decided. Restore the log of {self.store.uri} from a copy, or name it with "
            f"$FIRSTSIGHT_SAFETY_LOG; to use another log from now on: {adopt_command(self.store, self.log)}"
        )

    def _promote(self, trained: Sequence[AuditEntry]) -> None:
        """Promote the heads that the log names; heads that this database lacks are skipped."""
        promoted = {(entry.subject, entry.record.get("version")) for entry in trained if entry.record.get("promoted")}
        if not promoted:
            return
        labels = {entry.record.get("labels") for entry in trained}
        shelf = HeadShelf(self.store)
        newest = {
            head.policy_id: head.version
            for head in shelf.versions()
            if (head.policy_id, head.version) in promoted and head.basis in labels
        }
        shelf.promote(list(newest.values()))
