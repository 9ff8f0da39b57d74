"""Which runtime runs a model, and what keeps one that changes its vectors from being used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from PIL import Image

import firstsight
from firstsight.encoders.base import Arrays, Encoder, EncoderSpec
from firstsight.encoders.encoder_options import EncoderOptions, Runtime
from firstsight.encoders.models.int8_calibration import calibrate, neighbour_overlap
from firstsight.encoders.registry import load_dual_model
from firstsight.encoders.runtimes import runtime_choice, runtime_measurements
from firstsight.encoders.runtimes.dual_encoder import DualEncoder, DualModel
from firstsight.encoders.runtimes.openvino_runtime import computes_in_bf16, graph_folder
from firstsight.encoders.runtimes.torch_runtime import TorchTower
from firstsight.errors import EncoderError
from tests.encoders import checkpoints

OPTIONS = EncoderOptions(threads=2)


@pytest.fixture(scope="module", autouse=True)
def _known_architectures() -> Iterator[None]:
    """open_clip's list of architectures, which the checkpoints add to, is put back."""
    paths, configs = list(open_clip.factory._MODEL_CONFIG_PATHS), dict(open_clip.factory._MODEL_CONFIGS)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS[:] = paths
    open_clip.factory._MODEL_CONFIGS.clear()
    open_clip.factory._MODEL_CONFIGS.update(configs)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoints.open_clip_file(tmp_path_factory.mktemp("clip"), "tiny-clip").name


@pytest.fixture(scope="module")
def model(name: str) -> DualModel:
    return load_dual_model(name, OPTIONS)


