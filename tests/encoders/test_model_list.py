"""The list of models, with figures from the models and the content of a Hugging Face cache, and downloads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import transformers

from firstsight.encoders.models.model_check import describe_problem, pictures_under, sample_pictures
from firstsight.encoders.models.model_download import DownloadReport, download
from firstsight.encoders.models.model_list import RECOMMENDED, ModelEntry, list_models
from firstsight.errors import EncoderError
from tests.encoders import checkpoints

COMMIT = "0123456789abcdef0123456789abcdef01234567"
VIT_B_32 = "open_clip:ViT-B-32/laion2b_s34b_b79k"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, offline."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


def put(cache: Path, repo: str, files: Path | dict[str, bytes]) -> Path:
    """Add a repository to the cache in the layout of huggingface_hub (blobs and links); returns the links' folder."""
    root = cache / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    for part in ("blobs", "refs"):
        (root / part).mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    found = files if isinstance(files, dict) else {p.name: p.read_bytes() for p in files.iterdir() if p.is_file()}
    snapshot.mkdir(parents=True)
    for number, (name, content) in enumerate(sorted(found.items())):
        blob = root / "blobs" / f"{number:040x}"
        blob.write_bytes(content)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob.name))
    return snapshot


def entry(name: str, *, everything: bool = False) -> ModelEntry:
    (found,) = [model for model in list_models(name, everything=everything) if model.name == name]
    return found


def test_the_short_list_begins_with_the_built_in_model() -> None:
    first = list_models()[0]
    assert (first.name, first.dim, first.image_size, first.on_disk) == ("starter", 384, 260, True)
    assert first.weights_bytes is not None
    assert 115e6 < first.weights_bytes < 125e6


def test_the_short_list_names_recommended_models_with_their_figures() -> None:
    assert entry(VIT_B_32) == ModelEntry(VIT_B_32, 512, 224, 605_109_252, False, "", "English; fast, a good first one")
    figures = {model.name: (model.dim, model.image_size) for model in list_models()}
    assert figures["open_clip:ViT-L-14/datacomp_xl_s13b_b90k"] == (768, 224)
    assert figures["transformers:google/siglip2-base-patch16-224"] == (768, 224)
    assert figures["open_clip:MobileCLIP2-S2/dfndr2b"] == (512, 256)


def test_every_recommended_model_of_open_clip_is_one_that_it_publishes() -> None:
    published = {model.name for model in list_models(everything=True)}
    assert {model.name for model in RECOMMENDED} <= published
    tags = {f"open_clip:{arch}/{tag}" for arch, tag in open_clip.list_pretrained()}
    own = [model.name for model in RECOMMENDED if model.name.startswith("open_clip:") and "hf-hub" not in model.name]
    assert len(own) == 6
    assert set(own) <= tags


@pytest.mark.parametrize("arch", ["ViT-B-32", "ViT-B-16-SigLIP2"])
def test_the_parameters_of_recommended_models_are_those_their_architecture_has(arch: str) -> None:
    config = open_clip.get_model_config(arch)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        model = kind(**config)
    (stated, *_) = [found.parameters for found in RECOMMENDED if found.arch == arch]
    assert sum(parameter.numel() for parameter in model.parameters()) == stated


def test_the_parameters_of_siglip_are_those_of_transformers_default() -> None:
    config = transformers.SiglipConfig()
    with torch.device("meta"):
        model = transformers.SiglipModel(config)
    (stated,) = [m.parameters for m in RECOMMENDED if m.name == "transformers:google/siglip-base-patch16-224"]
    assert sum(parameter.numel() for parameter in model.parameters()) == stated


def test_all_lists_every_pair_of_open_clip_but_those_with_another_activation() -> None:
    names = {model.name for model in list_models(everything=True)}
    assert len(names) > 150
    assert "open_clip:RN50-quickgelu/openai" in names
    assert "open_clip:RN50/openai" not in names


def test_the_filter_ignores_case() -> None:
    assert [model.name for model in list_models("SIGLIP2")] == [
        "open_clip:ViT-B-16-SigLIP2/webli",
        "transformers:google/siglip2-base-patch16-224",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("siglp", "no model has 'siglp' in its name; near it are transformers:google/siglip-base-patch16-224"),
        ("eva02", "no model of the short list has 'eva02' in its name; with --all there are 5"),
    ],
)
def test_a_filter_without_matches_suggests_similar_names(text: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        list_models(text)


def test_weights_of_a_tag_on_disk_are_seen_with_their_place_and_size(cache: Path) -> None:
    repo = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    folder = put(cache, repo, {"open_clip_model.safetensors": b"0" * 1000, "open_clip_pytorch_model.bin": b"0" * 10})
    found = entry(VIT_B_32)
    assert (found.on_disk, found.place, found.weights_bytes) == (True, str(folder), 1000)


def test_a_tag_on_disk_is_in_the_short_list(cache: Path) -> None:
    name = "open_clip:RN50-quickgelu/openai"
    assert name not in {model.name for model in list_models()}
    put(cache, "timm/resnet50_clip.openai", {"open_clip_model.safetensors": b"0" * 7})
    assert entry(name).weights_bytes == 7


def test_weights_of_another_library_are_not_those_of_a_tag(cache: Path) -> None:
    put(cache, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", {"pytorch_model.bin": b"0", "config.json": b"{}"})
    assert entry(VIT_B_32).on_disk is False


def test_dual_encoders_on_disk_are_listed_by_their_names_on_the_hub(cache: Path, made: Path) -> None:
    for repo, make in (("me/clip", checkpoints.clip), ("me/flex", checkpoints.siglip_2_naflex)):
        folder = made / repo.replace("/", "-")
        folder.mkdir()
        make(folder)
        put(cache, repo, folder)
    (made / "oc").mkdir()
    checkpoints.open_clip_folder(made / "oc", "tiny-clip", {})
    folder = put(cache, "me/open", made / "oc")
    found = {model.name: (model.dim, model.image_size) for model in list_models("me/")}
    assert found == {
        "transformers:me/clip": (32, 48),
        "transformers:me/flex": (48, 256),
        "open_clip:hf-hub:me/open": (32, 64),
    }
    assert entry("open_clip:hf-hub:me/open").place == str(folder)


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"0"},  # one tower
        {"config.json": b'{"model_type": "clip"}'},  # no weights
        {"config.json": b"{", "model.safetensors": b"0"},
        {"open_clip_config.json": b"{}"},
    ],
)
def test_repositories_without_a_dual_encoder_or_weights_are_not_listed(cache: Path, files: dict[str, bytes]) -> None:
    put(cache, "me/other", files)
    assert not [model.name for model in list_models() if "me/other" in model.name]


