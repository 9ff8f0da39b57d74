"""Check the code paths for CUDA on one GPU, in under six minutes: parity, speed, tuning, nccl, memory, TensorRT.

    python -m benchmarks.gpu                        # exit code 0: all checks passed; 1: one failed; 2: no CUDA
    python -m benchmarks.gpu --cpu-rehearsal        # the same code on the CPU with tiny models

It needs torch, torchvision, transformers and tokenizers; open_clip, peft and TensorRT are used where they are
installed. Models have random weights in their real formats, so nothing is downloaded. A check that cannot run says why.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

if find_spec("openvino") is None:  # the modules name it, but only CPU runtimes call it
    sys.modules["openvino"] = types.ModuleType("openvino")

from benchmarks.drawn_shapes import drawn_data
from firstsight.encoders.base import unit
from firstsight.encoders.encoder_options import EncoderOptions, Runtime
from firstsight.encoders.families.trainable_model import TrainableModel
from firstsight.encoders.registry import load_trainable_model
from firstsight.encoders.runtimes.model_towers import Which, make_tower
from firstsight.encoders.runtimes.probe_inputs import probe_pictures
from firstsight.recommend.sequence.process_group import ProcessGroup
from firstsight.tuning.networks.contrastive_step import Objective, Side, add_gradients, gather_rows
from firstsight.tuning.networks.network_inputs import PictureInputs, Towers
from firstsight.tuning.networks.network_trainer import NetworkTrainer
from firstsight.tuning.networks.phrase_batches import BatchDraw, PhraseBook
from firstsight.tuning.tune_settings import Method, TuneSettings
from firstsight.tuning.tuning_data import TuningData

MIN_COSINE: Final = 0.999  # of a runtime's vector to float32 on the CPU, as in the package
TIME_LIMIT_S: Final = 330.0  # checks that would begin later are left out
WEARERS: Final = ("men", "women", "children", "runners", "winter", "hiking", "the office", "sailing")
TITLES: Final = [f"a {colour} shoe for {wearer}" for colour in ("red", "blue", "black", "white") for wearer in WEARERS]


@dataclass(frozen=True)
class Check:
    """The outcome of one check; `passed` is None for a figure alone, and for a check that was left out."""

    name: str
    passed: bool | None
    figures: str


@dataclass
class Setting:
    """Where and how large."""

    device: str
    tiny: bool
    work: Path
    checks: list[Check] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, name: str, passed: bool | None, figures: str) -> None:
        self.checks.append(Check(name, passed, figures))
        word = {True: "ok", False: "FAILED", None: "--"}[passed]
        print(f"{word:6} {name:38} {figures}", flush=True)

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def is_late(self, name: str) -> bool:
        late = time.monotonic() - self.started > TIME_LIMIT_S
        if late:
            self.add(name, None, "left out: no time is left")
        return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-rehearsal", action="store_true", help="run the same code on the CPU with tiny models")
    parser.add_argument("--json", type=Path, help="write all outcomes to this file")
    arguments = parser.parse_args()
    if not arguments.cpu_rehearsal and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here; --cpu-rehearsal runs the same code on the CPU", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as folder:
        # measurements of runtimes belong to this machine, not to its user's cache
        os.environ["FIRSTSIGHT_CACHE"] = str(Path(folder) / "cache")
        device = "cpu" if arguments.cpu_rehearsal else "cuda"
        checks = run(Setting(device, arguments.cpu_rehearsal, Path(folder)))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(check) for check in checks], indent=1) + "\n", encoding="utf-8")
    failed = [check.name for check in checks if check.passed is False]
    print(f"{len(failed)} of {sum(check.passed is not None for check in checks)} checks failed", *failed)
    sys.exit(1 if failed else 0)


def run(setting: Setting, kinds: tuple[str, ...] = ("clip", "siglip", "open_clip")) -> list[Check]:
    """Run all checks with these models; an error of one check is its outcome, and the others run."""
    device = torch.cuda.get_device_name(0) if setting.on_gpu else "CPU"
    setting.add("machine", None, f"{device}, torch {torch.__version__}")
    models: dict[str, TrainableModel] = {}
    makers = {"clip": clip_folder, "siglip": siglip_folder, "open_clip": open_clip_folder}
    for name in kinds:
        with outcome_of(setting, f"{name}: load"):
            if name == "open_clip" and find_spec("open_clip") is None:
                setting.add("open_clip", None, "left out: open_clip is not installed")
                continue
            folder = setting.work / name
            folder.mkdir()
            models[name] = load_trainable_model(makers[name](folder, setting.tiny), EncoderOptions(device="cpu"))
    for name, model in models.items():
        with outcome_of(setting, f"{name}: parity and speed"):
            check_runtimes(setting, name, model)
    data = drawn_data(24 if setting.tiny else 512, 64 if setting.tiny else 224)
    for name, model in models.items():
        with outcome_of(setting, f"{name}: gradients"):
            check_gradients(setting, name, model, data)
    with outcome_of(setting, "tuning"):
        check_tuning(setting, models["clip"].dual.spec.name, data)
    with outcome_of(setting, "collective operations"):
        check_collectives(setting)
    with outcome_of(setting, "TensorRT"):
        check_tensorrt(setting, models["clip"])
    setting.add("time", time.monotonic() - setting.started < 360, f"{time.monotonic() - setting.started:.0f} s")
    return setting.checks


@contextmanager
def outcome_of(setting: Setting, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a failing code path is what this script looks for
        setting.add(name, False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def runtimes(setting: Setting) -> list[Runtime]:
    """The runtimes of torch; compiled ones only on a GPU, because a compiler for the CPU may be missing."""
    found = [Runtime("torch", precision) for precision in ("fp32", "fp16", "bf16")]
    if setting.on_gpu:
        found += [Runtime("torch-compile", precision) for precision in ("fp32", "fp16")]
    return found if setting.on_gpu else [found[0], found[2]]


def check_runtimes(setting: Setting, name: str, model: TrainableModel) -> None:
    """Compare vectors of each runtime with float32 on the CPU, and measure its speed."""
    dual = model.dual
    tokens = dual.prepare_texts(TITLES)
    inputs: dict[Which, Any] = {"pictures": dual.prepare_pictures(probe_pictures(8)), "texts": tokens.arrays}
    cpu, gpu = EncoderOptions(device="cpu"), EncoderOptions(device=setting.device)
    reference = {w: unit(make_tower(dual.spec, dual, w, Runtime("torch"), cpu).run(*inputs[w])[0]) for w in inputs}
    for runtime in runtimes(setting):
        if setting.is_late(f"{name}: {runtime}"):
            return
        with outcome_of(setting, f"{name}: {runtime}"):
            lines, lowest = [], 1.0
            for which, arrays in inputs.items():
                tower = make_tower(dual.spec, dual, which, runtime, gpu)
                vectors = unit(tower.run(*arrays)[0])
                cosine = float((vectors * reference[which]).sum(axis=1).min())
                lowest = min(lowest, cosine) if math.isfinite(cosine) else -1.0
                lines.append(f"{which} cosine {cosine:.6f}, {speed_of(setting, tower, arrays):,.0f}/s")
            setting.add(f"{name}: {runtime}", lowest >= MIN_COSINE, "; ".join(lines))
    for tower_module in (dual.picture_tower, dual.text_tower):
        tower_module.cpu()  # the float32 runtime moves the towers themselves


def speed_of(setting: Setting, tower: Any, arrays: Any) -> float:
    """Rows per second, decoding and tokenising not counted."""
    rows = 4 if setting.tiny else 512
    repeated = tuple(np.resize(array, (rows, *array.shape[1:])) for array in arrays)
    tower.run(*repeated)  # the first call compiles and allocates
    started = time.perf_counter()
    tower.run(*repeated)  # it returns arrays, so the device has finished
    return rows / (time.perf_counter() - started)


def check_gradients(setting: Setting, name: str, model: TrainableModel, data: TuningData) -> None:
    """Compare the gradients of a batch with those of float32 on the CPU, and the memory of micro batches."""
    if setting.is_late(f"{name}: gradients"):
        return
    batch = BatchDraw(PhraseBook(data, range(len(data.items))), 12, 0, seed=0).batch(0)
    inputs = PictureInputs(model.dual, data.pictures, setting.work, 4)
    parameters = dict(model.network.named_parameters())
    model.network.requires_grad_(True)

    def gradients(device: str, *, autocast: bool, micro_batch: int = 5) -> np.ndarray:
        towers = Towers(model.dual, device, autocast=autocast)
        model.network.to(device)
        group = ProcessGroup(0, 1, device)
        add_gradients(
            Side(12, lambda part: towers.picture_vectors(inputs, batch.pictures[part.start : part.stop])),
            Side(len(batch.texts), lambda part: towers.text_vectors(batch.texts[part.start : part.stop])),
            torch.from_numpy(batch.same).to(device),
            Objective.of(model.network),
            list(parameters.values()),
            group,
            micro_batch,
        )
        found = [value.grad.float().cpu().reshape(-1) for value in parameters.values() if value.grad is not None]
        model.network.zero_grad(set_to_none=True)
        return torch.cat(found).numpy()

    expected = gradients("cpu", autocast=False)
    exact = gradients(setting.device, autocast=False)
    error = float(np.linalg.norm(exact - expected) / np.linalg.norm(expected))
    setting.add(f"{name}: gradients in fp32", error < 1e-3, f"relative error {error:.1e}")
    rough = gradients(setting.device, autocast=True)
    cosine = float(rough @ expected / (np.linalg.norm(rough) * np.linalg.norm(expected)))
    setting.add(f"{name}: gradients in bf16", cosine > 0.97, f"cosine {cosine:.4f}")
    if setting.on_gpu:
        peaks = []
        for micro_batch in (12, 2):
            torch.cuda.reset_peak_memory_stats()
            gradients(setting.device, autocast=True, micro_batch=micro_batch)
            peaks.append(torch.cuda.max_memory_allocated() / 2**20)
        setting.add(f"{name}: memory", peaks[1] < peaks[0], f"{peaks[0]:,.0f} MB whole, {peaks[1]:,.0f} MB in parts")
    model.network.requires_grad_(False)
    model.network.cpu()


def check_tuning(setting: Setting, encoder: str, data: TuningData) -> None:
    """Tune, save, load the folder, and compare its vectors with those of the trainer."""
    if setting.is_late("tuning"):
        return
    method: Method = "lora" if find_spec("peft") else "full"
    steps, batch = (4, 8) if setting.tiny else (40, 256)
    settings = TuneSettings(method=method, steps=steps, batch_size=batch, micro_batch=max(4, batch // 4))
    options = EncoderOptions(device=setting.device)
    work = setting.work / "tuning"
    started = time.perf_counter()
    trainer = NetworkTrainer(encoder, options, data, [], settings, work)
    tuned = trainer.fit(range(len(data.items)), [], label="final", on_progress=lambda line: None)
    seconds = time.perf_counter() - started
    log = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log]
    figures = (
        f"loss {losses[0]:.3f} to {losses[-1]:.3f}, {max(line['pictures_per_s'] for line in log):,.0f} pictures/s, "
    )
    figures += f"{log[-1]['peak_memory_mb']:,} MB, {seconds:.0f} s"
    # four updates of a tiny model prove the code, not the learning
    setting.add(f"tuning: {method}", math.isfinite(losses[-1]) if setting.tiny else losses[-1] < losses[0], figures)
    name = tuned.save(setting.work / "tuned", 0.5)
    saved = load_trainable_model(name, EncoderOptions(device="cpu"))
    towers = Towers(saved.dual, "cpu", autocast=False)
    difference = float(np.abs(towers.encode_texts(TITLES) - tuned.encode_texts(TITLES, 0.5)).max())
    setting.add("tuning: saved model", difference < (1e-3 if setting.on_gpu else 1e-5), f"difference {difference:.1e}")


def check_collectives(setting: Setting) -> None:
    """Run the sums between processes over nccl; there is one process, so they must change nothing."""
    backend = "nccl" if setting.on_gpu else "gloo"
    device = "cuda:0" if setting.on_gpu else "cpu"
    place = f"file://{setting.work / 'group'}"
    torch.distributed.init_process_group(backend, init_method=place, rank=0, world_size=1)
    try:
        # a group that believes in two processes takes the path of several; the second one adds nothing
        group = ProcessGroup(0, 2, device)
        values = [torch.arange(6.0, device=device).reshape(2, 3), torch.ones(4, device=device)]
        group.sum(values)
        rows = gather_rows([torch.ones(2, 5, device=device)], range(2), 4, group)
        group.wait()
        same = values[0].flatten().tolist() == list(range(6)) and rows.sum(dim=1).tolist() == [5, 5, 0, 0]
        setting.add(f"{backend}, world size 1", same, "sums and gathers are exact")
    finally:
        torch.distributed.destroy_process_group()


def check_tensorrt(setting: Setting, model: TrainableModel) -> None:
    """Compile the picture tower with TensorRT where it is importable."""
    if not setting.on_gpu or find_spec("torch_tensorrt") is None:
        setting.add(
            "TensorRT", None, "left out: " + ("torch_tensorrt is not installed" if setting.on_gpu else "no GPU")
        )
        return
    if setting.is_late("TensorRT"):
        return
    torch_tensorrt = import_module("torch_tensorrt")
    (pixels,) = model.dual.prepare_pictures(probe_pictures(8))
    tower = model.dual.picture_tower.cuda().eval()
    inputs = torch.from_numpy(pixels).cuda()
    with torch.inference_mode():
        expected = tower(inputs)
        compiled = torch_tensorrt.compile(tower, ir="dynamo", inputs=[inputs], enabled_precisions={torch.float16})
        cosine = float(nn.functional.cosine_similarity(compiled(inputs).float(), expected.float()).min())
    setting.add("TensorRT fp16", cosine >= MIN_COSINE, f"cosine {cosine:.6f}")


# -- models ------------------------------------------------------------------------------------------------------------


def clip_folder(folder: Path, tiny: bool) -> str:
    """Write CLIP ViT-B/32, or a tiny one, in transformers' format."""
    import transformers

    hf: Any = transformers
    tokenizer = byte_pair_tokenizer(77)
    text = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": 0, "pad_token_id": 1}
    vision = {"patch_size": 32}
    if tiny:
        text |= TINY
        vision |= TINY | {"image_size": 64}
    config = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=32 if tiny else 512)
    side = vision.get("image_size", 224)
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return save_transformers(folder, hf.CLIPModel(config), hf.CLIPProcessor(pictures, tokenizer))


