"""Limits of the threads of numerical libraries."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from firstsight.heads import calibrated_fit
from firstsight.heads.methods import class_fit
from firstsight.heads.methods.class_shots import ClassShots
from firstsight.threads import single_threaded_blas


def blas_threads() -> list[int]:
    return [int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_has_one_thread_inside_and_its_own_number_after() -> None:
    before = blas_threads()
    with single_threaded_blas():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
    assert set(single_threaded_blas()(blas_threads)()) == {1}


def test_fits_compute_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    class StopError(Exception):
        pass

    def record(*arguments: object, **settings: object) -> None:
        found.extend(blas_threads())
        raise StopError

    shots = ClassShots(
        np.eye(2, dtype=np.float32), np.arange(2), ("a", "b"), np.ones(2), np.array(["0", "1"], dtype=object)
    )
    monkeypatch.setattr(class_fit, "make_class_folds", record)
    monkeypatch.setattr(calibrated_fit, "make_folds", record)
    with pytest.raises(StopError):
        class_fit.fit_classes(shots)
    with pytest.raises(StopError):
        calibrated_fit.fit_and_calibrate(None, {}, None, calibrated_fit.TrainSettings())  # type: ignore[arg-type]
    assert found
    assert set(found) == {1}
