"""Speed and accuracy of encoding, compared with other libraries and with the machine's limit.

    python -m benchmarks.encoders pictures     # pictures/s from decoded pictures and from tensors, with other libraries
    python -m benchmarks.encoders titles       # titles/s, and the time of one query
    python -m benchmarks.encoders limit        # speed of a picture tower as a share of the matrix-multiply limit
    python -m benchmarks.encoders files        # from JPEG files to vectors
    python -m benchmarks.encoders drift        # effect of decoding large files at a reduced scale
    python -m benchmarks.encoders parity       # vectors of every runtime compared with the model's own library
    python -m benchmarks.encoders all

Every contender is its own process and waits while another one works: runtimes in one process disturb each other's
threads. The contenders alternate in rounds, so that other load affects all of them. A figure is the median of its
rounds, a ratio the median of the rounds' ratios. Weights are random (see random_models).

A library with other version requirements can have its own interpreter, which does not need firstsight:
`--python infinity=peers/bin/python`. A library that is not installed is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from benchmarks import random_models
from benchmarks.contender_rounds import Contender, Field, Plan
from benchmarks.encoding_ways import PLAIN, Rows
from benchmarks.pipeline import goal
from firstsight.encoders.base import DECODE_FACTOR, unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.picture_transform import SquareTransform
from firstsight.encoders.models.int8_calibration import MIN_CALIBRATION_PICTURES, calibrate, neighbour_overlap
from firstsight.encoders.registry import load_dual_model
from firstsight.encoders.runtimes import runtime_measurements
from firstsight.encoders.runtimes.model_towers import INT8 as INT8_RUNTIME
from firstsight.encoders.runtimes.runtime_choice import machine
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.media.pictures import open_picture

AUTO = "ours auto"
INT8 = "ours openvino:int8"
PEERS = ["sentence-transformers", "lancedb", "infinity", "clip-retrieval", "onnxruntime"]
RUNTIMES = ["torch:fp32", "torch:bf16", "openvino:fp32", "openvino:bf16", "openvino:int8"]
SAMPLE_OF_TITLES = 256  # for contenders with about equal time for every title


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print()
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def likeness(vectors: Path, reference: Path) -> tuple[float, float]:
    """Compute the mean and minimum cosine of vectors to the reference, over the rows of the shorter file."""
    ours, theirs = np.load(vectors), np.load(reference)
    count = min(len(ours), len(theirs))
    cosines = (ours[:count] * theirs[:count]).sum(axis=1)
    return float(cosines.mean()), float(cosines.min())


def ratio(figures: dict[str, list[float]], name: str, base: str) -> float:
    """Compute the speed relative to the base: the median of the rounds' ratios of time."""
    return median(b / a for a, b in zip(figures[name], figures[base], strict=True))


def names(contender: Contender) -> str:
    """Return a contender's name in tables."""
    return f"{contender.name} ({contender.runtime})" if contender.runtime else contender.name


def pictures(plan: Plan) -> bool:
    """Measure pictures/s from decoded pictures of 1000 x 1000, and from prepared tensors."""
    files = [str(path) for path in plan.jpegs(plan.count, (1000, 1000))]
    with Field([PLAIN, AUTO, INT8, *PEERS], "clip", plan) as field:
        whole = field.in_turn(
            plan.rounds,
            lambda contender: contender.run("pictures", files=files, save=str(plan.vectors(contender.name))),
        )
        towers = field.in_turn(plan.rounds, lambda contender: contender.run("tensors", files=files))
        rows, cosines = [], {}
        for contender in field.running:
            if contender.name not in whole:
                continue
            mean, smallest = cosines[contender.name] = likeness(plan.vectors(contender.name), plan.vectors(PLAIN))
            tower = ["-", "-"]
            if contender.name in towers:
                tower = [
                    f"{len(files) / median(towers[contender.name]):.1f}",
                    f"{ratio(towers, contender.name, PLAIN):.2f}",
                ]
            speed = [f"{len(files) / median(whole[contender.name]):.1f}", f"{ratio(whole, contender.name, PLAIN):.2f}"]
            rows.append([names(contender), *speed, *tower, f"{mean:.5f}", f"{smallest:.5f}"])
    table(["ViT-B-32", "pictures/s", "x plain", "tensors/s", "x plain", "cosine mean", "min"], rows)
    reached = [goal("auto, times plain open_clip", ratio(whole, AUTO, PLAIN), 2.4, at_least=True)]
    reached.append(goal("auto, minimum cosine", cosines[AUTO][1], 0.999, at_least=True))
    if INT8 in whole:
        reached.append(goal("int8, times plain open_clip", ratio(whole, INT8, PLAIN), 4, at_least=True))
    return all(reached)