def siglip_folder(folder: Path, tiny: bool) -> str:
    """Write SigLIP-B/16, or a tiny one, in transformers' format."""
    import transformers

    hf: Any = transformers
    tokenizer = byte_pair_tokenizer(64)
    text: dict[str, int] = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    side = 64 if tiny else 224
    vision: dict[str, int] = {"image_size": side}
    if tiny:
        text |= TINY | {"projection_size": TINY["hidden_size"]}
        vision |= TINY
    pictures = hf.SiglipImageProcessor(size={"height": side, "width": side}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
    return save_transformers(folder, model, hf.SiglipProcessor(pictures, tokenizer))


TINY: Final = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def save_transformers(folder: Path, model: Any, processor: Any) -> str:
    spread(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return f"transformers:{folder}"


def open_clip_folder(folder: Path, tiny: bool) -> str:
    """Write open_clip's ViT-B-32, or a tiny one, as a folder."""
    import open_clip
    from safetensors.torch import save_file

    config: dict[str, Any] = dict(open_clip.get_model_config("ViT-B-32") or {})
    if tiny:
        vision = {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 32}
        text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
        config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = open_clip.CLIP(**config)
    spread(model)
    weights = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"open_clip:{folder}"


def spread(model: nn.Module) -> None:
    """Draw weights that separate inputs; freshly made towers give nearly one vector for all."""
    noise = torch.Generator().manual_seed(1)
    for name, value in sorted(model.named_parameters()):
        if "logit" in name:
            continue
        drawn = torch.randn(value.shape, generator=noise)
        if value.ndim > 1:
            drawn /= 1 if "embed" in name and "patch" not in name else math.sqrt(value[0].numel())
        else:
            drawn = 0.1 * drawn + (1 if name.endswith("weight") else 0)
        value.data.copy_(drawn)


def byte_pair_tokenizer(context: int) -> Any:
    """Train a small byte-pair tokeniser on the titles."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False, vocab_size=500)
    tokenizer.train_from_iterator([*TITLES, "abcdefghijklmnopqrstuvwxyz circle square triangle ring cross on"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=context, **names)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
