"""Students of another architecture than their teacher, and pruned open_clip and transformers models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import firstsight
from firstsight.encoders.base import unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_trainable_model
from firstsight.errors import EncoderError
from firstsight.tuning.distillation.distil import distil_encoder
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.teacher_space import TeacherSpace
from firstsight.tuning.pruning.network_mlps import find_mlps
from firstsight.tuning.tuning_data import TuningData
from tests.encoders import checkpoints
from tests.tuning.distillation.drawn_things import drawn_catalogue

ONE_THREAD = EncoderOptions(threads=1)


def open_clip_folder(folder: Path) -> Any:
    return checkpoints.open_clip_folder(folder, "tiny-clip", {"interpolation": "bilinear"})


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoints.clip(tmp_path_factory.mktemp("tiny-clip")).name


@pytest.fixture(scope="module")
def tiny_open_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(open_clip_folder(tmp_path_factory.mktemp("tiny-open-clip")).name)


def with_structure(name: str, folder: Path) -> str:
    """Write a copy of a model whose matrices have strong directions, as trained ones have; half of its MLP units are
    without effect.
    """
    model = load_trainable_model(name, ONE_THREAD)
    noise = torch.Generator().manual_seed(0)
    for part in model.network.modules():
        if isinstance(part, torch.nn.Linear):
            left, right = (torch.randn(size, 1, generator=noise) for size in part.weight.shape)
            part.weight.data += 0.6 * part.weight.std() * left @ right.T
    for tower in find_mlps(model.network, name.partition(":")[0]).values():
        for mlp in tower.layers:
            mlp.down.weight.data[:, torch.randperm(tower.units, generator=noise)[: tower.units // 2]] = 0
    folder.mkdir()
    return model.save(folder)


def cosines(report: firstsight.DistilReport, of: str) -> tuple[float, float]:
    found = report.figure(f"cosine of {of}")
    assert found is not None
    return found.untrained, found.student


@pytest.mark.slow
@pytest.mark.parametrize("student", ["tiny_clip", "tiny_open_clip"])
def test_a_network_learns_the_vectors_of_a_starter(
    student: str, teacher: str, data: TuningData, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    start = request.getfixturevalue(student)
    settings = DistilSettings(teacher=teacher, steps=40, learning_rate=3e-3, min_overlap=0.1, max_loss=1)
    report = distil_encoder(start, data, tmp_path / "student", settings, options=ONE_THREAD, force=True)
    for part in ("pictures", "titles"):
        untrained, trained = cosines(report, part)
        assert trained > untrained + 0.005
    assert (report.encoder, report.teacher) == (start, teacher)
    assert report.reduced_overlap is not None
    assert 0.3 < report.reduced_overlap <= 1  # 32 of 384 dimensions
    assert report.model == f"{start.partition(':')[0]}:{tmp_path / 'student'}"
    loaded = firstsight.load_encoder(report.model, runtime="torch:fp32", threads=1)
    assert loaded.spec.dim == 32
    assert f"Its teacher is `{teacher}`" in (tmp_path / "student" / "README.md").read_text()
    assert json.loads((tmp_path / "student" / "distillation.json").read_text())["teacher"] == teacher


@pytest.mark.slow
def test_a_starter_learns_the_vectors_of_a_network(
    teacher: str, tiny_clip: str, data: TuningData, tmp_path: Path
) -> None:
    settings = DistilSettings(teacher=tiny_clip, image_size=64, steps=20, text_steps=3, min_overlap=0.1, max_loss=1)
    report = distil_encoder(teacher, data, tmp_path / "student", settings, options=ONE_THREAD, force=True)
    untrained, trained = cosines(report, "pictures")
    assert trained > untrained + 0.1
    titles = report.figure("overlap@10 of titles")
    assert titles is not None
    assert titles.student > titles.untrained
    assert report.reduced_overlap is None  # the student has more dimensions
    loaded = firstsight.load_encoder(str(report.model))
    assert (loaded.spec.dim, loaded.spec.image_size) == (384, 64)


def test_students_that_are_not_possible_are_named(teacher: str, tiny_clip: str, data: TuningData) -> None:
    def refused(encoder: str, match: str, **settings: Any) -> None:
        with pytest.raises(EncoderError, match=match):
            distil_encoder(encoder, data, None, DistilSettings(**settings), options=ONE_THREAD)

    refused("starter:visual", "starter:visual cannot learn the vectors of another encoder", teacher=tiny_clip)
    refused(tiny_clip, "image size and text layers are for starter", teacher=teacher, text_layers=2)
    refused("starter", "no encoder family is called 'nosuch:x'; there are", teacher="nosuch:x")
    refused(tiny_clip, "prune a model with trained weights", prune=0.5)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100))
def test_a_student_with_as_many_dimensions_keeps_every_cosine(length: int, further: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    teacher = tuple(unit(rng.normal(size=(9, length)).astype(np.float32)) for _ in range(2))
    student = tuple(unit(rng.normal(size=(9, length + further - 1)).astype(np.float32)) for _ in range(2))
    space = TeacherSpace.fit(teacher, student)  # type: ignore[arg-type]
    mapped = space.map(teacher[0])
    np.testing.assert_allclose(mapped @ mapped.T, teacher[0] @ teacher[0].T, atol=1e-5)


def test_the_map_turns_the_teacher_to_the_student() -> None:
    rng = np.random.default_rng(0)
    student = tuple(unit(rng.normal(size=(40, 6)).astype(np.float32)) for _ in range(2))
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0].astype(np.float32)
    teacher = tuple(vectors @ turn for vectors in student)
    space = TeacherSpace.fit(teacher, student)  # type: ignore[arg-type]
    np.testing.assert_allclose(space.map(teacher[1]), student[1], atol=1e-5)


def test_fewer_dimensions_keep_the_directions_in_use() -> None:
    rng = np.random.default_rng(0)
    narrow = [rng.normal(size=(50, 3)).astype(np.float32) for _ in range(2)]
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0][:3].astype(np.float32)
    teacher = tuple(unit(vectors @ turn) for vectors in narrow)
    student = tuple(unit(rng.normal(size=(50, 4)).astype(np.float32)) for _ in range(2))
    mapped = TeacherSpace.fit(teacher, student).map(teacher[0])  # type: ignore[arg-type]
    np.testing.assert_allclose(mapped @ mapped.T, teacher[0] @ teacher[0].T, atol=1e-5)


PRUNED: dict[str, Callable[[Path], Any]] = {
    "clip": checkpoints.clip,
    "siglip_2": checkpoints.siglip_2,  # its pooling has an MLP, too
    "open_clip_folder": open_clip_folder,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PRUNED)
def test_a_pruned_model_is_an_ordinary_folder(kind: str, data: TuningData, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    name = with_structure(PRUNED[kind](tmp_path / "base").name, tmp_path / "trained")
    settings = DistilSettings(prune=0.5, steps=2, learning_rate=1e-5)
    report = distil_encoder(name, data, tmp_path / "student", settings, options=ONE_THREAD)
    assert (report.refused, report.required_overlap) == ("", 0.8)
    assert report.parameters_after < report.parameters_before
    for figure in report.figures:  # only units without effect were taken out
        assert figure.untrained == pytest.approx(figure.teacher, abs=1e-3)
    loaded = firstsight.load_encoder(str(report.model), runtime="torch:fp32", threads=1)
    assert loaded.encode_texts(["red shoe"]).shape == (1, loaded.spec.dim)
    assert loaded.spec.fingerprint != firstsight.load_encoder(name, runtime="torch:fp32", threads=1).spec.fingerprint


@pytest.mark.slow
def test_an_accepted_student_is_searched_as_an_ordinary_encoder(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    name = with_structure(open_clip_folder(tmp_path / "base").name, tmp_path / "trained")
    things = drawn_catalogue(132)
    rows = [
        {"item_id": item.item_id, "title": item.phrases["title"], "image": picture}
        for item, picture in zip(things.items, things.pictures, strict=True)
    ]
    report = firstsight.distil(
        rows,
        tmp_path / "student",
        encoder=name,
        encoder_options=ONE_THREAD,
        prune=0.5,
        steps=2,
        learning_rate=1e-5,
    )
    assert report.refused == ""
    assert report.model == f"open_clip:{tmp_path / 'student'}"
    db = firstsight.open(tmp_path / "db", encoder=firstsight.load_encoder(report.model, runtime="torch:fp32"))
    db.index(rows[:12])
    assert db.search(image=things.pictures[5])[0].item_id == "item-5"


def test_a_model_whose_towers_cannot_be_pruned_is_named(data: TuningData, tmp_path: Path) -> None:
    name = checkpoints.open_clip_roberta_folder(tmp_path).name
    network = load_trainable_model(name, ONE_THREAD).network
    with pytest.raises(EncoderError, match=r"tower of texts .* has no MLPs .* with mlp_ratio, so it cannot be pruned"):
        find_mlps(network, "open_clip")