def titles(plan: Plan) -> bool:
    """Measure titles/s, and the time of one query."""
    texts = random_models.titles_from(plan.titles, 2_000)

    def titles_for(name: str) -> list[str]:
        return texts if name.startswith("ours") else texts[:SAMPLE_OF_TITLES]

    with Field([PLAIN, AUTO, INT8, *PEERS], "clip", plan) as field:
        seconds = field.in_turn(
            plan.rounds,
            lambda contender: (
                contender.run("texts", texts=titles_for(contender.name), save=str(plan.vectors(contender.name)))
                / len(titles_for(contender.name))
            ),
        )
        queries = field.in_turn(plan.rounds, lambda contender: contender.run("query", texts=texts[:20]))
        rows = []
        for contender in field.running:
            if contender.name not in seconds:
                continue
            mean, smallest = likeness(plan.vectors(contender.name), plan.vectors(PLAIN))
            speed = [f"{1 / median(seconds[contender.name]):.0f}", f"{ratio(seconds, contender.name, PLAIN):.2f}"]
            query = f"{1000 * median(queries[contender.name]):.1f}"
            rows.append([names(contender), *speed, f"{mean:.5f}", f"{smallest:.5f}", query])
    table(["ViT-B-32", "titles/s", "x plain", "cosine mean", "min", "one query, p50 ms"], rows)
    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{len(texts):,} titles of {words:.1f} words on average; {SAMPLE_OF_TITLES} for the other libraries")
    fast = goal("auto, times plain open_clip", ratio(seconds, AUTO, PLAIN), 8, at_least=True)
    return goal("ms of one query, p50", 1000 * median(queries[AUTO]), 15) and fast


