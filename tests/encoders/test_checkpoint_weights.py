"""Checkpoints whose weights are wrapped, cut, incomplete or another model's: the right vectors, or one sentence."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from firstsight.encoders.base import unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.state_dicts import unwrap
from firstsight.encoders.registry import load_dual_model
from firstsight.errors import EncoderError
from tests.encoders import checkpoints

Weights = dict[str, torch.Tensor]
TEXTS = ["a red shoe", "blue teapot"]


@pytest.fixture(scope="module", autouse=True)
def _known_architectures() -> Iterator[None]:
    """open_clip's list of architectures, which the checkpoints add to, is put back."""
    paths, configs = list(open_clip.factory._MODEL_CONFIG_PATHS), dict(open_clip.factory._MODEL_CONFIGS)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS[:] = paths
    open_clip.factory._MODEL_CONFIGS.clear()
    open_clip.factory._MODEL_CONFIGS.update(configs)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of transformers."""
    return checkpoints.clip(tmp_path_factory.mktemp("clip")).folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of open_clip's architecture tiny-clip."""
    folder = tmp_path_factory.mktemp("tiny")
    checkpoints.open_clip_file(folder, "tiny-clip")
    return folder / "tiny-clip.pt"


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    """A copy of `clip` to spoil."""
    return Path(shutil.copytree(clip, tmp_path / "copy"))


def vectors(name: str) -> tuple[np.ndarray, str]:
    """(2, dim) unit rows of two texts, and the fingerprint."""
    model = load_dual_model(name, EncoderOptions())
    with torch.inference_mode():
        return unit(model.reference_texts(TEXTS).numpy()), model.spec.fingerprint


def refusal(name: str) -> str:
    with pytest.raises(EncoderError) as caught:
        load_dual_model(name, EncoderOptions())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    weights = change(load_file(folder / "model.safetensors"))
    save_file({name: value.clone() for name, value in weights.items()}, folder / "model.safetensors")


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + name: value for name, value in weights.items()}


# ---- wrapped weights

WRAPPED: dict[str, Callable[[Weights], Any]] = {
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "in a wrapper": prefixed("model."),
    "stacked": prefixed("module._orig_mod.model."),
    "a name of one's own": prefixed("student.backbone."),
    "one tower compiled": lambda weights: {
        name.replace("visual.", "visual._orig_mod.").replace("vision_model.", "vision_model._orig_mod."): value
        for name, value in weights.items()
    },
    "AveragedModel": lambda weights: prefixed("module.")(weights) | {"n_averaged": torch.tensor(3)},
    "state_dict": lambda weights: {"epoch": 3, "state_dict": weights, "optimizer": {"state": {0: {"step": 1}}}},
    "model_state_dict": lambda weights: {"model_state_dict": prefixed("module.")(weights)},
    "model": lambda weights: {"model": weights, "lr": 0.1},
    "Lightning": lambda weights: {"state_dict": prefixed("net.")(weights), "hyper_parameters": {"lr": 0.1}},
    "averaged copy alone": lambda weights: {"state_dict_ema": weights},
    "averaged copy first": lambda weights: {"module_ema": {n: 2 * v for n, v in weights.items()}, "module": weights},
    "two levels": lambda weights: {"checkpoint": {"weights": weights}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_weights_are_unwrapped(kind: str, clip: Path, tiny: Path) -> None:
    for weights in (load_file(clip / "model.safetensors"), torch.load(tiny, weights_only=True)):
        found = unwrap(WRAPPED[kind](weights), weights)
        assert all(torch.equal(found[name], value) for name, value in weights.items())
        assert set(found) - set(weights) <= {"n_averaged"}


@pytest.mark.slow
def test_wrapped_weights_give_the_same_encoder(folder: Path, clip: Path, tiny: Path, tmp_path: Path) -> None:
    wrap = WRAPPED["Lightning"]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(wrap(weights), folder / "pytorch_model.bin")
    torch.save(wrap(torch.load(tiny, weights_only=True)), tmp_path / "wrapped.pt")
    for name, plain in (
        (f"transformers:{folder}", f"transformers:{clip}"),
        (f"open_clip:tiny-clip@{tmp_path / 'wrapped.pt'}", f"open_clip:tiny-clip@{tiny}"),
    ):
        found, expected = vectors(name), vectors(plain)
        assert found[1] == expected[1]
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)


FAMILIES = {
    "chinese_clip": checkpoints.chinese_clip,
    "siglip": checkpoints.siglip_2,
    "siglip2": checkpoints.siglip_2_naflex,
    "align": checkpoints.align,
    "altclip": checkpoints.altclip,  # its layers go by other names in files than in the model
    "metaclip_2": checkpoints.metaclip_2,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_unwrapped_and_refused_when_incomplete(family: str, tmp_path: Path) -> None:
    name = FAMILIES[family](tmp_path).name
    expected = vectors(name)
    rewrite(tmp_path, prefixed("module."))
    found = vectors(name)
    assert found[1] == expected[1]
    np.testing.assert_array_equal(found[0], expected[0])
    rewrite(tmp_path, lambda weights: {k: v for k, v in weights.items() if not k.startswith("module.text_model.")})
    assert re.search(r"\d\d missing \(text_model\.\w", refusal(name))


# ---- what is left out on purpose


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "chinese_clip", "altclip", "align", "siglip"])
def test_a_model_without_its_scale_has_one_fingerprint(family: str, tmp_path: Path) -> None:
    name = (FAMILIES | {"clip": checkpoints.clip})[family](tmp_path).name
    expected, _ = vectors(name)
    scales = ("logit_scale", "logit_bias", "temperature")
    rewrite(tmp_path, lambda weights: {k: v for k, v in weights.items() if k not in scales})
    first = vectors(name)
    held = [torch.full((1000,), 7.0) for _ in range(50)]  # other memory than at the first load
    del held
    assert vectors(name)[1] == first[1]
    np.testing.assert_array_equal(first[0], expected)