class Shifted(torch.nn.Module):
    """A tower that gives other vectors in smaller numbers than in float32, as one with outlier channels does."""

    def __init__(self, tower: torch.nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.marker = torch.nn.Parameter(torch.ones(1))

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.tower(*inputs)
        if self.marker.dtype != torch.float32:
            features = features + features.abs().mean() * torch.linspace(-2, 2, features.shape[-1]).to(features.dtype)
        return features


def cells(pictures: Sequence[Image.Image]) -> Arrays:
    """Pictures of any shape in some 60 cells: (n, 64, 3) colours in rows, padded, and (n, 2) rows and columns."""
    colours, shapes = np.zeros((len(pictures), 64, 3), np.float32), np.zeros((len(pictures), 2), np.int64)
    for index, picture in enumerate(pictures):
        rows = int(np.clip(round((60 * picture.height / picture.width) ** 0.5), 1, 60))
        small = np.asarray(picture.resize((60 // rows, rows)), np.float32).reshape(-1, 3) / 255 - 0.5
        colours[index, : len(small)], shapes[index] = small, (rows, 60 // rows)
    return colours, shapes


class ByLargestShape(torch.nn.Module):
    """A tower that reads the largest shape among its pictures as numbers of Python: a trace keeps its example's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = torch.nn.Linear(6, 32)

    def forward(self, colours: torch.Tensor, shapes: torch.Tensor) -> torch.Tensor:
        height, width = shapes.amax(dim=0).tolist()
        cell, columns = torch.arange(64), shapes[:, 1:]
        places = (torch.sin(20 * (cell // columns) / height), torch.sin(20 * (cell % columns) / width))
        placed = torch.cat([colours * place[..., None] for place in places], dim=-1).mean(dim=1)
        features: torch.Tensor = self.project(placed)
        return features


@pytest.mark.slow
def test_auto_takes_the_first_candidate_that_keeps_the_vectors(name: str) -> None:
    encoder = firstsight.load_encoder(name)
    assert isinstance(encoder, DualEncoder)
    assert encoder.runtime == ("openvino:bf16" if computes_in_bf16() else "openvino:fp32")


@pytest.mark.slow
def test_every_runtime_of_a_model_has_one_fingerprint(name: str) -> None:
    specs = [
        firstsight.load_encoder(name, runtime=r).spec for r in ("torch", "torch:bf16", "openvino", "openvino:bf16")
    ]
    assert len(set(specs)) == 1


@pytest.mark.slow
def test_a_precision_that_moves_the_vectors_is_refused_with_the_figures_and_auto_goes_on(
    model: DualModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(model, text_tower=Shifted(model.text_tower), spec=replace(model.spec, fingerprint="f" * 64))
    with pytest.raises(EncoderError, match=r"run as torch:bf16: its vectors keep a cosine of 0\.\d{4} at worst"):
        runtime_choice.choose_runtime(wrong, replace(OPTIONS, runtime="torch:bf16"))
    monkeypatch.setattr(
        runtime_choice, "candidate_runtimes", lambda device: [Runtime("torch", "bf16"), Runtime("openvino", "fp32")]
    )
    assert runtime_choice.choose_runtime(wrong, OPTIONS) == Runtime("openvino", "fp32")


@pytest.mark.slow
def test_a_tower_that_cannot_be_exported_runs_in_torch(tmp_path: Path) -> None:
    encoder = firstsight.load_encoder(checkpoints.align(tmp_path).name)
    assert isinstance(encoder, DualEncoder)
    assert encoder.runtime.startswith("torch:")
    with pytest.raises(EncoderError, match="cannot be run as openvino:fp32: it fails"):
        firstsight.load_encoder(checkpoints.align(tmp_path).name, runtime="openvino")


def test_a_trace_that_froze_a_pictures_shape_is_refused(model: DualModel) -> None:
    frozen = replace(
        model,
        prepare_pictures=cells,
        picture_tower=ByLargestShape().eval(),
        spec=replace(model.spec, fingerprint="e" * 64),
    )
    with pytest.raises(EncoderError, match="cannot be run as openvino:fp32: its vectors keep a cosine"):
        runtime_choice.choose_runtime(frozen, replace(OPTIONS, runtime="openvino"))
    assert runtime_choice.choose_runtime(frozen, replace(OPTIONS, runtime="torch:fp32")) == Runtime("torch", "fp32")


def test_a_verdict_is_announced_and_reached_once(model: DualModel, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, said = Runtime("openvino", "fp32"), list[str]()
    options = replace(OPTIONS, on_progress=said.append)
    first = runtime_choice.measure_runtime(model, runtime, options)
    assert first.min_cosine > 0.99999
    monkeypatch.setattr(runtime_choice, "compare_with_reference", None)
    assert runtime_choice.measure_runtime(model, runtime, options) == first
    assert [line.split(";")[1] for line in said] == [" once on this machine"]


def test_a_runtime_that_failed_is_tried_again_when_asked_for_by_name(
    model: DualModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime("openvino", "fp32")
    with monkeypatch.context() as patch:
        patch.setattr(
            runtime_choice, "compare_with_reference", lambda *_: np.empty(-1)
        )  # numpy's own error: no memory for it, say
        assert runtime_choice.measure_runtime(model, runtime, OPTIONS).refused.startswith("it fails (")
    assert runtime_choice.measure_runtime(model, runtime, OPTIONS).refused.startswith(
        "it fails ("
    )  # auto does not try again
    assert runtime_choice.measure_runtime(model, runtime, replace(OPTIONS, runtime="openvino")).refused == ""


@pytest.mark.slow
def test_a_compiled_tower_gives_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)  # else compilers start that are not needed
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    torch.manual_seed(0)
    tower = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4)).eval()
    rows = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    (exact,) = TorchTower(tower, threads=2, device="cpu").run(rows)
    (compiled,) = TorchTower(tower, threads=2, device="cpu", compiled=True).run(rows)
    np.testing.assert_allclose(compiled, exact, atol=1e-5)


@pytest.mark.slow
def test_broken_verdicts_are_reached_again(model: DualModel, cache: Path) -> None:
    runtime = Runtime("openvino", "fp32")
    first = runtime_choice.measure_runtime(model, runtime, OPTIONS)
    (file,) = (cache / "verdicts").iterdir()
    file.write_text("{", encoding="utf-8")
    assert runtime_choice.measure_runtime(model, runtime, OPTIONS).min_cosine == pytest.approx(
        first.min_cosine, abs=1e-6
    )
    assert json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_cache_folder_that_cannot_be_written_costs_nothing_but_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "file" / "cache"))
    encoder = firstsight.load_encoder(name, runtime="openvino")
    assert encoder.encode_texts(["a red shoe"]).shape == (1, encoder.spec.dim)
    assert encoder.encode_images([Image.new("RGB", (60, 60), "red")]).shape == (1, encoder.spec.dim)


def test_padding_is_cut_where_it_changes_nothing_and_left_where_it_does(model: DualModel, tmp_path: Path) -> None:
    assert runtime_choice.can_trim_padding(model)
    assert not runtime_choice.can_trim_padding(load_dual_model(checkpoints.siglip_2(tmp_path).name, OPTIONS))


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("fastest", "no runtime 'fastest'; choose auto, fast, torch"),
        ("torch:int4", "torch does not run in 'int4'; choose fp32, bf16, fp16"),
        ("openvino:fp16", "openvino does not run in 'fp16'; choose fp32, bf16, int8"),
        ("fast", "not calibrated yet; run: firstsight models calibrate open_clip:tiny-clip@"),
    ],
)
def test_a_runtime_that_cannot_be_had_is_one_sentence(name: str, runtime: str, said: str) -> None:
    with pytest.raises(EncoderError, match=said):
        firstsight.load_encoder(name, runtime=runtime)


def test_a_device_that_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(EncoderError, match="torch cannot use the device 'cuda:7' here; this machine has"):
        firstsight.load_encoder(name, runtime="torch", device="cuda:7")


@pytest.mark.slow
def test_a_bad_picture_costs_no_later_call(name: str) -> None:
    encoder = firstsight.load_encoder(name, runtime="openvino")
    good = Image.new("RGB", (60, 60), "red")
    expected = encoder.encode_images([good])
    with pytest.raises(firstsight.MediaError, match="picture 25: "):
        encoder.encode_images([good] * 25 + [b"no picture"] + [good] * 30)
    np.testing.assert_array_equal(encoder.encode_images([good]), expected)


# ---- int8


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some 260 pieces of photographs, as files."""
    folder = tmp_path_factory.mktemp("crops")
    photographs = [Image.fromarray(getattr(skimage.data, n)()) for n in ("astronaut", "chelsea", "coffee", "rocket")]
    rng = np.random.default_rng(0)
    for index in range(260):
        photograph = photographs[index % len(photographs)]
        side = int(rng.integers(60, 250))
        left, top = int(rng.integers(0, photograph.width - side)), int(rng.integers(0, photograph.height - side))
        photograph.crop((left, top, left + side, top + side)).save(folder / f"{index:03}.png")
    (folder / "000.txt").write_text("no picture")
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_int8_is_measured_and_then_runs(name: str, crops: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    # random weights give all pictures much the same vector, so their neighbours move more than a trained model's
    monkeypatch.setattr("firstsight.encoders.models.int8_calibration.MIN_NEIGHBOUR_OVERLAP", 0.8)
    steps: list[str] = []
    measured = calibrate(name, crops, OPTIONS, steps.append)
    assert measured.refused == ""
    assert measured.pictures == 260 - 128
    assert 0.98 < measured.min_cosine <= measured.mean_cosine < 1.0
    assert 0.8 < measured.overlap < 1
    assert measured.speedup > 0
    assert any("quantising with 128 pictures" in step for step in steps)
    fast = firstsight.load_encoder(name, runtime="fast")
    assert isinstance(fast, DualEncoder)
    assert fast.runtime == "openvino:int8"
    exact = firstsight.load_encoder(name, runtime="torch")
    cosines = (fast.encode_images(crops[130:160]) * exact.encode_images(crops[130:160])).sum(axis=1)
    assert 0.98 < cosines.min() < cosines.mean() < 1.0
    assert fast.spec == exact.spec


@pytest.mark.slow
def test_int8_below_its_figures_is_refused(
    name: str, model: DualModel, crops: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setattr("firstsight.encoders.models.int8_calibration.MIN_NEIGHBOUR_OVERLAP", 1.01)
    measured = calibrate(name, crops, OPTIONS)
    assert "of the ten nearest neighbours (it must keep 1.01); use --runtime auto" in measured.refused
    assert not graph_folder(runtime_choice.graph_key(model.spec, "pictures", runtime_choice.INT8)).exists()
    with pytest.raises(EncoderError, match="of the ten nearest neighbours"):
        firstsight.load_encoder(name, runtime="fast")


def test_too_few_pictures_to_calibrate_with_are_counted(name: str, crops: list[Path]) -> None:
    pytest.importorskip("nncf")
    with pytest.raises(EncoderError, match="49 of 50 files are pictures that can be read; calibration needs 200"):
        calibrate(name, crops[:50], OPTIONS)


def test_starter_has_no_int8() -> None:
    with pytest.raises(EncoderError, match="starter does not run as openvino:int8"):
        firstsight.load_encoder("starter", runtime="openvino:int8")


def test_overlap_counts_the_neighbours_that_stay() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(60, 16)).astype(np.float32)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    assert neighbour_overlap(one, one) == 1.0
    other = rng.permutation(one)
    assert neighbour_overlap(one, other) < 0.4  # by chance 10 of 59
    with pytest.raises(ValueError, match="need more than 10 rows"):
        neighbour_overlap(one[:10], one[:10])


# ---- verdicts


def test_entries_of_a_model_stand_side_by_side() -> None:
    runtime_measurements.write("a" * 64, "one", {"x": 1})
    runtime_measurements.write("a" * 64, "other", {"y": 2})
    assert (runtime_measurements.read("a" * 64, "one"), runtime_measurements.read("a" * 64, "other")) == (
        {"x": 1},
        {"y": 2},
    )
    assert runtime_measurements.read("b" * 64, "one") is None


@pytest.mark.slow
def test_an_encoder_is_an_encoder(name: str) -> None:
    encoder = firstsight.load_encoder(name)
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder.spec, EncoderSpec)
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, encoder.spec.dim)
