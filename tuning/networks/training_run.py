"""The loop of one training: updates, checks of held-out retrieval, checkpoints and the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderError
from firstsight.recommend.sequence.process_group import ProcessGroup
from firstsight.tuning.networks.contrastive_step import Objective, Side, add_gradients
from firstsight.tuning.networks.held_out_retrieval import HeldOutRetrieval
from firstsight.tuning.networks.network_inputs import PictureInputs, Towers
from firstsight.tuning.networks.network_settings import NetworkSettings
from firstsight.tuning.networks.phrase_batches import BatchDraw, PhraseBatch, PhraseBook, nearest_pictures
from firstsight.tuning.networks.run_checkpoints import RunCheckpoint, RunState
from firstsight.tuning.networks.run_log import LogLine, RunLog, peak_memory_mb

_MAX_NORM = 1.0  # of the gradient
_NEIGHBOURS = 32  # kept for each picture beyond the hard negatives, because some are right for the drawn phrase
_CHECKS = 10  # of held-out retrieval in a training


@dataclass(frozen=True)
class RunPlan:
    """Inputs of one training.

    Attributes:
        label: of the training, such as "fold 1".
        seed: number of the training among those that are averaged, from 0.
        book: items to learn from.
        held_out: items for early stopping.
        inputs: all pictures.
        frozen_pictures: (p, dim) vectors in the order of `book.pictures`; None: the picture tower is trained.
        checkpoint_steps: updates between checkpoints.
    """

    label: str
    seed: int
    book: PhraseBook
    held_out: HeldOutRetrieval
    inputs: PictureInputs
    frozen_pictures: Vectors | None
    checkpoint_steps: int


class TrainingRun:
    """One training of some parameters; `train` leaves them at their best values.

    Args:
        plan: what it works with.
        parameters: trained weights by name.
        towers: that have these weights.
        objective: the loss.
        settings: of the training.
        group: processes that train together.
        checkpoint, log: only the first process writes them.
    """

    def __init__(
        self,
        plan: RunPlan,
        parameters: dict[str, nn.Parameter],
        towers: Towers,
        objective: Objective,
        settings: NetworkSettings,
        group: ProcessGroup,
        checkpoint: RunCheckpoint,
        log: RunLog,
    ) -> None:
        self._plan, self._parameters, self._towers = plan, parameters, towers
        self._objective, self._settings, self._group = objective, settings, group
        self._checkpoint, self._log = checkpoint, log
        self._steps = settings.steps_for(len(plan.book.pictures))
        self._draw = BatchDraw(plan.book, settings.batch_size, settings.hard_negatives, settings.seed + plan.seed)
        if plan.frozen_pictures is not None:
            vectors = torch.from_numpy(plan.frozen_pictures).to(group.device)
            self._frozen = dict(zip(plan.book.pictures, vectors, strict=True))
        matrices = [value for value in parameters.values() if value.ndim > 1]
        others = [value for value in parameters.values() if value.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.98))
        self._best: dict[str, Tensor] = {}
        self._counted, self._since = 0, time.perf_counter()

    def train(self, on_progress: Callable[[str], None]) -> None:
        """Train from the checkpoint, or from the beginning.

        Raises:
            EncoderError: the loss is not finite, or the checkpoint is of another run.
            StoreError: the checkpoint cannot be written.
        """
        self._group.share([value.data for value in self._parameters.values()])
        state = self._resume(on_progress)
        if state.is_finished:
            return
        if state.step == 0 and self._plan.held_out:
            state = self._check(state, None, on_progress)
        every = max(1, self._steps // _CHECKS)
        while state.step < self._steps and state.checks_without_gain < self._settings.patience:
            loss = self._update(state.step)
            state = replace(state, step=state.step + 1)
            is_last = state.step == self._steps
            if self._plan.held_out and (state.step % every == 0 or is_last):
                state = self._check(state, loss, on_progress)
            elif state.step % max(1, every // 2) == 0 or is_last:
                self._tell(state, loss, None, on_progress)
            if state.step % self._plan.checkpoint_steps == 0 and not is_last:
                self._save(state)
        self._finish(state)

    def _update(self, step: int) -> float:
        """Make update `step`, counted from 0; the loss before it."""
        if self._settings.hard_negatives and step % self._refresh_every() == 0:
            self._find_neighbours()
        batch = self._draw.batch(step)
        rate = self._settings.learning_rate_at(step, self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        parameters = list(self._parameters.values())
        loss = add_gradients(
            self._picture_side(batch),
            Side(len(batch.texts), lambda part: self._towers.text_vectors(batch.texts[part.start : part.stop])),
            torch.from_numpy(batch.same).to(self._group.device),
            self._objective,
            parameters,
            self._group,
            self._settings.micro_batch,
        )
        if not math.isfinite(loss):
            raise EncoderError(
                f"the loss is no number any more at update {step + 1} of {self._plan.label}; give a lower "
                f"--learning-rate than {self._settings.learning_rate:g}"
            )
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_NORM)
        self._optimizer.step()
        self._counted += len(batch.pictures)
        return loss

    def _picture_side(self, batch: PhraseBatch) -> Side:
        count, rows = len(batch.pictures), batch.pictures
        if self._plan.frozen_pictures is not None:
            frozen = self._frozen
            return Side(count, lambda part: torch.stack([frozen[row] for row in rows[part.start : part.stop]]), False)
        inputs, towers = self._plan.inputs, self._towers
        return Side(count, lambda part: towers.picture_vectors(inputs, rows[part.start : part.stop]))

    def _refresh_every(self) -> int:
        drawn = max(1, self._settings.batch_size // (1 + self._settings.hard_negatives))
        return max(1, len(self._plan.book.pictures) // drawn)

    def _find_neighbours(self) -> None:
        """Search the nearest pictures with the current weights, once in about a pass over the pictures."""
        vectors = self._plan.frozen_pictures
        if vectors is None:
            vectors = self._towers.encode_pictures(self._plan.inputs, self._plan.book.pictures, self._group)
        self._draw.neighbours = nearest_pictures(vectors, self._settings.hard_negatives + _NEIGHBOURS)

    def _check(self, state: RunState, loss: float | None, on_progress: Callable[[str], None]) -> RunState:
        score = self._plan.held_out.score(self._towers, self._plan.inputs, self._group)
        if score > state.best_score:
            state = replace(state, best_step=state.step, best_score=score, checks_without_gain=0)
            self._best = {name: value.detach().clone() for name, value in self._parameters.items()}
        else:
            state = replace(state, checks_without_gain=state.checks_without_gain + 1)
        self._tell(state, loss, score, on_progress)
        return state

    def _tell(
        self, state: RunState, loss: float | None, score: float | None, on_progress: Callable[[str], None]
    ) -> None:
        """Write a line of the log, and one for people."""
        now = time.perf_counter()
        speed = self._counted / max(now - self._since, 1e-9) if self._counted else None
        self._counted, self._since = 0, now
        rate = self._settings.learning_rate_at(max(state.step - 1, 0), self._steps)
        line = LogLine(
            *(self._plan.label, self._plan.seed, state.step, loss, rate, score, speed),
            peak_memory_mb([self._group.device]),
        )
        if not self._group.is_first:
            return
        self._log.add(line)
        parts = [f"{self._plan.label}: update {state.step} of {self._steps}"]
        parts += [f"loss {loss:.3f}"] if loss is not None else []
        parts += [f"held-out reciprocal rank {score:.3f}"] if score is not None else []
        parts += [f"{speed:.1f} pictures/s"] if speed is not None else []
        on_progress(", ".join(parts))

    def _resume(self, on_progress: Callable[[str], None]) -> RunState:
        """Take the state of the checkpoint, on every process."""
        found = self._checkpoint.load()
        steps = torch.tensor([float(found[0].step if found else 0)], device=self._group.device)
        own = float(steps)
        self._group.sum([steps])
        if float(steps) != own * self._group.size:
            raise EncoderError(
                "the processes see different checkpoints; give a work folder that all machines share, or remove it"
            )
        state = RunState()
        if found is not None:
            state, tensors = found
            self._restore(tensors, state)
            done = "finished before" if state.is_finished else f"continued after update {state.step}"
            if self._group.is_first:
                on_progress(f"{self._plan.label}: {done}")
        if self._group.is_first:
            self._log.forget_after(self._plan.label, self._plan.seed, state.step)
        self._group.wait()  # nobody may still read when the first process writes
        return state

    @torch.no_grad()
    def _restore(self, tensors: dict[str, Tensor], state: RunState) -> None:
        if state.is_finished:
            expected: dict[str, Tensor] = {f"trained.{name}": value for name, value in self._parameters.items()}
        else:
            expected = self._tensors(with_best=any(name.startswith("best.") for name in tensors))
            expected |= {name: value for name, value in tensors.items() if name == "neighbours"}
        self._checkpoint.check(tensors, expected)
        device = self._group.device
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[f"trained.{name}"])
            if not state.is_finished:
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(state.step)),
                    "exp_avg": tensors[f"first_moment.{name}"].to(device).clone(),
                    "exp_avg_sq": tensors[f"second_moment.{name}"].to(device).clone(),
                }
            if f"best.{name}" in tensors:
                self._best[name] = tensors[f"best.{name}"].to(device).clone()
        if "neighbours" in tensors:
            self._draw.neighbours = tensors["neighbours"].numpy()

    def _tensors(self, *, with_best: bool) -> dict[str, Tensor]:
        """Everything that a checkpoint of an unfinished run keeps."""
        kept: dict[str, Tensor] = {}
        for name, value in self._parameters.items():
            moments = self._optimizer.state.get(value, {})
            kept[f"trained.{name}"] = value
            kept[f"first_moment.{name}"] = moments.get("exp_avg", value)
            kept[f"second_moment.{name}"] = moments.get("exp_avg_sq", value)
            if with_best:
                kept[f"best.{name}"] = self._best.get(name, value)
        return kept

    def _save(self, state: RunState) -> None:
        if self._group.is_first:
            tensors = self._tensors(with_best=bool(self._best))
            if self._draw.neighbours is not None:
                tensors["neighbours"] = torch.from_numpy(self._draw.neighbours)
            self._checkpoint.save(state, tensors)

    @torch.no_grad()
    def _finish(self, state: RunState) -> None:
        for name, value in self._best.items():
            self._parameters[name].copy_(value)
        if self._group.is_first:
            trained = {f"trained.{name}": value for name, value in self._parameters.items()}
            self._checkpoint.save(replace(state, is_finished=True), trained)
        self._group.wait()
