"""Encoding against the ways it is usually done, and against what the machine can do at all.

    python -m benchmarks.encoders pictures     # pictures/s from decoded ones and from tensors, beside other libraries
    python -m benchmarks.encoders titles       # titles/s, and one query
    python -m benchmarks.encoders limit        # share of the matrix-multiply limit that a picture tower reaches
    python -m benchmarks.encoders files        # from JPEG files to vectors
    python -m benchmarks.encoders drift        # what reading large files at a reduced scale changes
    python -m benchmarks.encoders parity       # vectors of every runtime beside those of the model's own library
    python -m benchmarks.encoders all

Every contender is a process of its own that stays alive and waits while another works: runtimes that share a process
disturb each other's threads. They take turns, round after round, so that what else the machine does hits all alike; a
figure is the median of its rounds, a ratio the median of the rounds' ratios. Weights are random (see random_models).

A library that needs other versions than these gets an interpreter of its own, which need not hold firstsight:
`--python infinity=peers/bin/python`. One that is not installed is left out, with the reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from benchmarks import random_models
from benchmarks.contenders import PLAIN, ContenderError, Rows
from benchmarks.pipeline import goal
from firstsight.encoders.base import DECODE_FACTOR, unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.models.int8_calibration import MIN_CALIBRATION_PICTURES, calibrate, neighbour_overlap
from firstsight.encoders.picture_transform import SquareTransform
from firstsight.encoders.registry import load_dual_model
from firstsight.encoders.runtimes import runtime_measurements
from firstsight.encoders.runtimes.runtime_choice import INT8 as INT8_RUNTIME
from firstsight.encoders.runtimes.runtime_choice import machine
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.media.pictures import open_picture

ROOT = Path(__file__).parent.parent
AUTO = "ours auto"
INT8 = "ours openvino:int8"
PEERS = ["sentence-transformers", "lancedb", "infinity", "clip-retrieval", "onnxruntime"]
RUNTIMES = ["torch:fp32", "torch:bf16", "openvino:fp32", "openvino:bf16", "openvino:int8"]
WARM = 8  # pictures or titles before those that count
SAMPLE_OF_TITLES = 256  # for those that take about as long for every title


@dataclass(frozen=True)
class Plan:
    """What a run measures, and on what."""

    work: Path  # models, made pictures and vectors are kept here
    rounds: int
    count: int  # pictures of one round
    pictures: Path | None
    titles: Path | None
    pythons: dict[str, str]  # contender -> interpreter

    def jpegs(self, count: int, size: tuple[int, int]) -> list[Path]:
        return random_models.make_jpegs(self.work, count, size, random_models.pictures_in(self.pictures))

    def vectors(self, name: str) -> Path:
        folder = self.work / "vectors"
        folder.mkdir(exist_ok=True)
        return folder / f"{name.replace(' ', '-').replace(':', '-')}.npy"


class Contender:
    """A process that holds one way of encoding and does what it is told while this one waits."""

    def __init__(self, name: str, model: str, plan: Plan) -> None:
        self.name, self.reason, self.runtime = name, "", ""
        self.warming = False  # do only a little of what is asked for
        command = [plan.pythons.get(name.split()[0], sys.executable), "-m", "benchmarks.contenders", name, model]
        log = (plan.work / f"{name.replace(' ', '-').replace(':', '-')}.log").open("w")
        self._process = subprocess.Popen(
            [*command, str(plan.work)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        try:
            self.runtime = self._answer()["runtime"]
        except ContenderError as error:
            self.reason = str(error)

    def ask(self, what: str, **rest: object) -> float:
        """Seconds it took, or the figure that was asked for."""
        assert self._process.stdin is not None
        if self.warming:
            rest = {key: value[:WARM] if isinstance(value, list) else value for key, value in rest.items()}
        self._process.stdin.write(json.dumps({"what": what, **rest}) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["figure"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContenderError(f"ended with status {self._process.wait()}; its log is in the work folder")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Field:
    """The contenders for one model, loaded one after the other; those that cannot load are named and left out."""

    def __init__(self, names: Iterable[str], model: str, plan: Plan) -> None:
        self.left_out: list[str] = []
        self.running: list[Contender] = []
        for name in names:
            contender = Contender(name, model, plan)
            if contender.reason:
                self.left_out.append(f"{name}: {contender.reason}")
                contender.stop()
            else:
                self.running.append(contender)

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        for contender in self.running:
            contender.stop()
        for line in self.left_out:
            print(f"left out: {line}")

    def in_turn(self, rounds: int, ask: Callable[[Contender], float], only: str = "") -> dict[str, list[float]]:
        """What `ask` gives for each contender in each round, after a short one that is not counted.

        Args:
            only: what a contender's name ends with, or "matmul" starts with.
        """
        figures: dict[str, list[float]] = {
            one.name: [] for one in self.running if one.name.endswith(only) or one.name.startswith("matmul")
        }
        for round_ in range(rounds + 1):
            for contender in [one for one in self.running if one.name in figures]:
                contender.warming = not round_
                try:
                    figure = ask(contender)
                except ContenderError as error:
                    if str(error) != "none":
                        self.left_out.append(f"{contender.name}: {error}")
                    del figures[contender.name]
                    continue
                if round_:
                    figures[contender.name].append(figure)
                    print(f"round {round_}: {contender.name} {figure:.4g}", file=sys.stderr)
        return figures


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print()
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def likeness(vectors: Path, reference: Path) -> tuple[float, float]:
    """Mean and least cosine of the vectors to the reference's, as far as there are both."""
    ours, theirs = np.load(vectors), np.load(reference)
    count = min(len(ours), len(theirs))
    cosines = (ours[:count] * theirs[:count]).sum(axis=1)
    return float(cosines.mean()), float(cosines.min())


