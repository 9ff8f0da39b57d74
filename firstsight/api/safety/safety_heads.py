"""Trained safety heads, in the Python API: list them, and choose which are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection

# `policy_heads` uses scipy, which takes a second to import: methods import it.
if TYPE_CHECKING:
    from firstsight.safety.policy.detector_scores import DetectorCut
    from firstsight.safety.policy.policies import Policies
    from firstsight.safety.policy.policy_heads import Head, HeadShelf
    from firstsight.safety.robustness.head_robustness import SafetyRobustnessReport
    from firstsight.safety.training.policy_labels import LabelSource


class SafetyHeads:
    """The heads of one database: a classifier of views for each policy, in numbered versions.

    `Safety.train` and `Safety.retrain` make heads. Decisions change at the next `Safety.score`.
    """

    def __init__(self, connection: Connection, policies: Callable[[], Policies]) -> None:
        self._connection = connection
        self._policies = policies

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

    def calibrate_detectors(
        self, labels: LabelSource, *, precision: float = 0.95, wait_s: float = 0.0
    ) -> tuple[tuple[DetectorCut, ...], tuple[str, ...]]:
        """Choose, on labels, the scores above which the detectors of the policies block items, and store them.

        Without this, detectors only send items to review. A cut holds for one version of a detector.

        Args:
            labels: a CSV file with the columns policy, label (0 or 1) and item_id or view_id; or its rows.
            precision: share of the blocked items that must belong to the policy, above 0 and below 1.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The stored cuts, and sentences about labels that were left out.

        Raises:
            SafetyError: no policy with labels has a detector, or a detector has found nothing yet.
            DatabaseBusyError, MissingDatabaseError, StoreError: as for `promote`.
        """
        from firstsight.safety.training.detector_calibration import calibrate_detectors

        store = self._connection.open()
        cuts, problems = calibrate_detectors(store, labels, self._policies(), precision=precision, wait_s=wait_s)
        return tuple(cuts), problems

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

    def robustness(
        self,
        labels: LabelSource,
        *,
        corruptions: Sequence[str] | None = None,
        strengths: Sequence[int] | None = None,
        sample: int = 100,
        seed: int = 0,
        skip_bad_labels: bool = False,
        on_progress: Callable[[str], None] = lambda line: None,
        on_encoded: Callable[[int, int], None] = lambda done, total: None,
    ) -> SafetyRobustnessReport:
        """Measure the heads in use when labelled pictures are corrupted, or changed to evade them; nothing is written.

        Thresholds stay. Units that a head has not seen are measured, if there are ten positive ones.

        Args:
            labels: as for `Safety.train`.
            corruptions: names of corruptions and evasions, see `firstsight.media.corruptions`, and "video-frame": the
                picture as one second of a video; None for all.
            strengths: 1 to 5; None for all.
            sample: maximum number of labelled units of each policy and class.
            seed: random seed.
            skip_bad_labels: leave out unusable rows, instead of refusing all.
            on_progress: called with the number of pictures to encode, and with the name of each step.
            on_encoded: called with the number of encoded pictures, and the number to encode.

        Returns:
            For each head and change: recall and false positive rate at the review threshold, recall of blocking, and
            the recall of known-picture matching (PDQ) on the same pictures.

        Raises:
            SafetyError: the labels cannot be used, no policy with labels has a head, or no picture can be opened.
            QueryError: there is no such corruption or strength.
            EncoderError, EncoderMismatchError: the encoder cannot be loaded.
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.robustness.head_robustness import measure_heads
        from firstsight.safety.training.policy_labels import read_labels

        store, policies = self._connection.open(), self._policies()
        usable = read_labels(labels, policies, store)
        if not skip_bad_labels:
            usable.require_clean()
        return measure_heads(
            store,
            usable,
            policies,
            self._connection.encoder,
            self._connection.policy,
            corruptions=corruptions,
            strengths=strengths,
            sample=sample,
            seed=seed,
            on_progress=on_progress,
            on_encoded=on_encoded,
        )

    def _change(self, change: Callable[[HeadShelf], None], wait_s: float) -> None:
        from firstsight.safety.audit.bound_log import BoundLog
        from firstsight.safety.policy.policy_heads import HeadShelf

        store = self._connection.open()
        with store.writing(wait_s):
            BoundLog.open(store)  # finishes a training that was killed, so that it cannot promote its heads later
            change(HeadShelf(store))
