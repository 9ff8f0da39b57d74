"""Choice of a runtime, refusal of inaccurate runtimes, and int8 calibration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
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
from firstsight.encoders.runtimes.dual_encoder import DualEncoder
from firstsight.encoders.runtimes.dual_model import DualModel
from firstsight.encoders.runtimes.model_towers import INT8, can_trim_padding, graph_key, make_tower
from firstsight.encoders.runtimes.openvino_runtime import computes_in_bf16, graph_folder
from firstsight.encoders.runtimes.torch_runtime import TorchTower
from firstsight.errors import EncoderError
from tests.encoders import checkpoints

pytestmark = pytest.mark.usefixtures("known_architectures")

OPTIONS = EncoderOptions(threads=2)


@pytest.fixture(scope="module")
def graphs(model: DualModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the exported graphs of `model`, without measurements; read only."""
    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRSTSIGHT_CACHE", str(folder))
        for which in ("pictures", "texts"):
            make_tower(model.spec, model, which, Runtime("openvino"), OPTIONS)
    return folder


@pytest.fixture(autouse=True)
def cache(graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with the exported graphs of `model`: most tests need them, and an export takes half a second."""
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(graphs, tmp_path / "cache")


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory, known_architectures: None) -> str:
    return checkpoints.open_clip_file(tmp_path_factory.mktemp("clip"), "tiny-clip").name


@pytest.fixture(scope="module")
def model(name: str) -> DualModel:
    return load_dual_model(name, OPTIONS)


class Shifted(torch.nn.Module):
    """A tower with other vectors at lower precision than in float32, like one with outlier channels."""

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
    """Divide pictures of any shape into some 60 cells: padded (n, 64, 3) colours, and (n, 2) rows and columns."""
    colours, shapes = np.zeros((len(pictures), 64, 3), np.float32), np.zeros((len(pictures), 2), np.int64)
    for index, picture in enumerate(pictures):
        rows = int(np.clip(round((60 * picture.height / picture.width) ** 0.5), 1, 60))
        small = np.asarray(picture.resize((60 // rows, rows)), np.float32).reshape(-1, 3) / 255 - 0.5
        colours[index, : len(small)], shapes[index] = small, (rows, 60 // rows)
    return colours, shapes


class ByLargestShape(torch.nn.Module):
    """A tower that reads the largest shape of its batch as Python numbers: a trace freezes the example's shape."""

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
def test_a_precision_that_changes_the_vectors_is_refused_with_figures_and_auto_tries_the_next(
    model: DualModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(model, text_tower=Shifted(model.text_tower), spec=replace(model.spec, fingerprint="f" * 64))
    with pytest.raises(EncoderError, match=r"run as torch:bf16: its vectors reach a minimum cosine of 0\.\d{4}"):
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


@pytest.mark.slow
def test_a_trace_with_a_frozen_picture_shape_is_refused(model: DualModel) -> None:
    frozen = replace(
        model,
        prepare_pictures=cells,
        picture_tower=ByLargestShape().eval(),
        spec=replace(model.spec, fingerprint="e" * 64),
    )
    with pytest.raises(EncoderError, match="cannot be run as openvino:fp32: its vectors reach a minimum cosine"):
        runtime_choice.choose_runtime(frozen, replace(OPTIONS, runtime="openvino"))
    assert runtime_choice.choose_runtime(frozen, replace(OPTIONS, runtime="torch:fp32")) == Runtime("torch", "fp32")


def test_a_measurement_is_reported_and_made_once(model: DualModel, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, said = Runtime("openvino", "fp32"), list[str]()
    options = replace(OPTIONS, on_progress=said.append)
    first = runtime_choice.measure_runtime(model, runtime, options)
    assert first.min_cosine > 0.99999
    monkeypatch.setattr(runtime_choice, "compare_with_reference", None)
    assert runtime_choice.measure_runtime(model, runtime, options) == first
    assert [line.split(";")[1] for line in said] == [" once on this machine"]


def test_a_failed_runtime_is_tried_again_if_selected_by_name(model: DualModel, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime("openvino", "fp32")
    with monkeypatch.context() as patch:
        patch.setattr(
            runtime_choice, "compare_with_reference", lambda *_: np.empty(-1)
        )  # an error of numpy, such as exhausted memory
        assert runtime_choice.measure_runtime(model, runtime, OPTIONS).refused.startswith("it fails (")
    assert runtime_choice.measure_runtime(model, runtime, OPTIONS).refused.startswith(
        "it fails ("
    )  # auto does not retry
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
def test_damaged_measurements_are_made_again(model: DualModel, cache: Path) -> None:
    runtime = Runtime("openvino", "fp32")
    first = runtime_choice.measure_runtime(model, runtime, OPTIONS)
    (file,) = (cache / "verdicts").iterdir()
    file.write_text("{", encoding="utf-8")
    assert runtime_choice.measure_runtime(model, runtime, OPTIONS).min_cosine == pytest.approx(
        first.min_cosine, abs=1e-6
    )
    assert json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_encoding_works_without_a_writable_cache_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "file" / "cache"))
    encoder = firstsight.load_encoder(name, runtime="openvino")
    assert encoder.encode_texts(["a red shoe"]).shape == (1, encoder.spec.dim)
    assert encoder.encode_images([Image.new("RGB", (60, 60), "red")]).shape == (1, encoder.spec.dim)


def test_padding_is_trimmed_only_if_vectors_stay_the_same(model: DualModel, tmp_path: Path) -> None:
    assert can_trim_padding(model)
    assert not can_trim_padding(load_dual_model(checkpoints.siglip_2(tmp_path).name, OPTIONS))


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("fastest", "no runtime 'fastest'; choose auto, fast, torch"),
        ("torch:int4", "torch does not run in 'int4'; choose fp32, bf16, fp16"),
        ("openvino:fp16", "openvino does not run in 'fp16'; choose fp32, bf16, int8"),
        ("fast", "not calibrated yet; run: firstsight models calibrate open_clip:tiny-clip@"),
    ],
)
def test_an_unavailable_runtime_gets_a_one_line_error(name: str, runtime: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        firstsight.load_encoder(name, runtime=runtime)


def test_a_missing_device_gets_a_one_line_error(name: str) -> None:
    with pytest.raises(EncoderError, match="torch cannot use the device 'cuda:7' here; this machine has"):
        firstsight.load_encoder(name, runtime="torch", device="cuda:7")


@pytest.mark.slow
def test_later_calls_work_after_a_bad_picture(name: str) -> None:
    encoder = firstsight.load_encoder(name, runtime="openvino")
    good = Image.new("RGB", (60, 60), "red")
    expected = encoder.encode_images([good])
    with pytest.raises(firstsight.MediaError, match="picture 25: "):
        encoder.encode_images([good] * 25 + [b"no picture"] + [good] * 30)
    np.testing.assert_array_equal(encoder.encode_images([good]), expected)


# ---- int8


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of 260 crops from photographs."""
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
def test_int8_runs_after_its_calibration(name: str, crops: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    # with random weights all pictures have similar vectors, so neighbours change more than in a trained model
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
def test_int8_below_its_thresholds_is_refused(
    name: str, model: DualModel, crops: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setattr("firstsight.encoders.models.int8_calibration.MIN_NEIGHBOUR_OVERLAP", 1.01)
    measured = calibrate(name, crops, OPTIONS)
    assert "of the ten nearest neighbours (required: 1.01); use --runtime auto" in measured.refused
    assert not graph_folder(graph_key(model.spec, "pictures", INT8)).exists()
    with pytest.raises(EncoderError, match="of the ten nearest neighbours"):
        firstsight.load_encoder(name, runtime="fast")


def test_too_few_pictures_for_calibration_get_an_error_with_the_count(name: str, crops: list[Path]) -> None:
    pytest.importorskip("nncf")
    with pytest.raises(EncoderError, match="49 of 50 files are readable pictures; calibration needs 200"):
        calibrate(name, crops[:50], OPTIONS)


def test_starter_has_no_int8() -> None:
    with pytest.raises(EncoderError, match="starter does not run as openvino:int8"):
        firstsight.load_encoder("starter", runtime="openvino:int8")


def test_overlap_counts_the_neighbours_that_stay() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 16)).astype(np.float32)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    assert neighbour_overlap(first, first) == 1.0
    second = rng.permutation(first)
    assert neighbour_overlap(first, second) < 0.4  # by chance 10 of 59
    with pytest.raises(ValueError, match="need more than 10 rows"):
        neighbour_overlap(first[:10], first[:10])


# ---- measurements


def test_a_model_may_have_several_entries() -> None:
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
