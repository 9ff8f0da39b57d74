"""Preprocessing of pictures as rules, each checked against the model's own preprocessing on drawn pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from firstsight.encoders.base import Arrays, EncoderSpec
from firstsight.encoders.export.export_parts import Rules, refused_rules
from firstsight.encoders.export.standalone.example import prepare_picture
from firstsight.encoders.families.picture_transform import MAX_RESIZED_ASPECT, MAX_WHOLE_ASPECT, SquareTransform
from firstsight.encoders.runtimes.probe_inputs import probe_pictures

MAX_LEVELS: Final = 3  # of 255, as for the transforms of the families
MEAN_LEVELS: Final = 0.5

_RESAMPLING: Final = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # numbers of Pillow


def picture_rules(prepare: Callable[[Sequence[Image.Image]], Arrays], spec: EncoderSpec) -> Rules:
    """Express a model's preprocessing of pictures as rules for `standalone/example.py`.

    Args:
        prepare: the model's preprocessing.
        spec: the model's description.

    Returns:
        Rules that give the same pixels on drawn pictures, within rounding; else rules of the kind "library".
    """
    pictures = probe_pictures(6)
    expected = prepare(pictures)
    for candidate in _candidates(prepare):
        rules = _common(spec) | candidate
        if len(expected) == 1 and _agrees(rules, pictures, expected[0]):
            return rules
    settings = getattr(prepare, "settings", None)
    processor = getattr(prepare, "processor", None)
    facts = settings if processor is None else processor.to_dict()
    return refused_rules(
        "use the picture processor of the model's library; its settings are under `settings`",
        settings={name: value for name, value in (facts or {}).items() if _is_plain(value)},
    )


def _common(spec: EncoderSpec) -> Rules:
    return {
        "kind": "resize",
        "colours": "RGB",
        "orientation": "upright by EXIF",
        "transparency": "on white",
        "min_side": spec.min_side,
        "shrinks_decoded": False,
        "antialias": True,
        "reducing_gap": None,
        "max_aspect": MAX_RESIZED_ASPECT,
        "padding": None,
        "crop_start": "floor",
    }


def _candidates(prepare: Any) -> Iterator[Rules]:
    if isinstance(prepare, SquareTransform):
        yield {
            "resize": prepare.resize,
            "edge": prepare.edge if prepare.resize == "shortest" else list(prepare.size),
            "size": list(prepare.size),
            "interpolation": "bilinear" if prepare.interpolation == InterpolationMode.BILINEAR else "bicubic",
            "crop_start": "floor" if prepare.crop_start is int else "nearest",
            "layout": "batch, height, width, channel",
            "mean": list(prepare.mean),
            "std": list(prepare.std),
            "normalised_in_graph": True,
        }
        return
    outside = {"layout": "batch, channel, height, width", "normalised_in_graph": False}
    if hasattr(prepare, "processor"):
        yield from (outside | rules for rules in _of_transformers(prepare.processor.to_dict()))
    elif hasattr(prepare, "settings"):
        yield from (outside | rules for rules in _of_open_clip(prepare.settings))


def _of_open_clip(settings: dict[str, Any]) -> Iterator[Rules]:
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    fill = settings.get("fill_color", 0)
    rules = {
        "size": [height, width],
        "interpolation": settings.get("interpolation", "bicubic"),
        "mean": list(map(float, settings["mean"])),
        "std": list(map(float, settings["std"])),
        "crop_start": "nearest",
    }
    padding = [fill] * 3 if isinstance(fill, int) else list(fill)
    yield rules | {"resize": "fit", "padding": padding, "max_aspect": MAX_WHOLE_ASPECT}
    yield rules | {"resize": "shortest", "edge": height} if height == width else rules | {"resize": "cover"}
    yield rules | {"resize": "squash", "edge": [height, width]}


def _of_transformers(settings: dict[str, Any]) -> Iterator[Rules]:
    size, crop = settings.get("size") or {}, settings.get("crop_size") or {}
    cropped = bool(settings.get("do_center_crop")) and "height" in crop
    kernel = _RESAMPLING.get(settings.get("resample", -1))
    if kernel is None or not settings.get("do_resize"):
        return
    # Both libraries state (x * factor - offset - mean) / std for bytes x; the rules state (x / 255 - mean) / std.
    scale = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale") else 255.0
    normalises = bool(settings.get("do_normalize"))
    mean = np.array(settings["image_mean"] if normalises else [0.0] * 3)
    std = np.array(settings["image_std"] if normalises else [1.0] * 3)
    for offset in (0.0, 1.0):
        rules = {
            "interpolation": kernel,
            "mean": ((mean + offset) / scale).tolist(),
            "std": (std / scale).tolist(),
        }
        if "height" in size:
            resized = [size["height"], size["width"]]
            target = [crop["height"], crop["width"]] if cropped else resized
            yield rules | {"resize": "squash", "edge": resized, "size": target}
        elif "shortest_edge" in size and cropped:
            target = [crop["height"], crop["width"]]
            yield rules | {"resize": "shortest", "edge": size["shortest_edge"], "size": target}


def _agrees(rules: Rules, pictures: Sequence[Image.Image], expected: np.ndarray) -> bool:
    """Return whether the rules give these inputs, except for rounding to bytes."""
    try:
        found = np.stack([prepare_picture(picture, rules) for picture in pictures])
    except (ValueError, IndexError):  # pictures of several sizes: these rules are not the model's
        return False
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    levels = np.abs(found.astype(np.float64) - expected)
    if not rules["normalised_in_graph"]:
        levels *= 255 * np.array(rules["std"])[:, None, None]
    return bool(levels.max() <= MAX_LEVELS and levels.mean() <= MEAN_LEVELS)


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)
