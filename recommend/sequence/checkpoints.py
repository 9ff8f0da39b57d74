"""Checkpoints of a training run: a folder with weights as safetensors and a JSON file that names them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from firstsight.errors import StoreError, first_line
from firstsight.recommend.sequence.weight_files import from_bytes, to_bytes

STATE = "training.json"


@dataclass(frozen=True)
class TrainingState:
    """Where a run is.

    Attributes:
        key: of the settings and the data; a checkpoint of another key is not continued.
        epoch: number of finished epochs.
        best_epoch: number of finished epochs with the best held-out figures.
        best_hr, best_ndcg: held-out HR@10 and NDCG@10 then.
    """

    key: str
    epoch: int = 0
    best_epoch: int = 0
    best_hr: float = 0.0
    best_ndcg: float = -1.0


class Checkpoint:
    """One folder with the latest state of a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: TrainingState, tensors: Mapping[str, Tensor]) -> None:
        """Write the state; a kill at any moment leaves the old one or the new one.

        Raises:
            StoreError: the folder cannot be written.
        """
        name = f"epoch-{state.epoch:05d}.safetensors"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(name, to_bytes(tensors))
            self._write(STATE, json.dumps(asdict(state) | {"weights": name}).encode())
            for old in self._folder.glob("epoch-*.safetensors"):
                if old.name != name:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"the checkpoint in {self._folder} could not be written ({first_line(error)}); give another folder: "
                "--checkpoint FOLDER"
            ) from error

    def load(self, key: str, expected: Mapping[str, Tensor]) -> tuple[TrainingState, dict[str, Tensor]] | None:
        """Read the state; None without one, or if it is of another run, other data or damaged.

        Args:
            key: of the run that wants to continue.
            expected: tensors of the same names and shapes.
        """
        try:
            fields = dict(json.loads((self._folder / STATE).read_text(encoding="utf-8")))
            name = str(fields.pop("weights"))
            state = TrainingState(**fields)
            if state.key != key or Path(name).name != name:
                return None
            return state, from_bytes((self._folder / name).read_bytes(), expected)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def remove(self) -> None:
        """Remove the files of the run; other files in the folder stay."""
        try:
            for file in [*self._folder.glob("epoch-*.safetensors"), self._folder / STATE]:
                file.unlink(missing_ok=True)
            self._folder.rmdir()
        except OSError:  # it has other files, or never existed
            pass

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f".{name}.{os.getpid()}"
        temporary.write_bytes(data)
        temporary.replace(self._folder / name)