def ratio(figures: dict[str, list[float]], name: str, base: str) -> float:
    """Median of the rounds' ratios of time; how many times as fast as the base."""
    return median(b / a for a, b in zip(figures[name], figures[base], strict=True))


def names(contender: Contender) -> str:
    """What stands in a table."""
    return f"{contender.name} ({contender.runtime})" if contender.runtime else contender.name


def pictures(plan: Plan) -> bool:
    """Pictures a second from decoded pictures of 1000 x 1000, and from prepared tensors."""
    files = [str(path) for path in plan.jpegs(plan.count, (1000, 1000))]
    with Field([PLAIN, AUTO, INT8, *PEERS], "clip", plan) as field:
        whole = field.in_turn(
            plan.rounds, lambda one: one.ask("pictures", files=files, save=str(plan.vectors(one.name)))
        )
        towers = field.in_turn(plan.rounds, lambda one: one.ask("tensors", files=files))
        rows, cosines = [], {}
        for one in field.running:
            if one.name not in whole:
                continue
            mean, least = cosines[one.name] = likeness(plan.vectors(one.name), plan.vectors(PLAIN))
            tower = ["-", "-"]
            if one.name in towers:
                tower = [f"{len(files) / median(towers[one.name]):.1f}", f"{ratio(towers, one.name, PLAIN):.2f}"]
            speed = [f"{len(files) / median(whole[one.name]):.1f}", f"{ratio(whole, one.name, PLAIN):.2f}"]
            rows.append([names(one), *speed, *tower, f"{mean:.5f}", f"{least:.5f}"])
    table(["ViT-B-32", "pictures/s", "x plain", "tensors/s", "x plain", "cosine mean", "min"], rows)
    reached = [goal("auto, times plain open_clip", ratio(whole, AUTO, PLAIN), 2.4, at_least=True)]
    reached.append(goal("auto, least cosine", cosines[AUTO][1], 0.999, at_least=True))
    if INT8 in whole:
        reached.append(goal("int8, times plain open_clip", ratio(whole, INT8, PLAIN), 4, at_least=True))
    return all(reached)


def titles(plan: Plan) -> bool:
    """Titles a second, and one query."""
    texts = random_models.titles_from(plan.titles, 2_000)

    def given(name: str) -> list[str]:
        return texts if name.startswith("ours") else texts[:SAMPLE_OF_TITLES]

    with Field([PLAIN, AUTO, INT8, *PEERS], "clip", plan) as field:
        seconds = field.in_turn(
            plan.rounds,
            lambda one: (
                one.ask("texts", texts=given(one.name), save=str(plan.vectors(one.name))) / len(given(one.name))
            ),
        )
        queries = field.in_turn(plan.rounds, lambda one: one.ask("query", texts=texts[:20]))
        rows = []
        for one in field.running:
            if one.name not in seconds:
                continue
            mean, least = likeness(plan.vectors(one.name), plan.vectors(PLAIN))
            speed = [f"{1 / median(seconds[one.name]):.0f}", f"{ratio(seconds, one.name, PLAIN):.2f}"]
            query = f"{1000 * median(queries[one.name]):.1f}"
            rows.append([names(one), *speed, f"{mean:.5f}", f"{least:.5f}", query])
    table(["ViT-B-32", "titles/s", "x plain", "cosine mean", "min", "one query, p50 ms"], rows)
    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{len(texts):,} titles of {words:.1f} words on average; {SAMPLE_OF_TITLES} for all but ours")
    fast = goal("auto, times plain open_clip", ratio(seconds, AUTO, PLAIN), 8, at_least=True)
    return goal("ms of one query, p50", 1000 * median(queries[AUTO]), 15) and fast


