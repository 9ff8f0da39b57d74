"""Exports of tiny models and of starter: their files, their vectors outside firstsight, and refusals."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import firstsight
from firstsight.encoders.base import Vectors
from firstsight.encoders.export import export_model as export_module
from firstsight.encoders.export import graphs
from firstsight.encoders.export.standalone.example import ExportedModel
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures
from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.starter_model import BRIDGE_PATH, StarterModel, save_starter
from firstsight.errors import EncoderError
from tests.cli.calling import call_in_process, parse_json_lines
from tests.encoders import checkpoints
from tests.encoders.checkpoints import Checkpoint
from tests.test_docs_python import blocks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("known_architectures")]

SAMPLE_MEDIA = Path(__file__).parents[3] / "sample_media"

# One of each kind of preprocessing, tokeniser and attention.
KINDS: dict[str, Callable[[Path], Checkpoint]] = {
    "open_clip": lambda folder: checkpoints.open_clip_file(folder, "tiny-clip"),
    "open_clip CoCa": lambda folder: checkpoints.open_clip_file(folder, "tiny-coca"),
    "open_clip longest": lambda folder: checkpoints.open_clip_folder(
        folder, "tiny-clip", {"resize_mode": "longest", "fill_color": 127}
    ),
    "open_clip SigLIP": checkpoints.open_clip_siglip_folder,
    "ALIGN": checkpoints.align,
}


@pytest.fixture(scope="module")
def clip_onnx(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the tiny CLIP to ONNX; read only."""
    folder = tmp_path_factory.mktemp("exports") / "clip"
    firstsight.export_model(f"transformers:{clip}", folder)
    return folder


@pytest.fixture(scope="module")
def small_starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A variant of starter with pictures of 64 pixels and a visual part."""
    folder = tmp_path_factory.mktemp("small-starter")
    save_starter(folder, Bridge.load(BRIDGE_PATH).weights, image_size=64, base=StarterModel.of_name("visual"))
    return folder


def vectors_of_example(folder: Path, texts: list[str], pictures: list[Path]) -> dict[str, Any]:
    """Run example.py in a process that cannot import firstsight."""
    block = "import runpy, sys; sys.modules['firstsight'] = None; runpy.run_path('example.py', run_name='__main__')"
    flags = [word for text in texts for word in ("--text", text)]
    flags += [word for picture in pictures for word in ("--picture", str(picture))]
    command = [sys.executable, "-c", block, "--folder", ".", *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line.get("text") or line.get("picture"): line["vector"] for line in lines}


def cosines(first: Any, second: Vectors) -> Vectors:
    products: Vectors = (np.asarray(first, np.float64) * second).sum(axis=1)
    return products


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_and_rules_of_every_kind_give_the_vectors_of_the_model(kind: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    report = firstsight.export_model(KINDS[kind](tmp_path / "model").name, tmp_path / "out")
    assert min(report.min_picture_cosine, report.min_text_cosine) > 0.9999
    assert report.notes == ()
    assert report.min_example_cosine is not None
    assert report.min_example_cosine > 0.9999


def test_the_example_gives_the_vectors_of_the_encoder_without_firstsight(clip: Path, clip_onnx: Path) -> None:
    encoder = firstsight.load_encoder(f"transformers:{clip}", runtime="torch")
    pictures = sorted((SAMPLE_MEDIA / "pictures").glob("*.jpg"))[:3]
    found = vectors_of_example(clip_onnx, list(PROBE_TEXTS[1:4]), pictures)
    assert cosines([found[text] for text in PROBE_TEXTS[1:4]], encoder.encode_texts(PROBE_TEXTS[1:4])).min() > 0.9999
    assert cosines([found[str(path)] for path in pictures], encoder.encode_images(pictures)).min() > 0.9999


def test_the_description_is_complete_for_another_program(clip: Path, clip_onnx: Path) -> None:
    description = json.loads((clip_onnx / "firstsight_export.json").read_text())
    spec = firstsight.load_encoder(f"transformers:{clip}", runtime="torch").spec
    assert (description["name"], description["fingerprint"]) == (spec.name, spec.fingerprint)
    assert description["pictures"]["inputs"] == [{"name": "pixels", "shape": ["batch", 48, 48, 3], "dtype": "uint8"}]
    assert [entry["shape"] for entry in description["texts"]["inputs"]] == [["batch", "length"]] * 2
    assert description["pictures"]["preprocessing"]["normalised_in_graph"] is True
    assert description["parity"]["pictures"] > 0.9999
    assert stat.S_IMODE(clip_onnx.stat().st_mode) & 0o055 == 0o055  # others may read it, as every folder


def test_the_probe_inputs_give_their_vectors_in_another_runtime(clip_onnx: Path) -> None:
    import onnxruntime

    with np.load(clip_onnx / "probe.npz", allow_pickle=False) as probe:
        for tower in ("pictures", "texts"):
            session = onnxruntime.InferenceSession(str(clip_onnx / f"{tower}.onnx"), providers=["CPUExecutionProvider"])
            inputs = {entry.name: probe[f"{tower}.{entry.name}"] for entry in session.get_inputs()}
            assert cosines(session.run(None, inputs)[0], probe[f"{tower}.vectors"]).min() > 0.9999


def test_the_command_of_the_page_writes_graphs_of_openvino_that_it_runs(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter-openvino").mkdir()  # an empty folder is filled
    (_, _, line) = blocks("model-export.md", "console")[0].splitlines()
    words = [f"transformers:{clip}" if word == "starter" else word for word in line.split()]
    code, out, _ = call_in_process(monkeypatch, capsys, *words[1:])
    assert code == 0
    (report,) = parse_json_lines(out)
    assert report["runtime"].startswith("openvino ")
    assert min(report["min_picture_cosine"], report["min_text_cosine"], report["min_example_cosine"]) > 0.9999
    assert [path.name for path in tmp_path.iterdir()] == ["starter-openvino"]


def test_the_block_of_the_page_exports_starter_with_its_bridge(
    small_starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("model-export.md")
    exec(block.replace('"starter"', repr(f"starter:{small_starter}")), {})
    assert capsys.readouterr().out == "True True\n"
    (tmp_path / "starter-onnx").rename(tmp_path / "out")
    description = json.loads((tmp_path / "out" / "firstsight_export.json").read_text())
    assert description["pictures"]["inputs"][0]["shape"] == ["batch", 64, 64, 3]
    encoder = firstsight.load_encoder(f"starter:{small_starter}")
    pictures = sorted((SAMPLE_MEDIA / "pictures").glob("*"))[:3]
    found = vectors_of_example(tmp_path / "out", list(PROBE_TEXTS[:3]), pictures)
    assert cosines([found[text] for text in PROBE_TEXTS[:3]], encoder.encode_texts(PROBE_TEXTS[:3])).min() > 0.9999
    assert cosines([found[str(path)] for path in pictures], encoder.encode_images(pictures)).min() > 0.9999


# ---- TensorRT


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program trtexec that writes its arguments into the engine."""
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "(engine,) = [word.partition('=')[2] for word in sys.argv if word.startswith('--saveEngine=')]\n"
        "open(engine, 'w').write(' '.join(sys.argv[1:]))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def test_engines_are_built_where_trtexec_is(clip: Path, tmp_path: Path, trtexec: Path) -> None:
    report = firstsight.export_model(f"transformers:{clip}", tmp_path / "out", format="tensorrt")
    words = (tmp_path / "out" / "texts.engine").read_text().split()
    assert "--minShapes=ids:1x1,mask:1x1" in words
    assert "--optShapes=ids:8x16,mask:8x16" in words
    assert any(word.startswith("--maxShapes=ids:64x") for word in words)
    assert (tmp_path / "out" / "pictures.engine").exists()
    assert report.notes == (
        "trtexec built the engines; check them where the package tensorrt is installed: run check_tensorrt.py",
    )


