"""Checkpoints with wrapped, incomplete or wrong weights: the right vectors, or a one-line error."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.state_dicts import unwrap
from firstsight.encoders.registry import load_dual_model
from firstsight.errors import EncoderError
from tests.encoders import checkpoints
from tests.encoders.checkpoint_loading import LORA, Weights, prefixed, refusal, rewrite, vectors

pytestmark = pytest.mark.usefixtures("known_architectures")

# ---- wrapped weights

WRAPPED: dict[str, Callable[[Weights], Any]] = {
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "in a wrapper": prefixed("model."),
    "stacked": prefixed("module._orig_mod.model."),
    "a custom name": prefixed("student.backbone."),
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


@pytest.mark.slow
@pytest.mark.parametrize("family", checkpoints.TRANSFORMERS_FAMILIES)
def test_every_family_is_unwrapped_and_refused_when_incomplete(family: str, tmp_path: Path) -> None:
    name = checkpoints.TRANSFORMERS_FAMILIES[family](tmp_path).name
    expected = vectors(name)
    rewrite(tmp_path, prefixed("module."))
    found = vectors(name)
    assert found[1] == expected[1]
    np.testing.assert_array_equal(found[0], expected[0])
    rewrite(tmp_path, lambda weights: {k: v for k, v in weights.items() if not k.startswith("module.text_model.")})
    assert re.search(r"\d\d missing \(text_model\.\w", refusal(name))


# ---- entries that may be missing


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "chinese_clip", "altclip", "align", "siglip"])
def test_a_model_without_its_scale_has_one_fingerprint(family: str, tmp_path: Path) -> None:
    name = (checkpoints.TRANSFORMERS_FAMILIES | {"clip": checkpoints.clip})[family](tmp_path).name
    expected, _ = vectors(name)
    scales = ("logit_scale", "logit_bias", "temperature")
    rewrite(tmp_path, lambda weights: {k: v for k, v in weights.items() if k not in scales})
    first = vectors(name)
    held = [torch.full((1000,), 7.0) for _ in range(50)]  # other memory than at the first load
    del held
    assert vectors(name)[1] == first[1]
    np.testing.assert_array_equal(first[0], expected)


def test_buffers_of_other_releases_are_ignored(tmp_path: Path, folder: Path) -> None:
    name = checkpoints.align(tmp_path).name
    expected = vectors(name)
    rewrite(tmp_path, lambda weights: {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")})
    np.testing.assert_array_equal(vectors(name)[0], expected[0])
    before = vectors(f"transformers:{folder}")
    rewrite(folder, lambda weights: weights | {"text_model.embeddings.position_ids": torch.arange(16)[None]})
    assert vectors(f"transformers:{folder}")[1] == before[1]


@pytest.mark.slow
def test_half_precision_is_read_as_float32(folder: Path, clip: Path) -> None:
    rewrite(folder, lambda weights: {name: value.half() for name, value in weights.items()})
    cosines = (vectors(f"transformers:{folder}")[0] * vectors(f"transformers:{clip}")[0]).sum(axis=1)
    assert cosines.min() > 0.9999


def test_a_tied_weight_stored_once_is_not_missing(tiny: Path, tmp_path: Path) -> None:
    weights = torch.load(tiny, weights_only=True)
    weights["visual.ln_post.weight"] = weights["visual.ln_pre.weight"]
    torch.save(weights, tmp_path / "both.pt")
    del weights["visual.ln_post.weight"]
    save_file(weights, tmp_path / "once.safetensors", metadata={"visual.ln_post.weight": "visual.ln_pre.weight"})
    once, both = (vectors(f"open_clip:tiny-clip@{tmp_path / name}")[1] for name in ("once.safetensors", "both.pt"))
    assert once == both


# ---- refused: another model's weights

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
    expected_error = pytest.raises(EncoderError, match=said)
    for name, file in (
        (f"transformers:{folder}", folder / "model.safetensors"),
        (f"open_clip:tiny-clip@{tmp_path / 'other.pt'}", tmp_path / "other.pt"),
    ):
        with expected_error as caught:
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
