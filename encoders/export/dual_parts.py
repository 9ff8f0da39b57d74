"""The parts of an open_clip or transformers model for an export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstsight.encoders.base import Arrays, Vectors, unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.export_parts import ExportParts, TowerParts, UnitVectors, as_inputs
from firstsight.encoders.export.picture_rules import picture_rules
from firstsight.encoders.export.token_rules import ExportedTokenizer
from firstsight.encoders.registry import load_dual_model
from firstsight.encoders.runtimes.dual_model import DualModel
from firstsight.encoders.runtimes.model_towers import can_trim_padding
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures


def dual_parts(name: str, options: EncoderOptions) -> ExportParts:
    """Take an open_clip or transformers model apart.

    Args:
        name: as for `load_encoder`.
        options: only `trust_remote_code` is used.

    Raises:
        EncoderError: the model cannot be loaded, or belongs to another family.
    """
    model = load_dual_model(name, options)
    tokenizer = ExportedTokenizer(model.prepare_texts)
    trims = can_trim_padding(model)

    def prepare_texts(texts: Sequence[str]) -> Arrays:
        tokens = model.prepare_texts(texts)
        width = tokens.lengths.max() if trims else tokens.arrays[0].shape[1]
        return tuple(np.ascontiguousarray(array[:, :width]) for array in tokens.arrays)

    pixels, ids = model.prepare_pictures(probe_pictures(2)), prepare_texts(PROBE_TEXTS[1:3])
    picture_names: Sequence[str] = getattr(model.prepare_pictures, "names", ["pixels"])
    if trims and tokenizer.rules["kind"] == "tokenizer.json":
        tokenizer.rules["padding"] = "longest"
    return ExportParts(
        spec=model.spec,
        pictures=TowerParts(
            UnitVectors(model.picture_tower).eval(),
            pixels,
            as_inputs(picture_names, pixels),
            picture_rules(model.prepare_pictures, model.spec),
        ),
        texts=TowerParts(
            UnitVectors(model.text_tower).eval(),
            ids,
            as_inputs(["ids", "mask"][: len(ids)], ids, variable="length" if trims else ""),
            tokenizer.rules,
        ),
        prepare_pictures=model.prepare_pictures,
        prepare_texts=prepare_texts,
        reference_pictures=lambda pictures: _reference(model, "reference_pictures", pictures),
        reference_texts=lambda texts: _reference(model, "reference_texts", texts),
        write_tokenizer=tokenizer.write,
        max_tokens=tokenizer.max_tokens,
    )


def _reference(model: DualModel, which: str, inputs: Sequence[Any]) -> Vectors:
    with torch.inference_mode():
        rows: Tensor = getattr(model, which)(inputs)
    return unit(rows.float().cpu().numpy())