def picture_flops(side: int = 224, patch: int = 32, width: int = 768, layers: int = 12, dim: int = 512) -> int:
    """Floating-point operations of a ViT's matrix products for one picture, a multiply-add counted as two.

    patches * 2 * 3 patch^2 width, then per layer 2 t (3 + 1 + 4 + 4) width^2 for queries, keys and values, the way out
    of attention and the two halves of the MLP, and 2 * 2 t^2 width for attention itself, t being patches and the class
    token; then 2 * width * dim.
    """
    patches = (side // patch) ** 2
    tokens = patches + 1
    layer = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    return 2 * patches * 3 * patch**2 * width + layers * layer + 2 * width * dim


def limit(plan: Plan) -> bool:
    """The machine's matrix products in each precision, and the share of their speed that the picture tower reaches."""
    files = [str(path) for path in plan.jpegs(plan.count, (1000, 1000))]
    rows, shares = [], {}
    with Field(
        ["matmul torch", "matmul openvino", *(f"ours {runtime}" for runtime in RUNTIMES)], "clip", plan
    ) as field:
        for precision in ("fp32", "bf16", "int8"):

            def ask(one: Contender, precision: str = precision) -> float:
                if one.name.startswith("matmul"):
                    return one.ask("products", precision=precision)
                return picture_flops() * len(files) / one.ask("tensors", files=files)

            figures = {name: median(found) for name, found in field.in_turn(plan.rounds, ask, only=precision).items()}
            most, source = max((figure, name) for name, figure in figures.items() if name.startswith("matmul"))
            for name in [name for name in figures if name.startswith("ours")]:
                shares[name] = 100 * figures[name] / most
                bound = f"{most / 1e9:.0f} ({source.split()[1]})"
                rows.append([precision, bound, name, f"{figures[name] / 1e9:.0f}", f"{shares[name]:.0f} %"])
    table(["precision", "limit, GFLOP/s", "ViT-B-32 picture tower", "GFLOP/s", "share"], rows)
    print(f"{picture_flops() / 1e9:.2f} GFLOP a picture")
    in_bf16 = max(share for name, share in shares.items() if name.endswith("bf16"))
    return goal("% of the bf16 limit", in_bf16, 85, at_least=True)


def files(plan: Plan) -> bool:
    """Pictures a second from JPEG files, and what the parts take by themselves."""
    rows = []
    with Field([PLAIN, AUTO, INT8], "clip", plan) as field:
        for size, count in (((1000, 1000), plan.count), ((3000, 2000), plan.count // 3)):
            paths = [str(path) for path in plan.jpegs(count, size)]
            asks = {"files": "all", "decode": "decoding", "prepare": "scaling", "tensors": "encoding"}
            found = {
                what: field.in_turn(plan.rounds, lambda one, what=what, paths=paths: one.ask(what, files=paths))  # type: ignore[misc]
                for what in asks
            }
            for one in field.running:
                speed = f"{count / median(found['files'][one.name]):.1f}"
                parts = [f"{1000 * median(found[what][one.name]) / count:.1f}" for what in asks]
                times = f"{ratio(found['files'], one.name, PLAIN):.2f}"
                rows.append([f"{size[0]} x {size[1]}", names(one), speed, times, *parts])
    table(["JPEG", "ViT-B-32", "pictures/s", "x plain", *(f"{name}, ms" for name in asks.values())], rows)
    print("the parts by themselves, decoding and scaling in one thread: ours overlaps them with encoding")
    return True


def drift(plan: Plan) -> bool:
    """What decoding large JPEGs at a reduced scale, and scaling bytes, change in the vectors of a trained network."""
    encoder, side = StarterEncoder(), 260
    transform = SquareTransform(
        (side, side), "shortest", side, InterpolationMode.BICUBIC, round, (0.0,) * 3, (1.0,) * 3
    )

    def features(prepared: list[Image.Image]) -> Rows:
        (pixels,) = transform(prepared)
        return unit(encoder.picture_outputs(pixels)[0])

    rows = []
    for size, count in (((1000, 1000), plan.count), ((3000, 2000), plan.count // 3)):
        paths = plan.jpegs(count, size)
        whole = features([open_picture(path) for path in paths])
        by_pillow = [open_picture(path).resize((side, side), Image.Resampling.BICUBIC) for path in paths]
        if size[0] == size[1]:
            cosines = (features(by_pillow) * whole).sum(axis=1)
            rows.append([f"{size[0]} x {size[1]}", "Pillow's resize", f"{cosines.mean():.5f}", f"{cosines.min():.5f}"])
        for factor in (2, 3, 4):
            shrunk = [open_picture(path, min_side=factor * side) for path in paths]
            cosines = (features(shrunk) * whole).sum(axis=1)
            label = f"at least {factor} x {side} pixels decoded"
            rows.append([f"{size[0]} x {size[1]}", label, f"{cosines.mean():.5f}", f"{cosines.min():.5f}"])
    table(["JPEG", "against the whole picture, scaled as bytes", "cosine mean", "min"], rows)
    print(f"the trained network is starter's EfficientNet-Lite2, its pooled features; {DECODE_FACTOR} is what is used")
    return True


def parity(plan: Plan) -> bool:
    """Vectors of every runtime beside those of the model's own library in float32, on real pictures and titles."""
    real = random_models.pictures_in(plan.pictures)[:240]
    paths = [str(path) for path in (real if len(real) >= 200 else plan.jpegs(200, (600, 600)))]
    texts = random_models.titles_from(plan.titles, 500)
    rows = []
    for model, own in (("clip", PLAIN), ("siglip", "transformers")):
        with Field([own, *(f"ours {runtime}" for runtime in RUNTIMES)], model, plan) as field:
            for one in field.running:
                seen, read = plan.vectors(f"{model} {one.name} pictures"), plan.vectors(f"{model} {one.name} titles")
                one.ask("files", files=paths, save=str(seen))
                one.ask("texts", texts=texts, save=str(read))
                if one.name == own:
                    own_seen, own_read = seen, read
                    continue
                cosines = [*likeness(seen, own_seen), *likeness(read, own_read)]
                shared = f"{neighbour_overlap(np.load(seen), np.load(own_seen)):.3f}"
                rows.append([model, one.name, *(f"{cosine:.6f}" for cosine in cosines)])
                rows[-1].insert(4, shared)
    head = ["model", "runtime", "pictures: cosine mean", "min", "overlap@10", "titles: cosine mean", "min"]
    table(head, rows)
    print(f"{len(paths)} pictures, {len(texts)} titles")
    exact = [float(row[3]) for row in rows if not row[1].endswith("int8")]
    return goal("least cosine of a picture, int8 aside", min(exact), 0.999, at_least=True)


def calibrated(plan: Plan) -> None:
    """Calibrate int8 for ViT-B-32, once for a cache folder, where there are pictures to do it with."""
    name = f"open_clip:{random_models.ARCH}@{random_models.open_clip_checkpoint(plan.work)}"
    found = random_models.pictures_in(plan.pictures)
    if len(found) < MIN_CALIBRATION_PICTURES or importlib.util.find_spec("nncf") is None:
        print("no int8: it needs NNCF and 200 pictures (--pictures)")
        return
    options = EncoderOptions()
    spec = load_dual_model(name, options).spec
    if runtime_measurements.read(spec.fingerprint, machine(INT8_RUNTIME, None)) is None:
        print(calibrate(name, found, options, lambda step: print(step, file=sys.stderr)))


MEASURES: dict[str, Callable[[Plan], bool]] = {
    "pictures": pictures,
    "titles": titles,
    "limit": limit,
    "files": files,
    "drift": drift,
    "parity": parity,
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*MEASURES, "all"])
    parser.add_argument(
        "--work", type=Path, default=Path("encoder-benchmark"), help="models and pictures are kept here"
    )
    parser.add_argument("--pictures", type=Path, help="folder of real pictures; the sample's by default")
    parser.add_argument("--titles", type=Path, help="CSV with a column title; made of word lists by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=64, help="pictures of one round")
    parser.add_argument("--python", action="append", default=[], metavar="CONTENDER=PATH", help="its interpreter")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    pythons = dict(word.split("=", 1) for word in options.python)
    plan = Plan(work, options.rounds, options.count, options.pictures, options.titles, pythons)
    # made before anything is timed
    for make in (random_models.clip_folder, random_models.siglip_folder):
        make(work)
    calibrated(plan)
    chosen = list(MEASURES) if options.what == "all" else [options.what]
    reached = []
    for name in chosen:
        print(f"## {name}", flush=True)
        began = time.perf_counter()
        reached.append(MEASURES[name](plan))
        print(f"({name} took {time.perf_counter() - began:.0f} s)\n", flush=True)
    raise SystemExit(not all(reached))


if __name__ == "__main__":
    main()
