"""Trains an open_clip or transformers model on the items of a catalogue."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from firstsight.encoders.base import ImageInput, Vector, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_trainable_model
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures
from firstsight.encoders.runtimes.torch_runtime import best_device, check_device
from firstsight.errors import EncoderError
from firstsight.recommend.sequence.process_group import join_process_group
from firstsight.tuning.networks.contrastive_step import Objective
from firstsight.tuning.networks.data_digest import DataDigest
from firstsight.tuning.networks.held_out_retrieval import HeldOutRetrieval
from firstsight.tuning.networks.network_inputs import PictureInputs, Towers
from firstsight.tuning.networks.network_settings import NetworkSettings
from firstsight.tuning.networks.phrase_batches import PhraseBook
from firstsight.tuning.networks.run_checkpoints import RunCheckpoint, RunKey
from firstsight.tuning.networks.run_log import RunLog
from firstsight.tuning.networks.training_run import RunPlan, TrainingRun
from firstsight.tuning.networks.tuned_network import TunedNetwork
from firstsight.tuning.networks.weight_changes import (
    DenseChange,
    LowRankChange,
    LowRankFactors,
    MixableNetwork,
    WeightChange,
)
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData

_Run: TypeAlias = Callable[[dict[str, nn.Parameter]], None]
"""Trains these weights in place."""


class NetworkTrainer:
    """Trains both towers by LoRA, the text tower alone (LiT), or all weights; a `Trainer`.

    Dropout is off and batch norms keep their statistics, so that a batch in parts equals the whole batch. All
    processes of `torchrun` make the same calls; only the first one writes.

    Args:
        encoder_name: of an open_clip or transformers model, for `load_encoder`.
        options: device, threads, permission for remote code. The runtime does not matter: torch trains in float32, on
            CUDA in bfloat16 where the device has it. A CPU trains in float32 always, because a batch in parts or on
            several processes equals the whole batch only in float32.
        data: the catalogue.
        general_pictures: of the forgetting check.
        settings: of the run.
        work_folder: for checkpoints, the log and decoded pictures; made if it is missing.

    Raises:
        EncoderError: the model cannot be loaded or trained, or a setting does not fit it.
        OptionalDependencyError: LoRA without the extra `tune`.
    """

    def __init__(
        self,
        encoder_name: str,
        options: EncoderOptions,
        data: TuningData,
        general_pictures: Sequence[ImageInput],
        settings: TuneSettings,
        work_folder: Path,
    ) -> None:
        stack = ExitStack()
        self._group = stack.enter_context(join_process_group())
        weakref.finalize(self, stack.close)
        if self._group.size == 1:
            device = options.device or best_device()
            check_device(device)
            self._group = replace(self._group, device=device)
        on_gpu = self._group.device.startswith("cuda")
        self._settings = NetworkSettings.of(settings, encoder=encoder_name, on_gpu=on_gpu)
        if self._settings.method == "lora":
            import firstsight.tuning.networks.adapters  # noqa: F401, missing packages are told before the work begins
        self._checkpoint_steps = settings.checkpoint_steps
        self._model = load_trainable_model(encoder_name, options)
        self._network = self._model.network.to(self._group.device).requires_grad_(False)
        self._mixable = MixableNetwork(self._network)
        self._towers = Towers(
            self._model.dual, self._group.device, autocast=on_gpu and torch.cuda.is_bf16_supported(False)
        )
        self._objective = Objective.of(self._network)
        self._data, self._threads = data, options.threads
        self._folder = work_folder
        work_folder.mkdir(parents=True, exist_ok=True)
        threads = options.cpu_threads
        self._inputs = PictureInputs(self._model.dual, data.pictures, work_folder, threads)
        self._general = PictureInputs(self._model.dual, general_pictures, work_folder, threads)
        self._log = RunLog(work_folder)
        self._digest = DataDigest(data)
        self._frozen: dict[int, Vector] = {}

    def fit(
        self, items: Sequence[int], held_out: Sequence[int], *, label: str, on_progress: Callable[[str], None]
    ) -> TunedNetwork:
        """Train, with the seeds averaged; a killed training continues from its last checkpoint.

        Args:
            items: rows of `TuningData.items` to learn from.
            held_out: rows for early stopping; empty: train for all steps. They share no product with `items`.
            label: names the training in checkpoints and logs, such as "fold 1" or "final".
            on_progress: receives one line for each step worth telling, in the first process only.

        Raises:
            EncoderError: there is nothing to learn from, the checkpoint is of another run or damaged, or the loss is
                not finite.
            MediaError: a picture cannot be read.
            StoreError: the checkpoint cannot be written.
        """
        book = PhraseBook(self._data, items)
        if len(book.pictures) < 2 or len(book.phrases()) < 2:
            raise EncoderError(
                f"{label} has {len(book.pictures)} pictures and {len(book.phrases())} different phrases; tuning needs "
                "two of each"
            )
        key = RunKey(self._model.dual.spec.fingerprint, self._digest.of(items, held_out), self._settings.as_text())
        retrieval = HeldOutRetrieval(PhraseBook(self._data, held_out), self._settings.seed)
        with self._limited_threads():
            self._mixable.restore()
            frozen = self._frozen_vectors(book) if self._settings.method == "lit" else None
            plans = [
                RunPlan(label, seed, book, retrieval, self._inputs, frozen, self._checkpoint_steps)
                for seed in range(self._settings.seeds)
            ]
            runs = [(plan, self._run_of(plan, key, on_progress)) for plan in plans]
            change: WeightChange
            if self._settings.method == "lora":
                change = LowRankChange([self._train_adapters(plan, run) for plan, run in runs])
            else:
                change = DenseChange([self._train_weights(run) for _, run in runs])
        return TunedNetwork(
            self._model, self._mixable, change, self._towers, self._inputs, self._general, self._group.is_first
        )

    def _run_of(self, plan: RunPlan, key: RunKey, on_progress: Callable[[str], None]) -> _Run:
        folder = self._folder / "checkpoints" / f"{_folder_name(plan.label)}-seed-{plan.seed}"
        checkpoint = RunCheckpoint(folder, key)

        def train(parameters: dict[str, nn.Parameter]) -> None:
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            TrainingRun(
                plan, parameters, self._towers, self._objective, self._settings, self._group, checkpoint, self._log
            ).train(on_progress)

        return train

    def _train_weights(self, run: _Run) -> dict[str, Tensor]:
        """Train weights of the network itself, which has those of its file before and afterwards."""
        names = self._used_parameters()
        self._mixable.keep(names)
        parameters = {name: self._network.get_parameter(name) for name in names}
        try:
            run(parameters)
            return {name: value.detach().cpu().clone() for name, value in parameters.items()}
        finally:
            self._mixable.restore()
            self._network.requires_grad_(False)

    def _train_adapters(self, plan: RunPlan, run: _Run) -> dict[str, LowRankFactors]:
        """Train adapters, which are in the network only meanwhile."""
        from firstsight.tuning.networks.adapters import Adapters, find_layers

        layers = find_layers(self._network, self._probes())
        adapters = Adapters(self._network, layers, self._settings.lora_rank, self._settings.seed + plan.seed)
        try:
            run(adapters.parameters())
            return adapters.factors()
        finally:
            adapters.remove()

    def _probes(self) -> Mapping[nn.Module, Callable[[], Tensor]]:
        """Return for each tower a call that runs it on a small input."""
        pictures = PictureInputs(self._model.dual, probe_pictures(2), self._folder, 1)
        return {
            self._towers.picture_tower: lambda: self._towers.picture_vectors(pictures, [0, 1]),
            self._towers.text_tower: lambda: self._towers.text_vectors(PROBE_TEXTS[1:3]),
        }

    def _used_parameters(self) -> list[str]:
        """Return the weights that the trained towers depend on: a network may have more, such as a decoder.

        With LiT these are the weights of the text tower that the picture tower does not share.
        """
        used: dict[nn.Module, set[str]] = {}
        for tower, run in self._probes().items():
            self._network.requires_grad_(True)
            self._network.zero_grad(set_to_none=True)
            run().sum().backward()
            used[tower] = {name for name, value in self._network.named_parameters() if value.grad is not None}
            self._network.zero_grad(set_to_none=True)
            self._network.requires_grad_(False)
        pictures, texts = used[self._towers.picture_tower], used[self._towers.text_tower]
        names = texts - pictures if self._settings.method == "lit" else texts | pictures
        if not names:
            raise EncoderError(
                "both towers share all weights, so LiT has nothing to train; choose --method lora or full"
            )
        return sorted(names)

    def _frozen_vectors(self, book: PhraseBook) -> Vectors:
        """Return the pictures' vectors with the weights of the file; each picture is computed once."""
        missing = [row for row in book.pictures if row not in self._frozen]
        if missing:
            vectors = self._towers.encode_pictures(self._inputs, missing, self._group)
            self._frozen.update(zip(missing, vectors, strict=True))
        return np.stack([self._frozen[row] for row in book.pictures])

    @contextmanager
    def _limited_threads(self) -> Iterator[None]:
        before, fast_path = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        # the fast path, taken without gradients only, rounds in another way than the pass with gradients
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            torch.backends.mha.set_fastpath_enabled(fast_path)


def _folder_name(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "training"