def test_without_tensorrt_the_script_names_the_command(clip: Path, tmp_path: Path) -> None:
    report = firstsight.export_model(f"transformers:{clip}", tmp_path / "out", format="tensorrt")
    (note,) = report.notes
    assert note.startswith("no engines were built, because TensorRT is not installed here")
    done = subprocess.run(
        [sys.executable, "build_tensorrt.py"], cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stdout.startswith("trtexec --onnx=")
    assert done.stderr.startswith("neither the package tensorrt nor the program trtexec is here")


# ---- refusals


def test_a_folder_in_use_is_refused_and_stays(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EncoderError, match="exists and is not an empty folder"):
        firstsight.export_model(f"transformers:{clip}", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_export_that_changes_the_vectors_is_refused_and_leaves_nothing(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged(torch.nn.Module):
        def __init__(self, tower: torch.nn.Module) -> None:
            super().__init__()
            self.tower = tower

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            vectors: torch.Tensor = self.tower(*inputs)
            return torch.nn.functional.normalize(vectors + 0.02, dim=1)

    monkeypatch.setattr(graphs, "with_plain_attention", lambda module: Damaged(module))
    with pytest.raises(EncoderError, match=r"minimum cosine of 0\.\d+ .*nothing was written"):
        firstsight.export_model(f"transformers:{clip}", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_tower_that_a_format_cannot_express_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    name = checkpoints.align(tmp_path / "model").name
    with pytest.raises(EncoderError, match=r"cannot be exported to OpenVINO .*use --format onnx"):
        firstsight.export_model(name, tmp_path / "out", format="openvino")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("starter", "tflite", "format 'tflite' does not exist; choose onnx, openvino, tensorrt"),
        ("other:model", "onnx", "'other:model' cannot be exported"),
        ("starter:multilingual", "onnx", "its tower of several languages is a program in NumPy"),
        ("starter:no-such-folder", "onnx", "no-such-folder is not a starter model"),
    ],
)
def test_wrong_names_are_refused(name: str, format: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=message):
        firstsight.export_model(name, tmp_path / "out", format=format)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_rules_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    report = firstsight.export_model(checkpoints.siglip_2_naflex(tmp_path / "model").name, tmp_path / "out")
    (note,) = report.notes
    assert note.startswith("example.py cannot prepare pictures")
    rules = json.loads((tmp_path / "out" / "firstsight_export.json").read_text())["pictures"]["preprocessing"]
    assert (rules["kind"], rules["settings"]["max_num_patches"]) == ("library", 256)


def test_the_draft_is_removed_after_an_error(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(export_module, "_write_probe", fail)
    with pytest.raises(OSError, match="disk is full"):
        firstsight.export_model(f"transformers:{clip}", tmp_path / "out", format="openvino")
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_many_modes_are_read_as_by_the_encoder(clip: Path, clip_onnx: Path, tmp_path: Path) -> None:
    base = probe_pictures(1)[0]
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    base.save(turned, exif=exif, quality=95)
    clear = base.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(base.size))
    clear.save(tmp_path / "clear.png")
    base.convert("P").save(tmp_path / "palette.png")
    base.convert("L").save(tmp_path / "grey.png")
    base.resize((2600, 2000)).save(tmp_path / "large.jpg")
    files = sorted(tmp_path.glob("*.*g"))
    encoder = firstsight.load_encoder(f"transformers:{clip}", runtime="torch")
    found = ExportedModel(clip_onnx).encode_images(list(files))
    assert cosines(found, encoder.encode_images(files)).min() > 0.9995