def picture_flops(side: int = 224, patch: int = 32, width: int = 768, layers: int = 12, dim: int = 512) -> int:
    """Count the floating-point operations of a ViT's matrix products for one picture; a multiply-add counts as two.

    The patch embedding takes patches * 2 * 3 patch^2 width. With t tokens (patches and class token), each layer takes
    2 t (3 + 1 + 4 + 4) width^2 for queries, keys and values, the output of attention and the two halves of the MLP, and
    2 * 2 t^2 width for attention itself. The projection takes 2 * width * dim.
    """
    patches = (side // patch) ** 2
    tokens = patches + 1
    layer = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    return 2 * patches * 3 * patch**2 * width + layers * layer + 2 * width * dim


def limit(plan: Plan) -> bool:
    """Measure the machine's matrix products in each precision, and the picture tower's share of their speed."""
    files = [str(path) for path in plan.jpegs(plan.count, (1000, 1000))]
    rows, shares = [], {}
    with Field(
        ["matmul torch", "matmul openvino", *(f"ours {runtime}" for runtime in RUNTIMES)], "clip", plan
    ) as field:
        for precision in ("fp32", "bf16", "int8"):

            def measure(contender: Contender, precision: str = precision) -> float:
                if contender.name.startswith("matmul"):
                    return contender.run("products", precision=precision)
                return picture_flops() * len(files) / contender.run("tensors", files=files)

            rounds = field.in_turn(plan.rounds, measure, only=precision)
            figures = {name: median(values) for name, values in rounds.items()}
            best, source = max((figure, name) for name, figure in figures.items() if name.startswith("matmul"))
            for name in [name for name in figures if name.startswith("ours")]:
                shares[name] = 100 * figures[name] / best
                bound = f"{best / 1e9:.0f} ({source.split()[1]})"
                rows.append([precision, bound, name, f"{figures[name] / 1e9:.0f}", f"{shares[name]:.0f} %"])
    table(["precision", "limit, GFLOP/s", "ViT-B-32 picture tower", "GFLOP/s", "share"], rows)
    print(f"{picture_flops() / 1e9:.2f} GFLOP a picture")
    in_bf16 = max(share for name, share in shares.items() if name.endswith("bf16"))
    return goal("% of the bf16 limit", in_bf16, 85, at_least=True)


def run_step(contender: Contender, step: str, paths: list[str]) -> float:
    """Run one step of encoding files: returns its seconds."""
    return contender.run(step, files=paths)


def files(plan: Plan) -> bool:
    """Measure pictures/s from JPEG files, and the time of each step."""
    rows = []
    with Field([PLAIN, AUTO, INT8], "clip", plan) as field:
        for size, count in (((1000, 1000), plan.count), ((3000, 2000), plan.count // 3)):
            paths = [str(path) for path in plan.jpegs(count, size)]
            steps = {"files": "all", "decode": "decoding", "prepare": "scaling", "tensors": "encoding"}
            found = {step: field.in_turn(plan.rounds, partial(run_step, step=step, paths=paths)) for step in steps}
            for contender in field.running:
                speed = f"{count / median(found['files'][contender.name]):.1f}"
                parts = [f"{1000 * median(found[step][contender.name]) / count:.1f}" for step in steps]
                times = f"{ratio(found['files'], contender.name, PLAIN):.2f}"
                rows.append([f"{size[0]} x {size[1]}", names(contender), speed, times, *parts])
    table(["JPEG", "ViT-B-32", "pictures/s", "x plain", *(f"{name}, ms" for name in steps.values())], rows)
    print("each step alone, decoding and scaling in one thread: ours overlaps them with encoding")
    return True


def drift(plan: Plan) -> bool:
    """Measure how decoding at a reduced scale, and scaling bytes, change the vectors of a trained network."""
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
    print("the vectors are pooled features of starter's EfficientNet-Lite2, a trained network")
    print(f"firstsight uses factor {DECODE_FACTOR}")
    return True


def parity(plan: Plan) -> bool:
    """Compare the vectors of every runtime with the model's own library in float32, on real pictures and titles."""
    real = random_models.pictures_in(plan.pictures)[:240]
    paths = [str(path) for path in (real if len(real) >= 200 else plan.jpegs(200, (600, 600)))]
    texts = random_models.titles_from(plan.titles, 500)
    rows = []
    for model, own in (("clip", PLAIN), ("siglip", "transformers")):
        with Field([own, *(f"ours {runtime}" for runtime in RUNTIMES)], model, plan) as field:
            for contender in field.running:
                seen, read = (
                    plan.vectors(f"{model} {contender.name} pictures"),
                    plan.vectors(f"{model} {contender.name} titles"),
                )
                contender.run("files", files=paths, save=str(seen))
                contender.run("texts", texts=texts, save=str(read))
                if contender.name == own:
                    own_seen, own_read = seen, read
                    continue
                cosines = [*likeness(seen, own_seen), *likeness(read, own_read)]
                shared = f"{neighbour_overlap(np.load(seen), np.load(own_seen)):.3f}"
                rows.append([model, contender.name, *(f"{cosine:.6f}" for cosine in cosines)])
                rows[-1].insert(4, shared)
    head = ["model", "runtime", "pictures: cosine mean", "min", "overlap@10", "titles: cosine mean", "min"]
    table(head, rows)
    print(f"{len(paths)} pictures, {len(texts)} titles")
    exact = [float(row[3]) for row in rows if not row[1].endswith("int8")]
    return goal("minimum cosine of a picture, without int8", min(exact), 0.999, at_least=True)


def calibrated(plan: Plan) -> None:
    """Calibrate int8 for ViT-B-32 once per cache folder, if enough pictures are available."""
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
    """Run the selected measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*MEASURES, "all"])
    parser.add_argument("--work", type=Path, default=Path("encoder-benchmark"), help="folder for models and pictures")
    parser.add_argument("--pictures", type=Path, help="folder of real pictures; by default those of sample_media")
    parser.add_argument("--titles", type=Path, help="CSV with a column title; by default generated from word lists")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (default 3)")
    parser.add_argument("--count", type=int, default=64, help="pictures per round (default 64)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="CONTENDER=PATH", help="a contender's interpreter"
    )
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    pythons = dict(word.split("=", 1) for word in options.python)
    plan = Plan(work, options.rounds, options.count, options.pictures, options.titles, pythons)
    # generated before the first measurement
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