def test_buffers_that_releases_differ_in_are_passed_over(tmp_path: Path, folder: Path) -> None:
    name = checkpoints.align(tmp_path).name
    expected = vectors(name)
    rewrite(tmp_path, lambda weights: {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")})
    np.testing.assert_array_equal(vectors(name)[0], expected[0])
    before = vectors(f"transformers:{folder}")
    rewrite(folder, lambda weights: weights | {"text_model.embeddings.position_ids": torch.arange(16)[None]})
    assert vectors(f"transformers:{folder}")[1] == before[1]


def test_half_precision_is_read_as_float32(folder: Path, clip: Path) -> None:
    rewrite(folder, lambda weights: {name: value.half() for name, value in weights.items()})
    cosines = (vectors(f"transformers:{folder}")[0] * vectors(f"transformers:{clip}")[0]).sum(axis=1)
    assert cosines.min() > 0.9999


def test_a_tied_weight_that_the_file_holds_once_is_not_missing(tiny: Path, tmp_path: Path) -> None:
    weights = torch.load(tiny, weights_only=True)
    weights["visual.ln_post.weight"] = weights["visual.ln_pre.weight"]
    torch.save(weights, tmp_path / "both.pt")
    del weights["visual.ln_post.weight"]
    save_file(weights, tmp_path / "once.safetensors", metadata={"visual.ln_post.weight": "visual.ln_pre.weight"})
    once, both = (vectors(f"open_clip:tiny-clip@{tmp_path / name}")[1] for name in ("once.safetensors", "both.pt"))
    assert once == both


# ---- refused: not this model's weights

LORA = {"visual.proj.lora_A.default.weight": torch.ones(4, 4), "visual.proj.lora_B.default.weight": torch.ones(4, 4)}
UNFIT: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "picture tower alone": (
        lambda weights: {name: value for name, value in weights.items() if name.startswith("vis")},
        r"\d\d missing \(.*\w, .*\w and \d\d more\)",
    ),
    "no projection": (
        lambda weights: {name: value for name, value in weights.items() if "text_projection" not in name},
        r"do not fit CLIP.*: 1 missing \(text_projection(\.weight)?\); ",
    ),
    "classifier": (
        lambda weights: weights | {"head.weight": torch.ones(3, 3), "classifier.bias": torch.ones(3)},
        r"2 unexpected \(classifier\.bias, head\.weight\); ",
    ),
    "two models": (
        lambda weights: prefixed("student.")(weights) | prefixed("teacher.")(weights),
        r"\d\d unexpected \(teacher\.\w",
    ),
    "another size": (
        lambda weights: {
            name: value[..., :-1].contiguous() if value.ndim else value for name, value in weights.items()
        },
        r"unusable \(.* is [\dx ]+ in the file and [\dx ]+ in the model, ",
    ),
    "quantised": (
        lambda weights: {name: value.to(torch.int8) if value.ndim == 2 else value for name, value in weights.items()},
        "is quantised to int8",
    ),
    "diverged": (
        lambda weights: {name: value * torch.nan for name, value in weights.items()},
        "holds not-a-number",
    ),
    "LoRA inside": (lambda weights: weights | LORA, r"holds an adapter's weights \(visual.proj.lora_A.*merge it first"),
    "empty": (lambda weights: {}, r"\d\d missing"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNFIT)
def test_weights_of_another_model_are_refused_with_their_names(
    kind: str, folder: Path, tiny: Path, tmp_path: Path
) -> None:
    change, said = UNFIT[kind]
    rewrite(folder, change)
    torch.save(change(torch.load(tiny, weights_only=True)), tmp_path / "other.pt")
    match = pytest.raises(EncoderError, match=said)
    for name, file in (
        (f"transformers:{folder}", folder / "model.safetensors"),
        (f"open_clip:tiny-clip@{tmp_path / 'other.pt'}", tmp_path / "other.pt"),
    ):
        with match as caught:
            load_dual_model(name, EncoderOptions())
        assert str(file) in str(caught.value)


def test_a_classifiers_folder_is_refused_with_its_class(folder: Path) -> None:
    transformers.CLIPForImageClassification(transformers.CLIPConfig.from_pretrained(folder)).save_pretrained(folder)
    said = refusal(f"transformers:{folder}")
    assert "2 unexpected (classifier.bias, classifier.weight)" in said
    assert "the folder was saved from CLIPForImageClassification; save a whole CLIPModel with save_pretrained" in said


def test_positions_of_another_picture_size_are_refused_and_not_stretched(tiny: Path, tmp_path: Path) -> None:
    weights = torch.load(tiny, weights_only=True)
    weights["visual.positional_embedding"] = torch.zeros(26, 48)  # 5 x 5 patches and the class, not 3 x 3
    torch.save(weights, tmp_path / "large.pt")
    said = refusal(f"open_clip:tiny-clip@{tmp_path / 'large.pt'}")
    assert "visual.positional_embedding is 26 x 48 in the file and 10 x 48 in the model" in said


# ---- refused: files


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


def test_a_shard_that_is_cut_off_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert f"{shard} is cut off or no safetensors file" in refusal(f"transformers:{sharded}")


def test_an_index_that_leads_out_of_its_folder_is_refused(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"logit_scale": "../elsewhere.safetensors"}}))
    assert "names the shard '../elsewhere.safetensors', which is no file beside it" in refusal(
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
    _cut: "model.safetensors is cut off or no safetensors file",
    _pointer: "model.safetensors is cut off or no safetensors file .* with Git LFS where it came by git",
    _text: "pytorch_model.bin is cut off or no checkpoint of torch",
    _pickle: "pytorch_model.bin holds argparse.Namespace beside its weights, and code in a pickle is never run",
    _none: "no pytorch_model.bin and no index of shards, only weights.safetensors",
    _adapter: r"adapter_model.safetensors is an adapter .*; merge it first",
    _no_tokeniser: "lacks the tokeniser's files: tokenizer.json or vocab.json and merges.txt",
    _tokeniser_without_its_words: "tokeniser or image processor does not fit the model .* copy their files",
    _tokeniser_of_a_larger_model: r"does not fit the model \(IndexError: index out of range",
    _half_a_tokeniser: "cannot load .* it takes a folder with .* tokeniser files and weights",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_broken_folder_is_one_sentence(spoil: Callable[[Path], None], folder: Path) -> None:
    spoil(folder)
    with pytest.raises(EncoderError, match=BROKEN[spoil]):
        load_dual_model(f"transformers:{folder}", EncoderOptions())


def test_every_family_wants_its_tokenisers_files(tmp_path: Path) -> None:
    for family in ("chinese_clip", "siglip", "siglip2", "metaclip_2", "altclip", "align"):
        (tmp_path / family).mkdir()
        name = FAMILIES[family](tmp_path / family).name
        (tmp_path / family / "tokenizer.json").unlink()
        assert "lacks the tokeniser's files: tokenizer.json" in refusal(name)


def test_a_torchscript_archive_is_refused_and_not_run(tmp_path: Path, tiny: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making one is deprecated
        torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(tmp_path / "ViT-B-32.pt"))
    assert "is a TorchScript archive, which holds code" in refusal(f"open_clip:tiny-clip@{tmp_path / 'ViT-B-32.pt'}")


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
    assert "holds no weights; name those of this model open_clip_model.safetensors" in refusal(name)
