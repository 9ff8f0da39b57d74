"""Checkpoints with missing, damaged or untrusted files: a one-line error with the file."""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_dual_model
from firstsight.errors import EncoderError
from tests.encoders import checkpoints
from tests.encoders.checkpoint_loading import LORA, refusal, vectors

pytestmark = pytest.mark.usefixtures("known_architectures")


@pytest.fixture
def sharded(folder: Path) -> Path:
    model = transformers.CLIPModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="50KB")
    return folder


def test_shards_give_the_same_encoder(sharded: Path, clip: Path) -> None:
    assert len(list(sharded.glob("model-*.safetensors"))) > 2
    assert vectors(f"transformers:{sharded}")[1] == vectors(f"transformers:{clip}")[1]


def test_a_missing_shard_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    assert f"lacks {shard.name}, named by model.safetensors.index.json" in refusal(f"transformers:{sharded}")


def test_a_truncated_shard_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert f"{shard} is truncated or not a safetensors file" in refusal(f"transformers:{sharded}")


def test_an_index_that_leads_out_of_its_folder_is_refused(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"logit_scale": "../elsewhere.safetensors"}}))
    assert "names the shard '../elsewhere.safetensors', which is not a file in its folder" in refusal(
        f"transformers:{sharded}"
    )


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def _text(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text("no weights")


def _pickle(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": weights, "args": argparse.Namespace(lr=1)}, folder / "pytorch_model.bin")


def _none(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")


def _adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file(LORA, folder / "adapter_model.safetensors")


def _no_tokeniser(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def _half_a_tokeniser(folder: Path) -> None:
    (folder / "vocab.json").write_text(
        json.dumps(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    )
    _no_tokeniser(folder)


def _tokeniser_without_its_words(folder: Path) -> None:
    tokeniser = json.loads((folder / "tokenizer.json").read_text())
    tokeniser["model"] |= {"vocab": dict(list(tokeniser["model"]["vocab"].items())[:5]), "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokeniser))


def _tokeniser_of_a_larger_model(folder: Path) -> None:
    tokeniser = json.loads((folder / "tokenizer.json").read_text())
    tokeniser["model"]["vocab"] = {word: 10_000 + n for word, n in tokeniser["model"]["vocab"].items()}
    (folder / "tokenizer.json").write_text(json.dumps(tokeniser))


BROKEN: dict[Callable[[Path], None], str] = {
    _cut: "model.safetensors is truncated or not a safetensors file",
    _pointer: "model.safetensors is truncated or not a safetensors file .* with Git LFS if it comes from git",
    _text: "pytorch_model.bin is truncated or not a torch checkpoint",
    _pickle: "pytorch_model.bin holds argparse.Namespace in addition to its weights; .* never runs code in a pickle",
    _none: "no pytorch_model.bin and no index of shards, only weights.safetensors",
    _adapter: r"adapter_model.safetensors is an adapter .*; merge it first",
    _no_tokeniser: "lacks the tokeniser's files: tokenizer.json or vocab.json and merges.txt",
    _tokeniser_without_its_words: "tokeniser or image processor does not fit the model .* copy their files",
    _tokeniser_of_a_larger_model: r"does not fit the model \(IndexError: index out of range",
    _half_a_tokeniser: "cannot load .* it takes a folder with .* tokeniser files and weights",
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__.strip("_"))
def test_a_broken_folder_gets_a_one_line_error(damage: Callable[[Path], None], folder: Path) -> None:
    damage(folder)
    with pytest.raises(EncoderError, match=BROKEN[damage]):
        load_dual_model(f"transformers:{folder}", EncoderOptions())


def test_every_family_requires_its_tokenisers_files(tmp_path: Path) -> None:
    for family in ("chinese_clip", "siglip", "siglip2", "metaclip_2", "altclip", "align"):
        (tmp_path / family).mkdir()
        name = checkpoints.TRANSFORMERS_FAMILIES[family](tmp_path / family).name
        (tmp_path / family / "tokenizer.json").unlink()
        assert "lacks the tokeniser's files: tokenizer.json" in refusal(name)


def test_a_torchscript_archive_is_refused_and_never_runs(tmp_path: Path, tiny: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making one is deprecated
        torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(tmp_path / "ViT-B-32.pt"))
    assert "is a TorchScript archive, which holds code" in refusal(f"open_clip:tiny-clip@{tmp_path / 'ViT-B-32.pt'}")


@pytest.mark.slow
def test_openais_state_dict_loads_without_its_sizes(tmp_path: Path, tiny: Path) -> None:
    weights: Mapping[str, Any] = torch.load(tiny, weights_only=True)
    sizes = {name: torch.tensor(9) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save({**weights, **sizes}, tmp_path / "openai.pt")
    assert vectors(f"open_clip:tiny-clip@{tmp_path / 'openai.pt'}")[1] == vectors(f"open_clip:tiny-clip@{tiny}")[1]


def test_an_adapter_beside_the_file_of_its_base_is_refused(tmp_path: Path, tiny: Path) -> None:
    shutil.copy(tiny, tmp_path / "tiny-clip.pt")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert "adapter_config.json is an adapter" in refusal(f"open_clip:tiny-clip@{tmp_path / 'tiny-clip.pt'}")


def test_an_open_clip_folder_with_another_models_tokeniser_or_none_is_refused(tmp_path: Path) -> None:
    name = checkpoints.open_clip_siglip_folder(tmp_path).name
    _tokeniser_of_a_larger_model(tmp_path)
    assert "its tokeniser does not fit the model" in refusal(name)
    (tmp_path / "tokenizer.json").unlink()
    assert f"{tmp_path} lacks the tokeniser's files: tokenizer.json" in refusal(name)
    (tmp_path / "open_clip_config.json").write_text("{")
    assert f"open_clip cannot load the tokeniser of local-dir:{tmp_path}" in refusal(name)


@pytest.mark.slow
def test_an_open_clip_folder_with_an_adapter_or_without_clear_weights_is_refused(tmp_path: Path) -> None:
    name = checkpoints.open_clip_folder(tmp_path, "tiny-clip", {}).name
    (weights,) = tmp_path.glob("open_clip_*.safetensors")
    save_file(LORA, tmp_path / "adapter_model.safetensors")
    assert f"{tmp_path / 'adapter_model.safetensors'} is an adapter" in refusal(name)
    (tmp_path / "adapter_model.safetensors").unlink()
    weights.rename(tmp_path / "first.safetensors")
    expected = vectors(name)
    shutil.copy(tmp_path / "first.safetensors", tmp_path / "second.safetensors")
    assert "holds several weights (first.safetensors, second.safetensors)" in refusal(name)
    (tmp_path / "first.safetensors").unlink()
    assert vectors(name)[1] == expected[1]
    (tmp_path / "second.safetensors").unlink()
    assert "holds no weights; name the file of this model open_clip_model.safetensors" in refusal(name)