def test_a_model_on_disk_needs_no_hub_to_be_downloaded(cache: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"0" * 8, "pytorch_model.bin": b"0" * 5, "run.py": b"0"}
    folder = put(cache, "me/clip", files)
    assert download("transformers:me/clip") == DownloadReport("transformers:me/clip", (str(folder),), 2, 10, "")
    assert download("transformers:me/clip", trust_remote_code=True).files == 3


def test_a_tag_also_needs_its_tokenisers_repository(cache: Path) -> None:
    name = "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"
    put(cache, "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k", {"open_clip_pytorch_model.bin": b"0" * 9})
    with pytest.raises(EncoderError, match="xlm-roberta-base cannot be fetched"):
        download(name)
    put(cache, "xlm-roberta-base", {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"0" * 99})
    report = download(name)
    assert (len(report.folders), report.files, report.bytes) == (2, 3, 13)


def test_a_repository_of_open_clip_names_its_tokeniser_itself(cache: Path) -> None:
    config = {"model_cfg": {"embed_dim": 32, "text_cfg": {"hf_tokenizer_name": "me/words"}}}
    files = {"open_clip_config.json": json.dumps(config).encode(), "open_clip_model.safetensors": b"0"}
    put(cache, "me/open", files)
    with pytest.raises(EncoderError, match="me/words cannot be fetched"):
        download("open_clip:hf-hub:me/open")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip:x", "no encoder family is called 'clip'; there are starter, open_clip, transformers"),
        ("starter:x", "x is not a starter model"),
        ("open_clip:ViT-B-33/x", "open_clip has no architecture 'ViT-B-33'; near it are ViT-B-32"),
        ("open_clip:ViT-B-32/x", "open_clip has no weights 'x' for ViT-B-32"),
        ("open_clip:RN50/openai", "use open_clip:RN50-quickgelu/openai"),
        ("open_clip:ViT-B-32@/none.pt", "there is no checkpoint '/none.pt'"),
        ("transformers:./none", "there is no folder './none'"),
        ("transformers:a b", "'a b' is not a name on the Hugging Face hub"),
        ("transformers:", "transformers: names no model; give transformers:ORG/NAME"),
        ("transformers:me/clip", "me/clip cannot be fetched from .* load it as transformers:FOLDER"),
    ],
)
def test_names_that_cannot_be_downloaded_get_a_one_line_error(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message) as caught:
        download(name)
    assert "\n" not in str(caught.value)


def test_models_on_disk_are_not_downloaded(tmp_path: Path) -> None:
    assert download("starter").note == "starter is installed with firstsight; there is nothing to download"
    assert download(f"transformers:{tmp_path}").note == f"{tmp_path} is a folder; there is nothing to download"
    file = tmp_path / "own.pt"
    file.touch()
    report = download(f"open_clip:ViT-B-32@{file}")
    assert (report.folders, report.bytes) == ((str(file),), 0)
    assert report.note == f"{file} is a file; there is nothing to download"


@pytest.mark.parametrize(
    ("runtime", "pictures", "texts", "message"),
    [
        ("openvino:bf16", [0.9995, 0.9991], [1.0], ""),
        ("openvino:bf16", [0.9995, 0.9989], [1.0], "a minimum cosine of 0.9989"),
        ("openvino:bf16", [1.0], [float("nan")], "a minimum cosine of nan"),
        ("openvino:int8", [0.98, 1.0], [1.0], ""),
        ("openvino:int8", [0.97, 0.99], [1.0] * 9, "a mean cosine of 0.9800"),
    ],
)
def test_vectors_far_from_the_reference_are_a_problem(
    runtime: str, pictures: list[float], texts: list[float], message: str
) -> None:
    problem = describe_problem(runtime, np.asarray(pictures, dtype=np.float32), np.asarray(texts, dtype=np.float32))
    assert message in problem
    assert bool(problem) == bool(message)


def test_pictures_are_taken_evenly_from_all_folders(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "one.JPG").touch()
        (tmp_path / f"{number}" / "notes.txt").touch()
    assert [path.parent.name for path in sample_pictures(tmp_path, limit=4)] == ["0", "3", "6", "9"]
    assert len(pictures_under(tmp_path)) == 10
    (tmp_path / "none").mkdir()
    with pytest.raises(EncoderError, match="there is no picture in"):
        pictures_under(tmp_path / "none")
    with pytest.raises(EncoderError, match="there is no folder"):
        pictures_under(tmp_path / "gone")
