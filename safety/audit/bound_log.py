"""The audit log of a database, held to what the database knows of it: all commands that write decisions go this way.

A person's decision is one entry: it is logged, then the tables are brought up to the log, now or by the next command
that writes. A scoring is many entries and many rows: its `ScoringPlan` is committed first, then logged, then put in
force; a kill after the plan is finished by the next command, which logs the entries that are missing and no others. So
nothing is in force that the log does not know, and nothing is logged twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from firstsight.errors import AuditLogError
from firstsight.safety.audit.audit_entries import AuditEntry, LogHead, plain_content
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.human_decisions import REVIEW_KINDS, Reviews
from firstsight.safety.audit.log_consistency import adopt_command, has_unlinked_decisions, link_from_log
from firstsight.safety.audit.log_link import Entry, LogLink, ScoringPlan, read_link, write_link
from firstsight.safety.audit.override_table import put_in_force, read_reviews, write_reviews
from firstsight.safety.audit.score_table import ScoreTable
from firstsight.safety.policy.policy_heads import HeadShelf
from firstsight.storage.store import Store

TRAIN = "train"
"""Kind of the entries that tell of a trained head, and whether it scores from then on."""


class BoundLog:
    """The audit log that belongs to a database; the caller of a writing method holds the writer lock all the time."""

    def __init__(self, store: Store, log: AuditLog, link: LogLink | None) -> None:
        self.store = store
        self.log = log
        self._link = link

    @classmethod
    def open(cls, store: Store, log: AuditLog | None = None, *, whole: bool = False) -> BoundLog:
        """See that a log is the database's, and finish what a kill left half done.

        Args:
            store: the database.
            log: its audit log; by default the one in its place.
            whole: check every entry, not only the first, the last known and those after it.

        Raises:
            AuditLogError: the log is another, or lost, cut or changed; what to do is said.
            StoreError: the database cannot be written.
        """
        log = AuditLog.of(store.uri) if log is None else log
        link, plan = read_link(store)
        if link is None:
            if not log.is_empty():
                link = link_from_log(store, log, of_earlier_version=False)
            elif has_unlinked_decisions(store):
                raise AuditLogError(
                    f"{store.uri} has decisions, and there is nothing in its audit log {log.path}; restore it from a "
                    f"copy, or name it with $FIRSTSIGHT_SAFETY_LOG; to begin a new one: {adopt_command(store, log)}"
                )
        bound = cls(store, log, link)
        if link is not None:
            bound._apply_log(plan, whole=whole)
        return bound

    def require(self) -> None:
        """See that the log is the database's, without writing; needs no lock.

        Raises:
            AuditLogError: it is not.
        """
        assert self._link is not None
        for _ in self._since(self._link, whole=False):
            pass

    def prepare(self) -> None:
        """Make sure that an entry can be added now, before anything is done that needs one.

        Raises:
            AuditLogError: the log cannot be written.
        """
        self.log.check_writable()

    def append(self, entries: Sequence[Entry]) -> list[str]:
        """Log entries, then bring the tables up to them.

        Returns:
            The ids of the entries.

        Raises:
            AuditLogError: the log cannot be written; nothing has happened.
            SafetyError: a record is not JSON; nothing has happened.
            StoreError: the database cannot be written; the next command that writes makes up for it.
        """
        self.prepare()
        if self._link is None:  # not sooner: a link to an empty log takes whatever log is begun after it
            self._link = LogLink.to_empty_log()
            write_link(self.store, self._link)
        made = self.log.append_many(entries)
        self._apply_log(None)
        return made

    def carry_out(self, plan: ScoringPlan) -> int:
        """Log a scoring and put it in force; from the first commit on it is finished, now or by the next command.

        Returns:
            How many items changed.

        Raises:
            AuditLogError: the log cannot be written; nothing of it is in force.
            StoreError: the database cannot be written.
        """
        self.prepare()
        self._link = self._link or LogLink.to_empty_log()
        # an entry that cannot be logged is refused here: once the plan is committed, it has to be
        plain = [plain_content(*entry) for entry in plan.entries]
        plan = ScoringPlan(plan.settings, tuple((one["kind"], one["subject"], one["record"]) for one in plain))
        write_link(self.store, self._link, plan)
        return self._apply_log(plan)

    def _apply_log(self, plan: ScoringPlan | None, *, whole: bool = False) -> int:
        """Bring the tables up to the log, and finish a plan; how many items the plan has changed."""
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
        """Apply what people did and what was trained after the last known entry; entries that are `missing` and are
        there are taken out of it."""
        own: list[AuditEntry] = []
        trained: list[AuditEntry] = []
        for entry, head in self._since(link, whole=whole):
            if missing and (entry.kind, entry.subject, entry.record) == missing[0]:
                missing.popleft()
            if entry.kind in REVIEW_KINDS:
                own.append(entry)
            elif entry.kind == TRAIN:
                trained.append(entry)
            link = replace(link, first=link.first or entry.entry_id, last=head)
        if own:
            items = {entry.subject for entry in own}
            reviews = Reviews.of(own, read_reviews(self.store, sorted(items)))
            write_reviews(self.store, reviews, items)
            put_in_force(self.store, reviews, items)
        self._promote(trained)
        return link

    def _since(self, link: LogLink, *, whole: bool) -> Iterator[tuple[AuditEntry, LogHead]]:
        try:
            for entry, head in self.log.entries_since(link.last, link.first, whole=whole):
                if link.first is None and entry.sequence == 1 and entry.time < link.began:
                    raise AuditLogError(f"the audit log {self.log.path} was begun before this database had one")
                yield entry, head
        except AuditLogError as error:
            raise self._refusal(str(error)) from None

    def _refusal(self, reason: str) -> AuditLogError:
        return AuditLogError(
            f"{reason}; nothing was decided. Restore the log of {self.store.uri} from a copy, or name it with "
            f"$FIRSTSIGHT_SAFETY_LOG; to go on with another log: {adopt_command(self.store, self.log)}"
        )

    def _promote(self, trained: Sequence[AuditEntry]) -> None:
        """Let heads score that the log says do; those that this database does not have are left out."""
        wanted = {(entry.subject, entry.record.get("version")) for entry in trained if entry.record.get("promoted")}
        if not wanted:
            return
        labels = {entry.record.get("labels") for entry in trained}
        shelf = HeadShelf(self.store)
        found = {
            head.policy_id: head.version  # the newest of each policy
            for head in shelf.versions()
            if (head.policy_id, head.version) in wanted and head.basis in labels
        }
        shelf.promote(list(found.values()))
