"""Choose the trainer of an encoder by its family."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from firstsight.encoders.base import ImageInput
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.errors import EncoderError
from firstsight.tuning.trainer import Trainer
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData

TUNED_FAMILIES: Final = ("starter", "open_clip", "transformers")


def make_trainer(
    encoder_name: str,
    options: EncoderOptions,
    data: TuningData,
    general_pictures: Sequence[ImageInput],
    settings: TuneSettings,
    work_folder: Path,
    on_progress: Callable[[str], None],
) -> Trainer:
    """Make the trainer of an encoder.

    Args:
        encoder_name: as for `load_encoder`.
        options: device, threads and permissions.
        data: the catalogue.
        general_pictures: pictures of the forgetting check.
        settings: of the run.
        work_folder: for checkpoints.
        on_progress: receives one line for each step worth telling.

    Raises:
        EncoderError: the family cannot be tuned, the model cannot be loaded, or several processes would tune starter.
    """
    family = check_family(encoder_name)
    if family == "starter":
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise EncoderError(
                f"{encoder_name} is tuned by one process in minutes; start firstsight tune without torchrun"
            )
        from firstsight.tuning.starter.bridge_trainer import BridgeTrainer

        return BridgeTrainer(encoder_name, options, data, general_pictures, settings, work_folder, on_progress)
    from firstsight.tuning.networks.network_trainer import NetworkTrainer

    return NetworkTrainer(encoder_name, options, data, general_pictures, settings, work_folder)


def check_family(encoder_name: str) -> str:
    """Return the family of an encoder that can be tuned.

    Raises:
        EncoderError: it cannot.
    """
    family = encoder_name.partition(":")[0]
    if family not in TUNED_FAMILIES:
        raise EncoderError(
            f"{encoder_name!r} cannot be tuned; choose starter, starter:FOLDER, an open_clip: or a transformers: model"
        )
    return family
