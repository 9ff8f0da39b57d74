"""Scoring: from stored vectors to decisions about items, without a model, in flat memory, safe to kill.

    views -> rollup.py: one matrix product for each batch, the highest logit of each item
          -> calibration and cuts -> decisions; the views of flagged items are read again for the evidence
          -> score_table.py: staged -> bound_log.py: the plan, then the log, then in force

A scoring skips items that no index run has written since the last one, unless the policies, the region or a head
changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.encoders.base import Encoder
from firstsight.errors import SafetyError
from firstsight.heads.view_sample import ViewSample, matrix, part_indices, texts
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.audit.bound_log import BoundLog
from firstsight.safety.audit.entry_kinds import DECISION, SCORE
from firstsight.safety.audit.log_consistency import held_items, require_logged_decisions
from firstsight.safety.audit.log_link import Entry, ScoringPlan
from firstsight.safety.audit.score_table import SCHEMA, SCORING, ScoreTable
from firstsight.safety.policy.decisions import ACTIONS, Cuts, Decision, Evidence, Override, combine
from firstsight.safety.policy.policies import REVIEW_BUDGET, Policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf, HeadStack
from firstsight.safety.scoring.overrides import find_overrides
from firstsight.safety.scoring.rollup import item_logits
from firstsight.safety.scoring.score_report import ScoreReport
from firstsight.safety.scoring.zero_shot import prompt_digest, prompt_directions, zero_shot_head
from firstsight.storage.recovery import recover
from firstsight.storage.sql.conditions import is_in
from firstsight.storage.store import Store

EVIDENCE_VIEWS = 3
"""Maximum number of views in the evidence for one policy and item."""

ROWS_PER_BATCH = 50_000

_TOLERANCE = 1e-5  # scores of one view from two matrix products may differ by this


def score(
    store: Store,
    policies: Policies,
    *,
    encoder: Callable[[], Encoder] | None = None,
    region: str | None = None,
    overrides: Mapping[str, Override] | None = None,
    everything: bool = False,
    budget: float = REVIEW_BUDGET,
    log: AuditLog | None = None,
    wait_s: float = 0.0,
) -> ScoreReport:
    """Score new and changed items, decide about them, log the decisions, and apply them to searches.

    The log gets an entry for each decision to review or block, for each age limit, for each item that is allowed again,
    and one for the run with its counts. After a kill, either nothing has changed, or the next command that writes
    finishes the scoring.

    Args:
        store: the database.
        policies: the policies to score for.
        encoder: loads the encoder; called only if prompts must be encoded. Without it, policies without a head are not
            scored.
        region: region whose cuts apply; None for the default cuts.
        overrides: decisions that override scores, by item. By default `find_overrides` finds them, so leaving the
            argument out loses none. A mapping replaces them all: an item missing in it loses its override, even a
            person's block.
        everything: score all items, not only new and changed ones.
        budget: maximum share of the items that a policy without labels may send to review, between 0 and 1.
        log: the audit log; by default that of the database.
        wait_s: maximum wait in seconds for another process that is writing.

    Raises:
        AuditLogError: the log cannot be written, does not verify, belongs to another database, or lacks a decision in
            force; nothing has changed.
        SafetyError: there are no items, no policy has a head, prompts, words or detectors, or a head's policy is
            missing.
        EncoderMismatchError: a head was made for vectors of another encoder.
        DatabaseBusyError: another process is writing for longer than `wait_s`.
        StoreError: the database cannot be written; the earlier decisions stay in force.
    """
    started = time.monotonic()
    log = AuditLog.of(store.uri) if log is None else log
    with store.writing(wait_s):
        recover(store)
        if not store.items.count_rows():
            raise SafetyError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
        bound = BoundLog.open(store, log, whole=True)
        require_logged_decisions(store, log)
        bound.prepare()
        heads = _heads(store, policies, encoder, budget)
        overrides = find_overrides(store, policies) if overrides is None else overrides
        run = _ScoringRun(store, policies, heads, region, dict(overrides))
        plan = run.stage(everything, started)
        written = bound.carry_out(plan)
    return replace(run.report, written=written, seconds=time.monotonic() - started)


def _heads(store: Store, policies: Policies, encoder: Callable[[], Encoder] | None, budget: float) -> list[Head]:
    """Return the heads in use; first make zero-shot heads for policies without a head or with new prompts."""
    shelf = HeadShelf(store)
    promoted = shelf.promoted()
    for policy_id in sorted(promoted):
        if policy_id not in policies:
            raise SafetyError(
                f"head {promoted[policy_id].version} is of policy {policy_id!r}, which is missing from the policies; "
                "put the policy back, with retired: true if you no longer use it"
            )
    unprepared = [
        policy
        for policy in policies.in_force
        if policy.prompts and (policy.id not in promoted or _is_stale(promoted[policy.id], prompt_digest(policy)))
    ]
    if unprepared and encoder is not None:
        loaded = encoder()
        store.require_encoder(loaded.spec)
        directions = prompt_directions(unprepared, loaded)
        sample = ViewSample.sample(store)
        new_heads = shelf.add(
            [
                zero_shot_head(policy, directions[policy.id], sample, loaded.spec.fingerprint, budget=budget)
                for policy in unprepared
            ]
        )
        shelf.promote([head.version for head in new_heads])
        promoted = shelf.promoted()
    heads = [promoted[policy.id] for policy in policies.in_force if policy.id in promoted]
    if not heads and not any(policy.has_rules for policy in policies.in_force):
        raise SafetyError(
            "there is nothing to score with: train a head, or add prompts, words or detectors to the policies"
        )
    return heads


def _is_stale(head: Head, prompts: str) -> bool:
    return head.kind == "zero_shot" and head.basis != prompts


class _ScoringRun:
    """One scoring; the caller holds the writer lock."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        heads: Sequence[Head],
        region: str | None,
        overrides: dict[str, Override],
    ) -> None:
        self.store = store
        self.table = ScoreTable(store)
        self.policies = {policy.id: policy for policy in policies.all}
        self.stack = HeadStack.of(heads, self.policies)
        self.cuts = Cuts.of(heads, self.policies, region)
        self.overrides = overrides
        self.now = datetime.now(UTC)
        self.entries: list[Entry] = []
        self._held = self.table.items_with_decision()
        self._seen: set[str] = set()  # scored items, if only some are scored
        self._actions = np.zeros(len(ACTIONS), dtype=np.int64)  # number of scored items with each action
        self.versions = {head.policy_id: head.version for head in heads}
        scored = set(self.versions)
        self.report = ScoreReport(
            run_id=f"{self.now:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}",
            policy_version=policies.version,
            zero_shot=tuple(head.policy_id for head in heads if head.kind == "zero_shot"),
            unscored=tuple(
                policy.id
                for policy in policies.in_force
                if policy.id not in scored and (policy.prompts or not policy.has_rules)
            ),
        )
        basis = {"policy_version": policies.version, "heads": self.versions, "region": region}
        self.settings: dict[str, Any] = {"kind": SCORING, **basis}
        self._basis = json.dumps(basis, sort_keys=True)

    def stage(self, everything: bool, started: float) -> ScoringPlan:
        """Score, and stage the rows and entries; nothing is in force yet."""
        covered = None if everything else self._covered()
        current = self._run_ids()
        everything = covered is None or self.table.open() is None
        changed = None if everything else self._changed(covered or set())
        self.settings["covers"] = sorted(current if changed is None else current - (covered or set()))
        self.table.stage(self._rows(changed))
        # removed items, and items without encoded views
        gone = [] if changed is None else sorted(set(texts(changed)) - self._seen)
        allow, review, block = self._actions.tolist()
        self.report = replace(
            self.report,
            scored=allow + review + block,
            everything=everything,
            allow=allow,
            review=review,
            block=block,
            seconds=time.monotonic() - started,
        )
        counts = self.report.to_dict()
        run = {
            "run_id": self.report.run_id,
            "started_at": self.now.isoformat(),
            "outcome": "finished",
            "source": "",
            "encoder": self.store.spec.name,
            "fingerprint": self.store.spec.fingerprint,
            "settings": self.settings | {"everything": everything},
            "counts": counts,
        }
        logged = {name: count for name, count in counts.items() if name not in {"written", "seconds"}}  # not known yet
        entry: Entry = (SCORE, self.report.run_id, self.settings | {"counts": logged})
        return ScoringPlan({"replace": changed is None, "gone": gone, "run": run}, (*self.entries, entry))

    def _covered(self) -> set[str] | None:
        """Return the index runs whose items were scored with these settings; None if all items must be scored."""
        runs = [run for run in self.store.run_rows() if run["settings"].get("kind") == SCORING]
        covered: set[str] | None = None
        for run in runs:
            settings = run["settings"]
            basis = {name: settings[name] for name in ("policy_version", "heads", "region")}
            if json.dumps(basis, sort_keys=True) != self._basis:
                covered = None
            elif settings["everything"]:
                covered = set(settings["covers"])
            elif covered is not None:
                covered |= set(settings["covers"])
        return covered

    def _run_ids(self) -> set[str]:
        run_ids: set[str] = set()
        for batch in self.store.items.search().select(["run_id"]).limit(None).to_batches(100_000):
            run_ids.update(texts(batch["run_id"].unique()))
        return run_ids

    def _changed(self, covered: set[str]) -> pa.Array[Any]:
        """Return the ids of items to score again.

        These are items of runs that are not covered, items with a new or changed override, and items whose decision in
        force differs from the scored one.
        """
        search = self.store.items.search()
        if covered:
            search = search.where(f"NOT {is_in('run_id', sorted(covered))}")
        ids = set(texts(search.select(["item_id"]).limit(None).to_arrow()["item_id"]))
        table = self.table.open()
        assert table is not None
        overridden = table.search().where("standing IS NOT NULL").select(["item_id", "standing"]).limit(None).to_arrow()
        before = dict(zip(texts(overridden["item_id"]), texts(overridden["standing"]), strict=True))
        now = {item_id: override.digest for item_id, override in self.overrides.items()}
        ids.update(item_id for item_id, _ in before.items() ^ now.items())
        ids.update(item_id for item_id, _ in self.table.decisions().items() ^ held_items(self.store).items())
        return pa.array(sorted(ids), pa.string())

    def _rows(self, only: pa.Array[Any] | None) -> Iterator[pa.RecordBatch]:
        left = set(self.overrides) if only is None else set(self.overrides) & set(texts(only))
        self._seen = set()
        for ids, logits in item_logits(self.store, self.stack, only):
            for start in range(0, len(ids), ROWS_PER_BATCH):
                batch_ids = ids.slice(start, ROWS_PER_BATCH)
                batch = self._batch(batch_ids, self.stack.scores(logits[start : start + ROWS_PER_BATCH]))
                for item_id in texts(batch_ids) if left else ():
                    left.discard(item_id)
                if only is not None:
                    self._seen.update(texts(batch_ids))
                yield batch
        viewless = sorted(self.store.digests(sorted(left)))  # items with an override but without encoded views
        if viewless:
            self._seen.update(viewless)
            yield self._batch(pa.array(viewless, pa.string()), np.full((len(viewless), len(self.versions)), np.nan))

    def _batch(self, ids: pa.Array[Any], scores: NDArray[np.float64]) -> pa.RecordBatch:
        actions, ages = self.cuts.action_indices(scores), self.cuts.min_ages(scores)
        names = texts(ids)
        digests = [self.overrides[item_id].digest if item_id in self.overrides else None for item_id in names]
        noted = np.array([item_id in self.overrides or item_id in self._held for item_id in names], dtype=bool)
        flagged = np.flatnonzero((actions > 0) | (ages > 0) | noted)
        records: dict[int, str] = {}
        evidence = self._evidence([names[n] for n in flagged], scores[flagged])
        for place, n in enumerate(flagged):
            decision = self._decision(names[n], int(actions[n]), evidence[place])
            actions[n] = ACTIONS.index(decision.action)
            plain = decision.to_dict()
            records[int(n)] = json.dumps(plain)
            if decision.action != "allow" or ages[n] or decision.item_id in self._held:
                inputs = self._replay_inputs(decision.item_id, scores[n]) | {"min_age": int(ages[n]) or None}
                self.entries.append((DECISION, decision.item_id, plain | inputs))
        self._actions += np.bincount(actions, minlength=len(ACTIONS))
        flat = pa.array(scores.astype(np.float32).ravel(), from_pandas=True)
        offsets = np.arange(len(names) + 1, dtype=np.int32) * scores.shape[1]
        return pa.record_batch(
            [
                ids,
                pa.DictionaryArray.from_arrays(actions, pa.array(ACTIONS)).cast(pa.string()),
                pa.array(ages, mask=ages == 0),
                pa.repeat(" ".join(self.versions), len(names)),
                pa.ListArray.from_arrays(pa.array(offsets), flat),
                pa.repeat(self.report.policy_version, len(names)),
                pa.array([records.get(n) for n in range(len(names))], pa.string()),
                pa.array(digests, pa.string()),
                pa.repeat(pa.scalar(self.now, SCHEMA.field("scored_at").type), len(names)),
            ],
            schema=SCHEMA,
        )

    def _replay_inputs(self, item_id: str, scores: NDArray[np.float64]) -> dict[str, Any]:
        """Return the inputs to repeat a decision: exact scores and cuts, and the override."""
        cuts = zip(self.cuts.review.tolist(), self.cuts.block.tolist(), strict=True)
        override = self.overrides.get(item_id)
        return {
            "scores": {
                policy: score for policy, score in zip(self.versions, scores.tolist(), strict=True) if score == score
            },
            "cuts": {
                policy: [review, None if np.isinf(block) else block]
                for policy, (review, block) in zip(self.versions, cuts, strict=True)
            },
            "standing": override and {"action": override.action, "human": override.human},
        }

    def _decision(self, item_id: str, scored: int, evidence: tuple[Evidence, ...]) -> Decision:
        override = self.overrides.get(item_id)
        return Decision(
            item_id=item_id,
            action=combine(ACTIONS[scored], override),
            evidence=(*(override.evidence if override else ()), *evidence),
            policy_version=self.report.policy_version,
            head_versions=self.versions,
            decided_at=self.now,
        )

    def _evidence(self, item_ids: Sequence[str], scores: NDArray[np.float64]) -> list[tuple[Evidence, ...]]:
        """Return each item's views that passed a cut: the most severe policy first, then the highest views."""
        evidence: list[tuple[Evidence, ...]] = []
        for start in range(0, len(item_ids), 1_000):
            batch = item_ids[start : start + 1_000]
            views = self.store.view_rows(batch)
            logits = self.stack.logits(matrix(views["vector"], self.store.spec.dim), part_indices(views["part"]))
            probabilities = self.stack.scores(logits)
            plain = views.select(["view_id", "item_id", "part", "uri", "time_s"]).to_pylist()
            places: dict[str, list[int]] = {}
            for n, view in enumerate(plain):
                places.setdefault(view["item_id"], []).append(n)
            for item_id, of_item in zip(batch, scores[start : start + 1_000], strict=True):
                evidence.append(self._item_evidence(plain, probabilities, places.get(item_id, []), of_item))
        return evidence

    def _item_evidence(
        self,
        views: Sequence[Mapping[str, Any]],
        scores: NDArray[np.float64],
        places: Sequence[int],
        highest: NDArray[np.float64],
    ) -> tuple[Evidence, ...]:
        ranked: list[tuple[tuple[float, ...], Evidence]] = []
        for column, head in enumerate(self.stack.heads):
            cut = self._cut_passed(column, float(highest[column]))
            if cut is None:
                continue
            best = sorted(
                (n for n in places if scores[n, column] >= cut - _TOLERANCE), key=lambda n: -scores[n, column]
            )
            for n in best[:EVIDENCE_VIEWS]:
                view = views[n]
                piece = Evidence(
                    policy_id=head.policy_id,
                    view_id=view["view_id"],
                    part=view["part"],
                    uri=view["uri"],
                    time_s=view["time_s"],
                    score=round(float(scores[n, column]), 4),
                    cut=round(cut, 4),
                    source=head.kind,
                )
                blocks = highest[column] >= self.cuts.block[column]
                severity = self.policies[head.policy_id].severity
                ranked.append(((-float(blocks), -severity, -piece.score), piece))
        return tuple(piece for _, piece in sorted(ranked, key=lambda pair: pair[0]))

    def _cut_passed(self, column: int, score: float) -> float | None:
        """Return the highest cut that a score passes; None if it passes none."""
        for cuts in (self.cuts.block, self.cuts.review):
            if score >= cuts[column]:
                return float(cuts[column])
        return None
