"""Killed trainings continue, and two processes train as one."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from firstsight.errors import EncoderError
from tests.ports import free_port
from tests.tuning.networks import training

ROOT = Path(__file__).parents[3]
Uninterrupted = tuple[Path, np.ndarray]


def _start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [sys.executable, "-m", "tests.tuning.networks.training", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _log(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def _without_speed(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: v for name, v in line.items() if name not in ("pictures_per_s", "peak_memory_mb")} for line in lines]


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(
    tiny_clip: str, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    with _start(tiny_clip, tmp_path, tmp_path / "never.npy", "update 6 ") as killed:
        assert killed.stdout is not None
        lines = iter(killed.stdout.readline, "")
        assert any("update 6 " in line for line in lines)  # two updates after the checkpoint
        killed.kill()
    assert killed.returncode == -9
    assert not (tmp_path / "never.npy").exists()
    told: list[str] = []
    resumed = training.vectors(training.train(tiny_clip, tmp_path, told.append))
    assert told[0] == "fold 1: continued after update 4"
    np.testing.assert_array_equal(resumed, uninterrupted[1])
    assert _without_speed(_log(tmp_path)) == _without_speed(_log(uninterrupted[0]))


@pytest.mark.slow
def test_two_processes_train_as_one(
    tiny_clip: str, uninterrupted: Uninterrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    world |= {"MASTER_PORT": str(free_port()), "CUDA_VISIBLE_DEVICES": ""}
    for name, value in {**world, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with _start(tiny_clip, tmp_path / "work", tmp_path / "other.npy", RANK="1", LOCAL_RANK="1", **world) as other:
        try:
            first = training.vectors(training.train(tiny_clip, tmp_path / "work"))
            told, _ = other.communicate(timeout=200)
        finally:
            other.kill()  # it waits for this process, which may have failed
    gc.collect()  # the process group ends with its trainer
    assert other.returncode == 0
    assert told == ""  # only the first process tells and writes
    np.testing.assert_allclose(first, uninterrupted[1], atol=1e-5)
    # equal weights; the last bits of a vector depend on where its rows lie in memory
    np.testing.assert_allclose(np.load(tmp_path / "other.npy"), first, atol=1e-6)
    ours, theirs = _log(tmp_path / "work"), _log(uninterrupted[0])
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    assert [line["loss"] for line in ours[1:]] == pytest.approx([line["loss"] for line in theirs[1:]], abs=1e-5)


def test_a_finished_training_is_not_repeated(tiny_clip: str, uninterrupted: Uninterrupted) -> None:
    folder, vectors = uninterrupted
    before = (folder / "log.jsonl").read_bytes()
    lines: list[str] = []
    np.testing.assert_array_equal(training.vectors(training.train(tiny_clip, folder, lines.append)), vectors)
    assert lines == ["fold 1: finished before"]
    assert (folder / "log.jsonl").read_bytes() == before


def test_the_log_has_a_line_for_each_check(uninterrupted: Uninterrupted) -> None:
    lines = _log(uninterrupted[0])
    assert [line["step"] for line in lines] == list(range(len(lines)))
    assert lines[0]["loss"] is None
    assert all(isinstance(line["loss"], float) for line in lines[1:])
    assert all(0 < float(str(line["held_out"])) <= 1 and int(str(line["peak_memory_mb"])) > 0 for line in lines)


def test_a_checkpoint_of_other_settings_is_refused(tiny_clip: str, uninterrupted: Uninterrupted) -> None:
    with pytest.raises(EncoderError, match="a training with other settings; remove it to start again"):
        training.train(tiny_clip, uninterrupted[0], steps=13)


def test_a_checkpoint_of_other_items_is_refused(tiny_clip: str, uninterrupted: Uninterrupted) -> None:
    with pytest.raises(EncoderError, match="a training with other data; remove it"):
        training.trainer(tiny_clip, uninterrupted[0]).fit(
            range(29), training.HELD_OUT, label="fold 1", on_progress=lambda line: None
        )


def _checkpoint(folder: Path) -> Path:
    (found,) = (folder / "checkpoints" / "fold-1-seed-0").glob("*.safetensors")
    return found


@pytest.mark.parametrize("damage", ["weights", "weights missing", "state", "name"])
def test_a_damaged_checkpoint_is_refused(damage: str, tiny_clip: str, tmp_path: Path) -> None:
    training.train(tiny_clip, tmp_path, steps=1)
    weights = _checkpoint(tmp_path)
    state = weights.with_name("training.json")
    if damage == "weights":
        weights.write_bytes(b"\x80\x04 a pickle")
    elif damage == "weights missing":
        weights.unlink()
    elif damage == "state":
        state.write_text("{")
    else:
        state.write_text(state.read_text().replace(weights.name, f"../{weights.name}"))
    with pytest.raises(EncoderError, match=r"is damaged .*; remove this folder to start again") as caught:
        training.train(tiny_clip, tmp_path, steps=1)
    assert "\n" not in str(caught.value)
