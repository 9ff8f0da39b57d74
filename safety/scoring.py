"""Scoring: stored vectors to decisions about items, without a model, in flat memory, safe to kill.

    views -> rollup.py: one product a batch, the highest logit of each item
          -> calibration and cuts -> decisions; the views of those flagged are read again for the evidence
          -> score_table.py: one commit -> the columns of `items`

Only items that index runs have written since are scored again, unless the policies, the region or a head has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.encoders.base import Encoder
from firstsight.errors import SafetyError
from firstsight.indexer.store import Store, quote
from firstsight.safety.background import Background, matrix, part_places, texts
from firstsight.safety.decisions import ACTIONS, Cuts, Decision, Evidence, Standing, combine
from firstsight.safety.heads import Head, HeadShelf, HeadStack
from firstsight.safety.policies import Policies
from firstsight.safety.rollup import item_logits
from firstsight.safety.score_table import SCHEMA, ScoreTable
from firstsight.safety.zero_shot import REVIEW_BUDGET, prompt_digest, prompt_directions, zero_shot_head

KIND = "safety score"
"""What marks the rows of `runs` that scorings are noted in."""

EVIDENCE_VIEWS = 3
"""Views that are named for one policy of one item, at most."""

ROWS_PER_BATCH = 50_000

_SAME = 1e-5  # scores of one view in two products may differ by this

Entry = tuple[str, str, Mapping[str, Any]]
"""What an audit log takes: kind, subject, record."""


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
    standing: Mapping[str, Standing] | None = None,
    everything: bool = False,
    budget: float = REVIEW_BUDGET,
    record: Callable[[Iterable[Entry]], object] | None = None,
    wait_s: float = 0.0,
) -> ScoreReport:
    """Score what is new or changed, decide about it, and let searches know.

    Args:
        store: the database.
        policies: those in force.
        encoder: called where prompts have to be encoded; without it, policies without a head are not scored.
        region: whose cuts decide; None for the default ones.
        standing: decisions that do not come from scores, by item; whoever is left out has none any more.
        everything: score all items, whatever has changed.
        budget: share of the items that a policy without labels may send to review, between 0 and 1.
        record: an audit log's `append_many`: given every decision to review or block, every allow of what was held back
            before, and one entry about the run with the number of the others.
        wait_s: seconds to wait for another process that is writing.

    Raises:
        SafetyError: nothing to score with, or a head whose policy is not in the file.
        EncoderMismatchError: a head is of another encoder.
        DatabaseBusyError, StoreError: the database cannot be written; what was there before is in force.
    """
    started = time.monotonic()
    with store.writing(wait_s):
        store.recover()
        if not store.items.count_rows():
            raise SafetyError(f"{store.uri} has no items yet; index a catalogue first: firstsight index CATALOGUE")
        heads = _heads(store, policies, encoder, budget)
        run = _Run(store, policies, heads, region, dict(standing or {}))
        run.run(everything)
        run.report.seconds = time.monotonic() - started
        run.note(started)
    if record is not None:
        record([*run.entries, ("score", run.report.run_id, run.settings | {"counts": asdict(run.report)})])
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
        store.require(loaded.spec)
        directions = prompt_directions(wanted, loaded)
        background = Background.sample(store)
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


class _Run:
    """One scoring; the caller holds the writer lock."""

    def __init__(
        self,
        store: Store,
        policies: Policies,
        heads: Sequence[Head],
        region: str | None,
        standing: dict[str, Standing],
    ) -> None:
        self.store = store
        self.table = ScoreTable(store)
        self.policies = {policy.id: policy for policy in policies.all}
        self.stack = HeadStack.of(heads, self.policies)
        self.cuts = Cuts.of(heads, self.policies, region)
        self.standing = standing
        self.now = datetime.now(UTC)
        self.entries: list[Entry] = []
        self._held = self.table.held()
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
        self.settings: dict[str, Any] = {"kind": KIND, **basis}
        self._basis = json.dumps(basis, sort_keys=True)

    def run(self, everything: bool) -> None:
        covered = None if everything else self._covered()
        current = self._run_ids()
        self.report.everything = covered is None or self.table.open() is None
        if self.report.everything:
            self.settings["covers"] = sorted(current)
            self.table.replace(self._rows(None))
        else:
            assert covered is not None
            self.settings["covers"] = sorted(current - covered)
            changed = self._changed(covered)
            self.table.update(self._rows(changed))
            self.table.remove(sorted(set(texts(changed)) - self._seen))  # gone, or nothing of them is encoded
        self.report.written = self.table.settle()

    def note(self, started: float) -> None:
        """Keep the run in `runs`, after what it has done: a kill before that lets the next one do it again."""
        self.store.write_run(
            {
                "run_id": self.report.run_id,
                "started_at": self.now,
                "finished_at": datetime.now(UTC),
                "outcome": "finished",
                "source": "",
                "encoder": self.store.spec.name,
                "fingerprint": self.store.spec.fingerprint,
                "settings": self.settings | {"everything": self.report.everything},
                "counts": asdict(self.report),
            }
        )

    # ---- what has changed

    def _covered(self) -> set[str] | None:
        """The index runs whose items have been scored on this basis; None where everything is to be scored."""
        runs = [run for run in self.store.run_rows() if run["settings"].get("kind") == KIND]
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
        """Ids of items written by other runs, and of those whose standing decision is another than it was."""
        search = self.store.items.search()
        if covered:
            search = search.where(f"run_id NOT IN ({', '.join(quote(run_id) for run_id in sorted(covered))})")
        ids = set(texts(search.select(["item_id"]).limit(None).to_arrow()["item_id"]))
        table = self.table.open()
        assert table is not None
        stood = table.search().where("standing IS NOT NULL").select(["item_id", "standing"]).limit(None).to_arrow()
        before = dict(zip(texts(stood["item_id"]), texts(stood["standing"]), strict=True))
        now = {item_id: standing.digest for item_id, standing in self.standing.items()}
        return pa.array(sorted(ids | {item_id for item_id, _ in before.items() ^ now.items()}), pa.string())

    # ---- items

    def _rows(self, only: pa.Array[Any] | None) -> Iterator[pa.RecordBatch]:
        left = set(self.standing) if only is None else set(self.standing) & set(texts(only))
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
        actions, ages = self.cuts.places(scores), self.cuts.ages(scores)
        names = texts(ids)
        stands = [self.standing[item_id].digest if item_id in self.standing else None for item_id in names]
        noted = np.array([item_id in self.standing or item_id in self._held for item_id in names], dtype=bool)
        flagged = np.flatnonzero((actions > 0) | (ages > 0) | noted)
        records: dict[int, str] = {}
        evidence = self._evidence([names[n] for n in flagged], scores[flagged])
        for place, n in enumerate(flagged):
            decision = self._decision(names[n], int(actions[n]), evidence[place])
            actions[n] = ACTIONS.index(decision.action)
            plain = decision.as_dict()
            records[int(n)] = json.dumps(plain)
            if decision.action != "allow" or decision.item_id in self._held:
                self.entries.append(("decision", decision.item_id, plain | self._grounds(decision.item_id, scores[n])))
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
                pa.array(stands, pa.string()),
                pa.repeat(pa.scalar(self.now, SCHEMA.field("scored_at").type), len(names)),
            ],
            schema=SCHEMA,
        )

    def _grounds(self, item_id: str, scores: NDArray[np.float64]) -> dict[str, Any]:
        """What a decision can be made from again: exact scores and cuts, and what stood beside them."""
        cuts = zip(self.cuts.review.tolist(), self.cuts.block.tolist(), strict=True)
        standing = self.standing.get(item_id)
        return {
            "scores": {
                policy: score for policy, score in zip(self.versions, scores.tolist(), strict=True) if score == score
            },
            "cuts": {
                policy: [review, None if np.isinf(block) else block]
                for policy, (review, block) in zip(self.versions, cuts, strict=True)
            },
            "standing": standing and {"action": standing.action, "human": standing.human},
        }

    def _decision(self, item_id: str, scored: int, evidence: tuple[Evidence, ...]) -> Decision:
        standing = self.standing.get(item_id)
        return Decision(
            item_id=item_id,
            action=combine(ACTIONS[scored], standing),
            evidence=(*(standing.evidence if standing else ()), *evidence),
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
            logits = self.stack.logits(matrix(views["vector"], self.store.spec.dim), part_places(views["part"]))
            probabilities = self.stack.scores(logits)
            plain = views.select(["view_id", "item_id", "part", "uri", "time_s"]).to_pylist()
            places: dict[str, list[int]] = {}
            for n, view in enumerate(plain):
                places.setdefault(view["item_id"], []).append(n)
            for item_id, of_item in zip(some, scores[start : start + 1_000], strict=True):
                found.append(self._of_item(plain, probabilities, places.get(item_id, []), of_item))
        return found

    def _of_item(
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
            best = sorted((n for n in places if scores[n, column] >= cut - _SAME), key=lambda n: -scores[n, column])
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
