"""A tuned network at any share between its base weights and its tuned weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firstsight.encoders.base import Vectors
from firstsight.encoders.families.trainable_model import TrainableModel
from firstsight.tuning.networks.network_inputs import PictureInputs, Towers
from firstsight.tuning.networks.weight_changes import MixableNetwork, WeightChange


class TunedNetwork:
    """The result of a training; a `TunedWeights`.

    Args:
        model: the encoder that was tuned.
        mixable: its network, which all results of a trainer use in turn.
        change: of its weights.
        towers: of the network.
        inputs, general: pictures of the catalogue and of the forgetting check.
        writes: whether this process writes files.
    """

    def __init__(
        self,
        model: TrainableModel,
        mixable: MixableNetwork,
        change: WeightChange,
        towers: Towers,
        inputs: PictureInputs,
        general: PictureInputs,
        writes: bool,
    ) -> None:
        self._model, self._mixable, self._change, self._towers = model, mixable, change, towers
        self._inputs, self._general, self._writes = inputs, general, writes

    def encode_pictures(self, rows: Sequence[int], share: float) -> Vectors:
        """Return (n, dim) unit rows for these rows of `TuningData.pictures`."""
        self._mixable.use(self._change, share)
        return self._towers.encode_pictures(self._inputs, rows)

    def encode_general_pictures(self, share: float) -> Vectors:
        """Return (g, dim) unit rows for the pictures of the forgetting check."""
        self._mixable.use(self._change, share)
        return self._towers.encode_pictures(self._general, range(len(self._general)))

    def encode_texts(self, texts: Sequence[str], share: float) -> Vectors:
        """Return (n, dim) unit rows."""
        self._mixable.use(self._change, share)
        return self._towers.encode_texts(texts)

    def save(self, folder: Path, share: float) -> str:
        """Write an ordinary model at a share and return its name for `load_encoder`.

        Under `torchrun` only the first process writes.
        """
        self._mixable.use(self._change, share)
        if not self._writes:
            return f"{self._model.dual.spec.name.partition(':')[0]}:{folder.absolute()}"
        folder.mkdir(parents=True, exist_ok=True)
        return self._model.save(folder)
