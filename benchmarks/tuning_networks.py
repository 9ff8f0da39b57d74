"""Tune ViT-B-32 with LoRA on drawn pairs, kill the run, continue it, and measure memory and time.

    python -m benchmarks.tuning_networks                      # 1,000 pairs, all updates
    python -m benchmarks.tuning_networks --steps 4 --json     # fewer updates need the same memory

The model has random weights in open_clip's format, so that nothing is downloaded: speed and memory do not depend on
them. The training runs in a child process. The child is killed with SIGKILL after a checkpoint, and the
same call continues. Peak memory is the larger one of both processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.drawn_shapes import drawn_data
from benchmarks.random_models import ARCH, open_clip_checkpoint
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.tuning.networks.network_trainer import NetworkTrainer
from firstsight.tuning.tune_settings import Method, TuneSettings

SIDE = 224


@dataclass(frozen=True)
class Measured:
    """Result of the run.

    Attributes:
        pairs: of pictures and titles.
        updates: of the weights, on both sides of the kill together.
        peak_memory_mb: resident memory of the larger process.
        cpu_s: of both processes; wall_s: of both, one after the other.
        continued_after: updates that the second process did not repeat.
    """

    method: str
    pairs: int
    updates: int
    peak_memory_mb: int
    cpu_s: float
    wall_s: float
    continued_after: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--steps", type=int, help="updates; by default four passes over the pairs")
    parser.add_argument("--method", choices=["lora", "lit", "full"], default="lora")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--work", type=Path, help="folder for the model and the checkpoints; by default a temporary one"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)  # the child
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.work, arguments.pairs, arguments.steps, arguments.method, arguments.threads)
        return
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(arguments, arguments.work or Path(temporary))
    if arguments.json:
        print(json.dumps(asdict(found)))
    else:
        for name, value in asdict(found).items():
            print(f"{name:16} {value}")


def measure(arguments: argparse.Namespace, work: Path) -> Measured:
    """Run the training twice: killed after half of its updates, and to its end."""
    open_clip_checkpoint(work)
    command = [sys.executable, "-m", "benchmarks.tuning_networks", "--train", "--work", str(work)]
    command += ["--pairs", str(arguments.pairs), "--method", arguments.method, "--threads", str(arguments.threads)]
    command += ["--steps", str(arguments.steps)] if arguments.steps else []
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in iter(first.stdout.readline, ""):
            print(line.rstrip(), file=sys.stderr)
            done, total = updates_of(line)
            if total and 2 * done >= total:
                first.kill()
                break
    if first.returncode != -9:
        sys.exit(f"the first process ended with {first.returncode} before it was killed")
    second = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(second.stdout, file=sys.stderr)
    wall_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    continued = [line for line in second.stdout.splitlines() if "continued after update" in line]
    _, total = updates_of(second.stdout.splitlines()[-1])
    return Measured(
        method=arguments.method,
        pairs=arguments.pairs,
        updates=total,
        peak_memory_mb=used.ru_maxrss // 1024,
        cpu_s=round(used.ru_utime + used.ru_stime, 1),
        wall_s=round(wall_s, 1),
        continued_after=int(continued[0].rsplit(" ", 1)[1]) if continued else 0,
    )


def updates_of(line: str) -> tuple[int, int]:
    """Return finished and all updates in a line of progress; zeros if it has none."""
    words = line.replace(",", "").split()
    if "update" not in words or "of" not in words:
        return 0, 0
    return int(words[words.index("update") + 1]), int(words[words.index("of") + 1])


def train(work: Path, pairs: int, steps: int | None, method: Method, threads: int) -> None:
    """Train in this process, with a checkpoint after each tenth of the updates."""
    data = drawn_data(pairs, SIDE)
    settings = TuneSettings(method=method, steps=steps, checkpoint_steps=max(1, (steps or 60) // 10))
    name = f"open_clip:{ARCH}@{open_clip_checkpoint(work)}"
    options = EncoderOptions(device="cpu", threads=threads)
    trainer = NetworkTrainer(name, options, data, [], settings, work / f"work-{method}")
    tuned = trainer.fit(range(pairs), [], label="final", on_progress=lambda line: print(line, flush=True))
    if not (work / f"tuned-{method}").exists():
        tuned.save(work / f"tuned-{method}", settings.share)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
