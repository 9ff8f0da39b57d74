"""Scoring: stored vectors to decisions about items, without a model, in flat memory, safe to kill.

    views -> rollup.py: one product a batch, the highest logit of each item
          -> calibration and cuts -> decisions; the views of those flagged are read again for the evidence
          -> score_table.py: staged -> bound_log.py: the plan, then the log, then in force

Only items that index runs have written since are scored again, unless the policies, the region or a head has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
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
from firstsight.safety.audit.log_consistency import DECISION, SCORE, held_items, require_logged_decisions
from firstsight.safety.audit.log_link import Entry, ScoringPlan
from firstsight.safety.audit.score_table import SCHEMA, SCORING, ScoreTable
from firstsight.safety.policy.decisions import ACTIONS, Cuts, Decision, Evidence, Override, combine
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf, HeadStack
from firstsight.safety.scoring.overrides import find_overrides
from firstsight.safety.scoring.rollup import item_logits
from firstsight.safety.scoring.zero_shot import REVIEW_BUDGET, prompt_digest, prompt_directions, zero_shot_head
from firstsight.storage.store import Store, quote

EVIDENCE_VIEWS = 3
"""Views that are named for one policy of one item, at most."""

ROWS_PER_BATCH = 50_000

_TOLERANCE = 1e-5  # scores of one view in two products may differ by this


@dataclass
class ScoreReport:
    """What a scoring did."""

    run_id: str
    scored: int = 0  # items
    everything: bool = False  # or only what was new or changed
    allow: int = 0
    review: int = 0
    block: int = 0
    written: int = 0  # rows of `items` whose decision has changed
    seconds: float = 0.0
    policy_version: str = ""
    zero_shot: tuple[str, ...] = ()  # policies scored by prompts, not calibrated
    unscored: tuple[str, ...] = ()  # policies with neither head nor prompts


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
    """Score what is new or changed, decide about it, log it, and let searches know.

    Every decision to review or block is logged, every age limit, every allow of what was held back before, and one
    entry about the run with the number of the others. After a kill nothing has changed, or the next command that writes
    finishes the scoring.

    Args:
        store: the database.
        policies: those in force.
        encoder: called where prompts have to be encoded; without it, policies without a head are not scored.
        region: whose cuts decide; None for the default ones.
        overrides: decisions that do not come from scores, by item, in the place of those that `find_overrides` finds:
            an item that is missing here loses its override.
        everything: score all items, whatever has changed.
        budget: share of the items that a policy without labels may send to review, between 0 and 1.
        log: the audit log; by default that of the database.
        wait_s: seconds to wait for another process that is writing.

    Raises:
        AuditLogError: the log cannot be written, does not verify, is not the database's, or does not know decisions
            that are in force; nothing has changed.
        SafetyError: nothing to score with, or a head whose policy is not in the file.
        EncoderMismatchError: a head is of another encoder.
        DatabaseBusyError, StoreError: the database cannot be written; what was there before is in force.
    """
    started = time.monotonic()
    log = AuditLog.of(store.uri) if log is None else log
    with store.writing(wait_s):
        store.recover()
        if not store.items.count_rows():
            raise SafetyError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
        bound = BoundLog.open(store, log, whole=True)
        require_logged_decisions(store, log)
        bound.prepare()
        heads = _heads(store, policies, encoder, budget)
        overrides = find_overrides(store, policies) if overrides is None else overrides
        run = _ScoringRun(store, policies, heads, region, dict(overrides))
        plan = run.stage(everything, started)
        run.report.written = bound.carry_out(plan)
    run.report.seconds = time.monotonic() - started
    return run.report


def _heads(store: Store, policies: Policies, encoder: Callable[[], Encoder] | None, budget: float) -> list[Head]:
    """The heads in force, after zero-shot heads were made where there is no head, or of other prompts."""
    shelf = HeadShelf(store)
    promoted = shelf.promoted()
    for policy_id in sorted(promoted):
        if policy_id not in policies:
            raise SafetyError(
                f"head {promoted[policy_id].version} is of policy {policy_id!r}, which is not among the policies; an "
                "id never changes: put it back, with retired: true if it is given up"
            )
    wanted = [
        policy
        for policy in policies.in_force
        if policy.prompts and (policy.id not in promoted or _is_stale(promoted[policy.id], prompt_digest(policy)))
    ]
    if wanted and encoder is not None:
        loaded = encoder()
        store.require_encoder(loaded.spec)
        directions = prompt_directions(wanted, loaded)
        background = ViewSample.sample(store)
        made = shelf.add(
            [
                zero_shot_head(policy, directions[policy.id], background, loaded.spec.fingerprint, budget=budget)
                for policy in wanted
            ]
        )
        shelf.promote([head.version for head in made])
        promoted = shelf.promoted()
    heads = [promoted[policy.id] for policy in policies.in_force if policy.id in promoted]
    if not heads:
        raise SafetyError("there is nothing to score with: train a head, or give policies prompts")
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
        self._seen: set[str] = set()  # of what is scored again, the items that there are
        self.versions = {head.policy_id: head.version for head in heads}
        scored = set(self.versions)
        self.report = ScoreReport(
            run_id=f"{self.now:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}",
            policy_version=policies.version,
            zero_shot=tuple(head.policy_id for head in heads if head.kind == "zero_shot"),
            unscored=tuple(policy.id for policy in policies.in_force if policy.id not in scored),
        )
        basis = {"policy_version": policies.version, "heads": self.versions, "region": region}
        self.settings: dict[str, Any] = {"kind": SCORING, **basis}
        self._basis = json.dumps(basis, sort_keys=True)

    def stage(self, everything: bool, started: float) -> ScoringPlan:
        """Score, and keep the rows and entries without putting anything in force."""
        covered = None if everything else self._covered()
        current = self._run_ids()
        self.report.everything = covered is None or self.table.open() is None
        changed = None if self.report.everything else self._changed(covered or set())
        self.settings["covers"] = sorted(current if changed is None else current - (covered or set()))
        self.table.stage(self._rows(changed))
        # gone, or nothing of them is encoded
        gone = [] if changed is None else sorted(set(texts(changed)) - self._seen)
        self.report.seconds = time.monotonic() - started
        counts = asdict(self.report)
        run = {
            "run_id": self.report.run_id,
            "started_at": self.now.isoformat(),
            "outcome": "finished",
            "source": "",
            "encoder": self.store.spec.name,
            "fingerprint": self.store.spec.fingerprint,
            "settings": self.settings | {"everything": self.report.everything},
            "counts": counts,
        }
        logged = {name: count for name, count in counts.items() if name not in {"written", "seconds"}}  # not known yet
        told: Entry = (SCORE, self.report.run_id, self.settings | {"counts": logged})
        return ScoringPlan({"replace": changed is None, "gone": gone, "run": run}, (*self.entries, told))

    # ---- what has changed

    def _covered(self) -> set[str] | None:
        """The index runs whose items have been scored on this basis; None where everything is to be scored."""
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
        found: set[str] = set()
        for batch in self.store.items.search().select(["run_id"]).limit(None).to_batches(100_000):
            found.update(texts(batch["run_id"].unique()))
        return found

    def _changed(self, covered: set[str]) -> pa.Array[Any]:
        """Ids of items written by other runs, of those whose override is another than it was, and of those that are
        not in force as they were scored: what scoring does to each of them is logged."""
        search = self.store.items.search()
        if covered:
            search = search.where(f"run_id NOT IN ({', '.join(quote(run_id) for run_id in sorted(covered))})")
        ids = set(texts(search.select(["item_id"]).limit(None).to_arrow()["item_id"]))
        table = self.table.open()
        assert table is not None
        stood = table.search().where("standing IS NOT NULL").select(["item_id", "standing"]).limit(None).to_arrow()
        before = dict(zip(texts(stood["item_id"]), texts(stood["standing"]), strict=True))
        now = {item_id: override.digest for item_id, override in self.overrides.items()}
        ids.update(item_id for item_id, _ in before.items() ^ now.items())
        ids.update(item_id for item_id, _ in self.table.decisions().items() ^ held_items(self.store).items())
        return pa.array(sorted(ids), pa.string())

    # ---- items

    def _rows(self, only: pa.Array[Any] | None) -> Iterator[pa.RecordBatch]:
        left = set(self.overrides) if only is None else set(self.overrides) & set(texts(only))
        self._seen = set()
        for ids, logits in item_logits(self.store, self.stack, only):
            for start in range(0, len(ids), ROWS_PER_BATCH):
                some = ids.slice(start, ROWS_PER_BATCH)
                batch = self._batch(some, self.stack.scores(logits[start : start + ROWS_PER_BATCH]))
                for item_id in texts(some) if left else ():
                    left.discard(item_id)
                if only is not None:
                    self._seen.update(texts(some))
                yield batch
        blind = sorted(self.store.digests(sorted(left)))  # nothing of them was encoded
        if blind:
            self._seen.update(blind)
            yield self._batch(pa.array(blind, pa.string()), np.full((len(blind), len(self.versions)), np.nan))

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
            plain = decision.as_dict()
            records[int(n)] = json.dumps(plain)
            if decision.action != "allow" or ages[n] or decision.item_id in self._held:
                grounds = self._replay_inputs(decision.item_id, scores[n]) | {"min_age": int(ages[n]) or None}
                self.entries.append((DECISION, decision.item_id, plain | grounds))
        for name, count in zip(ACTIONS, np.bincount(actions, minlength=3), strict=True):
            setattr(self.report, name, getattr(self.report, name) + int(count))
        self.report.scored += len(names)
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
        """What a decision can be made from again: exact scores and cuts, and the override beside them."""
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
        """For each item the views that passed a cut: the gravest policy first, and of each the highest views."""
        found: list[tuple[Evidence, ...]] = []
        for start in range(0, len(item_ids), 1_000):
            some = item_ids[start : start + 1_000]
            views = self.store.view_rows(some)
            logits = self.stack.logits(matrix(views["vector"], self.store.spec.dim), part_indices(views["part"]))
            probabilities = self.stack.scores(logits)
            plain = views.select(["view_id", "item_id", "part", "uri", "time_s"]).to_pylist()
            places: dict[str, list[int]] = {}
            for n, view in enumerate(plain):
                places.setdefault(view["item_id"], []).append(n)
            for item_id, of_item in zip(some, scores[start : start + 1_000], strict=True):
                found.append(self._item_evidence(plain, probabilities, places.get(item_id, []), of_item))
        return found

    def _item_evidence(
        self,
        views: Sequence[Mapping[str, Any]],
        scores: NDArray[np.float64],
        places: Sequence[int],
        highest: NDArray[np.float64],
    ) -> tuple[Evidence, ...]:
        found: list[tuple[tuple[float, ...], Evidence]] = []
        for column, head in enumerate(self.stack.heads):
            cut = self._cut_passed(column, float(highest[column]))
            if cut is None:
                continue
            best = sorted(
                (n for n in places if scores[n, column] >= cut - _TOLERANCE), key=lambda n: -scores[n, column]
            )
            for n in best[:EVIDENCE_VIEWS]:
                view = views[n]
                made = Evidence(
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
                found.append(((-float(blocks), -severity, -made.score), made))
        return tuple(made for _, made in sorted(found, key=lambda pair: pair[0]))

    def _cut_passed(self, column: int, score: float) -> float | None:
        """The highest cut that a score has passed."""
        for cuts in (self.cuts.block, self.cuts.review):
            if score >= cuts[column]:
                return float(cuts[column])
        return None
