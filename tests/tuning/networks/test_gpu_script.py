"""The script for GPUs runs here with tiny models."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


@pytest.mark.slow
def test_the_rehearsal_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "cache"))
    checks = gpu.run(gpu.Setting("cpu", True, tmp_path), kinds=("clip",))
    passed = {check.name: check.passed for check in checks}
    assert passed == {
        "machine": None,
        "clip: torch:fp32": True,
        "clip: torch:bf16": True,
        "clip: gradients in fp32": True,
        "clip: gradients in bf16": True,
        "tuning: lora": True,
        "tuning: saved model": True,
        "gloo, world size 1": True,
        "TensorRT": None,
        "time": True,
    }


def test_a_failing_check_is_an_outcome_and_the_others_run(tmp_path: Path) -> None:
    setting = gpu.Setting("cpu", True, tmp_path)
    with gpu.outcome_of(setting, "parity"):
        raise RuntimeError("no\nkernel")
    assert setting.checks == [gpu.Check("parity", False, "RuntimeError: no kernel")]


def test_without_cuda_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # this machine may have a GPU
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "PyTorch finds no CUDA device here; --cpu-rehearsal runs the same code on the CPU\n"
    )
