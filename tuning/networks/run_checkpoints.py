"""Checkpoints of a training: weights as safetensors, and a JSON file that names them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from firstsight.errors import EncoderError, StoreError, first_line
from firstsight.recommend.sequence.weight_files import from_bytes, to_bytes

STATE: Final = "training.json"


@dataclass(frozen=True)
class RunKey:
    """Digests of what decides the result of a run."""

    encoder: str
    data: str
    settings: str


@dataclass(frozen=True)
class RunState:
    """Where a run is.

    A batch depends on the seed and the step only, and dropout is off, so the step is all there is of a random state.

    Attributes:
        step: finished updates.
        best_step: updates behind the best held-out figure; 0: the untrained weights.
        best_score: the best held-out figure.
        checks_without_gain: since then.
        is_finished: whether the run is over.
    """

    step: int = 0
    best_step: int = 0
    best_score: float = -1.0
    checks_without_gain: int = 0
    is_finished: bool = False


class RunCheckpoint:
    """One folder with the latest state of a run."""

    def __init__(self, folder: Path, key: RunKey) -> None:
        self._folder, self._key = folder, key

    def save(self, state: RunState, tensors: Mapping[str, Tensor]) -> None:
        """Write the state; a kill at any moment leaves the old one or the new one.

        Raises:
            StoreError: the folder cannot be written.
        """
        name = f"step-{state.step:07d}{'-finished' if state.is_finished else ''}.safetensors"
        content = {"key": asdict(self._key), "state": asdict(state), "weights": name}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(name, to_bytes(tensors))
            self._write(STATE, json.dumps(content, indent=2).encode())
            for old in self._folder.glob("step-*.safetensors"):
                if old.name != name:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"the checkpoint in {self._folder} could not be written ({first_line(error)}); free some space or give "
                "another folder"
            ) from error

    def load(self) -> tuple[RunState, dict[str, Tensor]] | None:
        """Read the state; None without one.

        Raises:
            EncoderError: it is of another encoder, other data or other settings, or damaged.
        """
        place = self._folder / STATE
        try:
            text = place.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        try:
            content = json.loads(text)
            key, state, name = RunKey(**content["key"]), RunState(**content["state"]), str(content["weights"])
            if Path(name).name != name:
                raise ValueError(f"it names the weights {name!r} outside its folder")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._damaged(error) from error
        if others := [part for part, digest in asdict(self._key).items() if digest != getattr(key, part)]:
            raise EncoderError(
                f"{self._folder} holds the checkpoint of a training with other {' and '.join(others)}; remove it to "
                "start again, or give another folder"
            )
        try:
            return state, from_bytes((self._folder / name).read_bytes())
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error

    def check(self, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        """Check that tensors of a checkpoint have the names and shapes of others.

        Raises:
            EncoderError: they have not.
        """
        for name in sorted({*tensors, *expected}):
            found, wanted = tensors.get(name), expected.get(name)
            if found is None or wanted is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
                raise self._damaged(ValueError(f"its tensor {name} does not fit"))

    def _damaged(self, error: Exception) -> EncoderError:
        return EncoderError(
            f"the checkpoint in {self._folder} is damaged ({first_line(error)}); remove this folder to start again"
        )

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f".{name}.{os.getpid()}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name with old or no content
        temporary.replace(self._folder / name)
