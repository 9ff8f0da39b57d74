"""Trust and safety, in the Python API: score items by policy, decide about them, explain decisions, train heads."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from firstsight.api.connection import FIT_WAIT_S, Connection
from firstsight.api.safety.safety_audit import AuditTrail, open_with_log
from firstsight.api.safety.safety_hashes import HashLists
from firstsight.api.safety.safety_heads import SafetyHeads
from firstsight.keywords import check_texts
from firstsight.safety.policy.policies import REVIEW_BUDGET, Policies, load_policies

if TYPE_CHECKING:
    from firstsight.heads.calibrated_fit import TrainSettings
    from firstsight.safety.audit.human_decisions import DecisionLabel, HumanDecision
    from firstsight.safety.policy.decisions import Action
    from firstsight.safety.report.policy_report import SafetyReport
    from firstsight.safety.review.explanation import Explanation
    from firstsight.safety.review.replay import Replay
    from firstsight.safety.review.review_queue import QueueEntry
    from firstsight.safety.scoring.score_report import ScoreReport
    from firstsight.safety.training.policy_labels import LabelSource
    from firstsight.safety.training.training_run import TrainReport


class Safety:
    """Policies, scores, decisions by people, heads, known pictures and the audit log of one database.

    Get one from `Database.safety`. It uses the policies that ship with firstsight; `with_policies` chooses others.
    Every call applies people's decisions, listed words and known pictures, and writes to the audit log of the database:
    no argument leaves them out. Its parts are `hashes` (known pictures), `heads` (trained heads) and `audit` (the log).
    """

    def __init__(self, connection: Connection, policies: Policies | None = None) -> None:
        self._connection = connection
        self._policies = policies
        self.hashes = HashLists(connection)
        self.heads = SafetyHeads(connection, lambda: self.policies)
        self.audit = AuditTrail(connection)

    @property
    def policies(self) -> Policies:
        """The policies in force: those of `with_policies`, else the ones that ship with firstsight."""
        if self._policies is None:
            self._policies = load_policies()
        return self._policies

    def with_policies(self, policies: str | os.PathLike[str] | Policies | None) -> Safety:
        """Return the same functions under other policies; this object does not change.

        Args:
            policies: a YAML file, or policies that are loaded already; None for the ones that ship with firstsight.

        Raises:
            SafetyError: the file cannot be read, or a policy is invalid; the message names the policy and the key.
        """
        return Safety(self._connection, policies if isinstance(policies, Policies) else load_policies(policies))

    def score(
        self,
        *,
        everything: bool = False,
        region: str | None = None,
        budget: float = REVIEW_BUDGET,
        zero_shot: bool = True,
        wait_s: float = 0.0,
    ) -> ScoreReport:
        """Score new and changed items, and allow, review or block them; searches then exclude blocked items.

        Known pictures, listed words and people's decisions override scores. Every decision is logged before it is in
        force. After a kill, either nothing has changed, or the next call that writes finishes the scoring.

        Args:
            everything: score all items, not only new and changed ones.
            region: region whose thresholds apply, such as "de"; None for the default ones.
            budget: maximum share of the items that a policy without labels sends to review, 0 to 1.
            zero_shot: score policies that have prompts but no head; the encoder is loaded if such a policy is new.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            AuditLogError: the audit log cannot be written, does not verify, belongs to another database, or lacks a
                decision in force; nothing has changed.
            SafetyError: there are no items, neither heads nor prompts, or a head's policy is missing.
            EncoderError, EncoderMismatchError: the encoder cannot be loaded, or a head is for another encoder.
            DatabaseBusyError, MissingDatabaseError, StoreError: as for `decide`.
        """
        from firstsight.safety.scoring.scoring_run import score

        return score(
            self._connection.open(),
            self.policies,
            encoder=(lambda: self._connection.encoder) if zero_shot else None,
            region=region,
            everything=everything,
            budget=budget,
            wait_s=wait_s,
        )

    def explain(self, item_id: str, region: str | None = None) -> Explanation:
        """Explain the decision about an item: its evidence, all scores with their thresholds, and its history.

        Args:
            region: region whose thresholds are shown; None for the default ones.

        Raises:
            SafetyError: the item does not exist, or was neither scored nor decided.
            AuditLogError, MissingDatabaseError: the audit log cannot be read; there is no database.
        """
        from firstsight.safety.review.explanation import explain

        store, log = open_with_log(self._connection)
        return explain(store, item_id, self.policies, log, region=region)

    def is_blocked(self, item_id: str) -> bool:
        """Whether a decision keeps the item out of searches; False for an unknown item."""
        return bool(self._connection.open().blocked([item_id]))

    def blocked(self, item_ids: Collection[str]) -> frozenset[str]:
        """Return the blocked items among these."""
        from firstsight.retrieval.ranking.item_filters import blocked_items

        check_texts("item_ids", item_ids)
        store = self._connection.open()
        known = blocked_items(store)  # read once for each state of the database; None if there are too many
        return frozenset(store.blocked(list(item_ids))) if known is None else known.intersection(item_ids)

    def decisions(self, item_ids: Sequence[str]) -> dict[str, Action]:
        """Return item id -> decision now; items that are shown to everybody are left out."""
        check_texts("item_ids", item_ids)
        rows = self._connection.open().safety_rows(item_ids)
        return {item_id: row["safety_decision"] for item_id, row in rows.items()}

    def queue(self, *, k: int = 50, reach: str | None = None) -> tuple[QueueEntry, ...]:
        """Return the items to review next: appeals first, then by severity, uncertainty and reach.

        Args:
            k: maximum number of items, 1 or more.
            reach: number column of the catalogue that raises the priority, such as "views".

        Raises:
            SafetyError: `k` is below 1, or `reach` is no number column.
            AuditLogError, MissingDatabaseError: as for `explain`.
        """
        from firstsight.safety.audit.override_table import current_reviews
        from firstsight.safety.review.review_queue import review_queue

        store, log = open_with_log(self._connection)
        return tuple(review_queue(store, current_reviews(store, log), self.policies, reach=reach, limit=k))

    def decide(
        self,
        item_id: str,
        decision: Action,
        *,
        policy: str | Sequence[str],
        reason: str,
        by: str,
        wait_s: float = 0.0,
    ) -> HumanDecision:
        """Decide about an item; this overrides its scores until its content changes, and gives training labels.

        Args:
            item_id: the item.
            decision: "allow", "review" or "block".
            policy: id of the policy behind the decision, or several ids.
            reason: the reason, for readers of the audit log, at most 4,000 characters.
            by: name of the person who decides.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The decision with the id of its log entry; the existing one if it is the same in every field.

        Raises:
            SafetyError: the item, a policy or the decision does not exist, or the policy, reason or name is missing.
            AuditLogError: the audit log cannot be written, or belongs to another database; nothing has changed.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.safety.review import review_actions

        return review_actions.decide(
            *open_with_log(self._connection),
            item_id,
            decision,
            policies=self.policies,
            policy_ids=_ids(policy),
            reason=reason,
            by=by,
            wait_s=wait_s,
        )

    def appeal(self, item_id: str, *, reason: str, by: str, wait_s: float = 0.0) -> str:
        """Appeal against the decision about an item: it comes first in the queue, and its decision stays.

        Args:
            item_id, reason, by, wait_s: as for `decide`; `by` names the person who appeals.

        Returns:
            The id of the log entry.

        Raises:
            SafetyError: the item does not exist, is allowed by its scores, or has an open appeal; or a text is missing.
            AuditLogError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `decide`.
        """
        from firstsight.safety.review import review_actions

        return review_actions.appeal(*open_with_log(self._connection), item_id, reason=reason, by=by, wait_s=wait_s)

    def overturn(
        self,
        item_id: str,
        decision: Action | None = None,
        *,
        policy: str | Sequence[str] = (),
        reason: str,
        by: str,
        wait_s: float = 0.0,
    ) -> HumanDecision:
        """Reverse the decision about an item, made by a person or by scores; its training labels change as well.

        Args:
            decision: the new one; by default "allow" for a blocked or reviewed item, and "block" for an allowed one.
            policy: policies behind the new decision; by default those of the reversed one.
            item_id, reason, by, wait_s: as for `decide`.

        Raises:
            SafetyError: the item has this decision already; otherwise as for `decide`.
            AuditLogError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `decide`.
        """
        from firstsight.safety.review import review_actions

        return review_actions.overturn(
            *open_with_log(self._connection),
            item_id,
            policies=self.policies,
            reason=reason,
            by=by,
            action=decision,
            policy_ids=_ids(policy),
            wait_s=wait_s,
        )

    def replay(self, entry_id: str) -> Replay:
        """Repeat a past decision from its entry in the audit log; no table, model or policy file is read.

        Raises:
            SafetyError: there is no such entry, or it records no decision about an item.
            AuditLogError, MissingDatabaseError: as for `explain`.
        """
        from firstsight.safety.review.replay import replay

        return replay(open_with_log(self._connection)[1].get(entry_id))

    def labels(self) -> tuple[DecisionLabel, ...]:
        """Return people's decisions as training labels, without items that have changed since.

        Raises:
            AuditLogError, MissingDatabaseError: as for `explain`.
        """
        from firstsight.safety.review.review_actions import review_labels

        return tuple(review_labels(*open_with_log(self._connection)))

    def write_labels(self, path: str | os.PathLike[str]) -> int:
        """Write `labels()` as a CSV file for `train`, and return their number; an existing file is replaced.

        Raises:
            SafetyError: the file cannot be written.
            AuditLogError, MissingDatabaseError: as for `explain`.
        """
        from firstsight.safety.review.review_actions import write_labels

        labels = self.labels()
        write_labels(path, labels)
        return len(labels)

    def train(
        self,
        labels: LabelSource,
        *,
        settings: TrainSettings | None = None,
        skip_bad_labels: bool = False,
        promote: bool = True,
        force: bool = False,
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> TrainReport:
        """Train a head for each policy with labels; held-out labels measure and calibrate it.

        Args:
            labels: a CSV file; or rows with its columns: `policy`, `label` (0 or 1), one of `item_id`, `view_id` and
                `path`, and optionally `weight` and `annotator`.
            settings: precision, recall and other targets, the method, and copies of pictures; the defaults if None.
            skip_bad_labels: leave out unusable rows, instead of refusing all.
            promote: put the new heads into use at once, instead of the earlier ones, if they are not worse: not below
                the prompts or chance for a first head, better than the head in use for a later one.
            force: put the new heads into use even if they are worse.
            wait_s: maximum wait for another writer before the heads are stored, in seconds.
            on_progress: called with the name of each step.

        Raises:
            SafetyError: the file cannot be read, some labels cannot be used, or there are none.
            EncoderError, EncoderMismatchError: a policy has prompts, and the encoder cannot be loaded.
            AuditLogError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `decide`; the earlier heads stay
                in use.
        """
        from firstsight.safety.training.training_run import train_from_labels

        return train_from_labels(
            self._connection.open(),
            labels,
            self.policies,
            encoder=lambda: self._connection.encoder,
            media=self._connection.policy,
            settings=settings,
            skip_bad_labels=skip_bad_labels,
            promote=promote,
            force=force,
            wait_s=wait_s,
            on_progress=on_progress,
        )

    def retrain(
        self,
        labels: LabelSource | None = None,
        *,
        settings: TrainSettings | None = None,
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> TrainReport:
        """Train heads from people's decisions; a new head is used only if it beats the current one on held-out labels.

        Args:
            labels: other labels to use as well, as for `train`; a person's decision about the same item counts more.
            settings, wait_s, on_progress: as for `train`.

        Raises:
            SafetyError: the file cannot be read, or there is nothing to train from.
            AuditLogError, EncoderError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `train`.
        """
        from firstsight.safety.training.training_run import retrain

        return retrain(
            *open_with_log(self._connection),
            self.policies,
            labels,
            encoder=lambda: self._connection.encoder,
            media=self._connection.policy,
            settings=settings,
            wait_s=wait_s,
            on_progress=on_progress,
        )

    def report(
        self,
        labels: LabelSource,
        *,
        prevalence: float | None = None,
        columns: Sequence[str] | None = None,
        skip_bad_labels: bool = False,
        html: str | os.PathLike[str] | None = None,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> SafetyReport:
        """Measure heads on held-out labels: curves, calibration, thresholds, slices, label suspects, drift.

        The heads are trained again from the same labels, which gives the same heads; only `html` is written.

        Args:
            labels, skip_bad_labels, on_progress: as for `train`.
            prevalence: share of positives in the catalogue, 0 to 1; None if the labels have the same share.
            columns: catalogue columns whose values to compare; by default language, kind and seller, if they exist.
            html: page to write; an existing file is replaced.

        Raises:
            SafetyError: the labels cannot be used, every policy has too few to hold any out, or a column does not
                exist.
            OSError: the page cannot be written.
            EncoderError, EncoderMismatchError: a policy has prompts, and the encoder cannot be loaded.
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.report.policy_report import SafetyReport, measure, write_report
        from firstsight.safety.report.report_sources import held_out_policies_from_labels

        store = self._connection.open()
        held_out, problems = held_out_policies_from_labels(
            store,
            labels,
            self.policies,
            encoder=lambda: self._connection.encoder,
            prevalence=prevalence,
            columns=columns,
            skip_bad_labels=skip_bad_labels,
            on_progress=on_progress,
        )
        reports = [measure(policy) for policy in held_out] if html is None else write_report(html, held_out, store.uri)
        return SafetyReport(tuple(reports), problems)


def _ids(policy: str | Sequence[str]) -> Sequence[str]:
    return [policy] if isinstance(policy, str) else policy
