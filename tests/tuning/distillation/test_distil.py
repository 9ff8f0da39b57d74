"""Distillation of a small starter: what is learned, measured, refused and written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import StarterModel
from firstsight.encoders.starter.towers import MiniLM
from firstsight.errors import EncoderError
from firstsight.tuning.distillation.distil import distil_encoder
from firstsight.tuning.distillation.distil_report import DistilFigure, DistilReport
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.rate_schedule import rate_share
from firstsight.tuning.distillation.student_measures import figure, overlap, own_picture_recall
from firstsight.tuning.distillation.student_verdict import reasons_against
from firstsight.tuning.distillation.text_student import kept_layers, with_layers
from firstsight.tuning.distillation.vector_loss import vector_loss
from firstsight.tuning.tuning_data import TuningData
from tests.test_docs_python import blocks
from tests.tuning.distillation.drawn_things import drawn_catalogue


@pytest.mark.slow
def test_a_student_with_a_smaller_picture_learns_its_teachers_vectors(
    teacher: str, data: TuningData, tmp_path: Path
) -> None:
    settings = DistilSettings(image_size=64, steps=30, min_overlap=0.2, max_loss=1)
    report = distil_encoder(teacher, data, tmp_path / "student", settings, force=True)
    cosine = report.figure("cosine of pictures")
    assert cosine is not None
    assert cosine.student > cosine.untrained + 0.02
    texts = report.figure("cosine of titles")
    assert texts is not None
    assert texts.student > 0.9999  # the text tower stays
    assert report.model == f"starter:{tmp_path / 'student'}"
    student = firstsight.load_encoder(report.model)
    assert student.spec.image_size == 64
    assert student.spec.fingerprint != firstsight.load_encoder(teacher).spec.fingerprint
    stored = json.loads((tmp_path / "student" / "distillation.json").read_text())
    assert stored["figures"][0]["student"] == report.figures[0].student
    assert "| cosine of pictures | 1.000 |" in (tmp_path / "student" / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


@pytest.mark.slow
def test_a_student_with_fewer_layers_learns_its_teachers_vectors(teacher: str, data: TuningData) -> None:
    settings = DistilSettings(text_layers=1, text_steps=9, min_overlap=0.1, max_loss=1)
    report = distil_encoder(teacher, data, None, settings)
    cosine = report.figure("cosine of titles")
    assert cosine is not None
    assert cosine.student > cosine.untrained
    assert report.text_tower == ((12, 1536),)
    assert report.parameters_before - report.parameters_after == 1_774_464  # one layer
    assert report.model is None


@pytest.mark.slow
def test_a_student_below_the_bound_is_refused_with_its_figure_and_written_only_by_force(
    teacher: str, data: TuningData, tmp_path: Path
) -> None:
    settings = DistilSettings(image_size=64, prune=0.5, steps=1, text_steps=1, min_overlap=1.0)
    report = distil_encoder(teacher, data, tmp_path / "student", settings, force=False)
    assert "overlap@10 of titles with the teacher is 0." in report.refused
    assert "overlap@10 of pictures with the teacher is 0." in report.refused
    assert (report.model, list(tmp_path.iterdir())) == (None, [])
    assert sum(heads for heads, _ in report.text_tower) == 12
    assert sum(units for _, units in report.text_tower) == 1536
    forced = distil_encoder(teacher, drawn_catalogue(12), tmp_path / "student", settings, force=True)
    assert forced.forced
    assert "held-out products are too few" in forced.refused
    assert "although it was refused" in (tmp_path / "student" / "README.md").read_text()
    loaded = StarterEncoder(model=StarterModel.of_folder(str(tmp_path / "student")))
    assert loaded.encode_texts(["red shoe"]).shape == (1, 384)


def test_few_products_are_refused_before_any_work(teacher: str, tmp_path: Path) -> None:
    report = distil_encoder(teacher, drawn_catalogue(60), tmp_path / "student", DistilSettings(image_size=64))
    assert report.refused.endswith("held-out products are too few to judge a student (required: 30)")
    assert (report.figures, list(tmp_path.iterdir())) == ((), [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 20}, "image size 20 is out of range; choose 64 to 512"),
        ({"text_layers": 0}, "0 text layers are not possible"),
        ({"prune": 1.0}, r"share 1\.0 to prune is out of range"),
        ({"prune": 0.5, "min_overlap": 2}, "min_overlap 2 is out of range; choose 0 to 1"),
        ({"prune": 0.5, "steps": 0}, "steps 0 must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        DistilSettings(**settings)  # type: ignore[arg-type]


def test_without_a_smaller_part_the_student_gets_pictures_of_192_pixels() -> None:
    assert DistilSettings().image_size == 192
    assert DistilSettings(text_layers=3).image_size is None


def test_a_pruned_student_must_keep_more_neighbours_than_a_distilled_one() -> None:
    assert DistilSettings(image_size=192).required_overlap == 0.6
    assert DistilSettings(prune=0.5).required_overlap == 0.8
    assert DistilSettings(prune=0.5, min_overlap=0.7).required_overlap == 0.7


def test_impossible_students_are_refused(teacher: str, data: TuningData, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="'other:x' cannot be a student; choose starter"):
        distil_encoder("other:x", data, None, DistilSettings(image_size=64))
    with pytest.raises(EncoderError, match="nothing would change in open_clip:ViT-B-32; add --prune SHARE, or"):
        distil_encoder("open_clip:ViT-B-32", data, None, DistilSettings(image_size=64))
    with pytest.raises(EncoderError, match="image size 128 is larger than the teacher's 96"):
        distil_encoder(teacher, data, None, DistilSettings(image_size=128))
    with pytest.raises(EncoderError, match="image size 96 is the teacher's own, so nothing would become smaller"):
        distil_encoder(teacher, data, None, DistilSettings(image_size=96))
    with pytest.raises(EncoderError, match="3 text layers are not possible; the text tower has 2"):
        distil_encoder(teacher, data, None, DistilSettings(text_layers=3))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EncoderError, match="exists and is not an empty folder"):
        distil_encoder(teacher, data, tmp_path, DistilSettings(image_size=64))


def test_the_first_and_the_last_layer_are_kept() -> None:
    assert kept_layers(6, 3) == (0, 2, 5)
    assert kept_layers(6, 6) == (0, 1, 2, 3, 4, 5)
    assert kept_layers(6, 1) == (0,)


def test_a_tower_with_all_its_layers_is_unchanged() -> None:
    import torch

    torch.manual_seed(0)
    tower = MiniLM([(2, 64), (3, 32)]).eval()
    ids, mask = torch.tensor([[101, 2000, 102]]), torch.ones(1, 3, dtype=torch.int64)
    assert torch.equal(with_layers(tower, (0, 1))(ids, mask), tower(ids, mask))
    assert with_layers(tower, (1,)).sizes == ((3, 32),)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 150])
def test_the_rate_rises_and_falls_for_any_number_of_steps(steps: int) -> None:
    rates = [rate_share(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == 1.0
    assert rates[-1] < 0.4 or steps < 9


def test_overlap_counts_common_neighbours() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert overlap(vectors, vectors).tolist() == [1.0] * 40
    assert overlap(-vectors, vectors).mean() == 1.0  # similarities between rows are the same
    mixed = overlap(rng.permutation(vectors), vectors)
    assert 0.1 < mixed.mean() < 0.4  # 10 of 39 by chance


def figures(overlap_low: float) -> DistilReport:
    """A report whose pictures keep .73 of the neighbours, .06 more than before the training."""
    kept = DistilFigure("overlap@10 of pictures", 1.0, 0.67, 0.73, -0.3, -0.24, overlap_low, 0.09)
    return DistilReport(
        "starter", "starter", None, "", False, 192, (), 1, 1, 1.0, 2.0, 1.0, 1.0, 90, 40, 0.6, None, (kept,)
    )


def test_a_student_above_the_bound_is_refused_if_its_training_shows_no_gain() -> None:
    settings = DistilSettings(image_size=192)
    assert list(reasons_against(figures(0.02), ["pictures"], settings, 40)) == []
    (reason,) = reasons_against(figures(-0.01), ["pictures"], settings, 40)
    assert reason.startswith("overlap@10 of pictures changes by +0.060 (-0.010 to +0.090) over the untrained student")
    assert list(reasons_against(figures(-0.01), ["titles"], settings, 40)) == []  # the pictures are the teacher's


def test_the_interval_of_the_gain_is_drawn_over_products() -> None:
    rng = np.random.default_rng(0)
    untrained = rng.uniform(0, 0.5, 120)
    student = untrained + 0.1 + rng.normal(0, 0.05, 120)
    found = figure("overlap@10 of titles", [f"p{row // 3}" for row in range(120)], np.ones(120), untrained, student)
    assert found.gain_low < found.student - found.untrained < found.gain_high
    assert 0.08 < found.gain_low < found.gain_high < 0.12
    assert found.low < found.student - 1 < found.high < 0


def test_own_picture_recall_finds_any_picture_of_the_title() -> None:
    pictures = np.eye(4, dtype=np.float32)
    texts = pictures[[0, 1]]
    assert own_picture_recall(texts, pictures, [[0], [2]], k=1).tolist() == [1.0, 0.0]


def test_the_loss_is_zero_only_for_the_teachers_vectors() -> None:
    import torch

    teacher = torch.nn.functional.normalize(torch.randn(9, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    assert vector_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-5)
    assert vector_loss(teacher.roll(1, 0), teacher).item() > 0.1
    assert vector_loss(teacher[:1], teacher[:1]).item() == pytest.approx(0, abs=1e-5)


def test_the_python_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("smaller-models.md")
    exec(block, {})
    assert capsys.readouterr().out.endswith("held-out products are too few to judge a student (required: 30)\n")
    assert list(tmp_path.iterdir()) == []
