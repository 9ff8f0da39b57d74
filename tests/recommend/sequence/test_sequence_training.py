"""Training resumes after a kill, starts from earlier weights, and is the same in several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from firstsight.errors import StoreError
from firstsight.recommend.sequence import training
from firstsight.recommend.sequence.checkpoints import STATE, Checkpoint
from firstsight.recommend.sequence.held_out import hold_out_next_items
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.sequence.weight_files import from_bytes, to_bytes
from tests.ports import free_port
from tests.recommend.sequence.ordered_events import SMALL, next_items, ordered_log, random_space

SPACE = random_space()
LOG = ordered_log(SPACE, 60)
NEW = next_items(ordered_log(SPACE, 30, seed=1))
EVERY = np.arange(len(SPACE))
SETTINGS = replace(SMALL, epochs=4, dropout=0.1, batch=24)


class KilledError(Exception):
    """Stops a run between two epochs."""


def trained(checkpoint: Checkpoint | None = None, kill_after: int | None = None) -> SequenceRecommender:
    """A model stopped by held-out samples; the run ends with `KilledError` after an epoch."""
    lines = []

    def progress(line: str) -> None:
        lines.append(line)
        if kill_after is not None and line.startswith(f"epoch {kill_after + 1}:"):
            raise KilledError

    model = SequenceRecommender(SPACE, SPACE.vectors, SETTINGS, checkpoint=checkpoint, on_progress=progress)
    model.fit(LOG)
    model.select(NEW)
    return model


def test_a_killed_run_continues_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    whole = trained()
    checkpoint = Checkpoint(tmp_path / "run")
    with pytest.raises(KilledError):
        trained(checkpoint, kill_after=2)
    assert json.loads((tmp_path / "run" / STATE).read_text())["epoch"] == 2
    resumed = trained(checkpoint)
    assert resumed.trained == whole.trained
    for name, tensor in whole.weights().items():
        torch.testing.assert_close(resumed.weights()[name], tensor, rtol=0, atol=0)
    checkpoint.remove()
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_other_settings_or_damaged_weights_is_not_continued(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    trained(checkpoint)
    expected = from_bytes(next(tmp_path.glob("*.safetensors")).read_bytes())
    state = json.loads((tmp_path / STATE).read_text())
    assert checkpoint.load(state["key"], expected) is not None
    assert checkpoint.load("another", expected) is None
    weights = tmp_path / state["weights"]
    weights.write_bytes(weights.read_bytes()[:-5])
    assert checkpoint.load(state["key"], expected) is None
    (tmp_path / STATE).write_text(json.dumps(state | {"weights": "../../etc/passwd"}))
    assert checkpoint.load(state["key"], expected) is None


def test_a_checkpoint_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="give another folder: --checkpoint FOLDER"):
        trained(Checkpoint(tmp_path / "file"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: {"a": tensors["a"]}, "it lacks b"),
        (lambda tensors: {**tensors, "c": torch.zeros(1)}, "it has an unknown tensor c"),
        (lambda tensors: {**tensors, "b": torch.zeros(3)}, r"b is \(3,\) of torch.float32, not \(2,\)"),
        (lambda tensors: {**tensors, "b": torch.tensor([1.0, float("nan")])}, "a number of b is not finite"),
    ],
)
def test_weights_are_checked(change: object, reason: str) -> None:
    tensors = {"a": torch.zeros(1), "b": torch.zeros(2)}
    assert callable(change)
    with pytest.raises(ValueError, match=reason):
        from_bytes(to_bytes(change(tensors)), tensors)


def test_damaged_bytes_are_no_weights() -> None:
    with pytest.raises(ValueError, match="no safetensors file"):
        from_bytes(b"\x80\x04pickle")


def test_training_from_earlier_weights_starts_where_they_ended() -> None:
    first = SequenceRecommender(SPACE, SPACE.vectors, SMALL, epochs=SMALL.epochs)
    first.fit(LOG)
    lines: list[str] = []
    second = SequenceRecommender(
        SPACE, SPACE.vectors, SMALL, epochs=1, initial=first.weights(), on_progress=lines.append
    )
    second.fit(LOG)
    second.learn()
    fresh = SequenceRecommender(SPACE, SPACE.vectors, SMALL, epochs=1, on_progress=lines.append)
    fresh.fit(LOG)
    fresh.learn()
    warm_loss, fresh_loss = (float(line.split("loss ")[1]) for line in lines)
    assert warm_loss < fresh_loss / 2


def test_held_out_samples_are_the_last_events_and_no_event_of_the_rest() -> None:
    kept, samples = hold_out_next_items(LOG, share=0.5)
    assert len(samples) == 30
    assert len(kept) == len(LOG) - 30
    assert all(len(sample.history) == 5 for sample in samples)
    assert hold_out_next_items(LOG, share=0.1) == (LOG, [])
    assert hold_out_next_items(LOG, after_us=int(LOG.times.max()))[1] == []


SCRIPT = """
import sys
from dataclasses import replace
import numpy as np
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from tests.recommend.sequence.ordered_events import SMALL, next_items, ordered_log, random_space
space = random_space()
model = SequenceRecommender(space, space.vectors, replace(SMALL, epochs=2, batch=24))
model.fit(ordered_log(space, 60))
samples = next_items(ordered_log(space, 30, seed=1))
model.select(samples)
np.save(sys.argv[1], model.scores([sample.history for sample in samples], np.arange(len(space))))
"""


@pytest.mark.slow
def test_two_processes_learn_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores() -> NDArray[np.float32]:
        model = SequenceRecommender(SPACE, SPACE.vectors, replace(SMALL, epochs=2, batch=24))
        model.fit(LOG)
        model.select(NEW)
        return model.scores([sample.history for sample in NEW], EVERY)

    alone = scores()
    world = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "CUDA_VISIBLE_DEVICES": "",
    }
    root = Path(__file__).parents[3]
    env = {**os.environ, **world, "RANK": "1", "LOCAL_RANK": "1", "PYTHONPATH": str(root)}
    other = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "other.npy")], env=env, cwd=root)
    for name, value in {**world, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    first = scores()
    assert other.wait(timeout=200) == 0
    np.testing.assert_allclose(first, alone, atol=2e-3)
    np.testing.assert_allclose(np.load(tmp_path / "other.npy"), first, atol=1e-4)
