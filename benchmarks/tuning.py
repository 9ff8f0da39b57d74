"""Figures of `firstsight tune` on a real catalogue: starter before and after, in one run.

python -m benchmarks.tuning --data FOLDER        # a folder with catalog.csv and images/
python -m benchmarks.tuning --data FOLDER --lora-folds 4   # instead: method lora against method bridge, on 4 of 4 folds

Held-out figures are over four folds of products. The forgetting check uses sample_media. CPU seconds are of the whole
process, first with an empty cache of tower outputs, then with a full one; the training alone is printed as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import firstsight

ROOT = Path(__file__).parent.parent

GOALS = {
    "title -> picture P@10": 0.50,
    "color+category -> picture P@10": 0.72,
    "title -> own picture R@10": 0.85,
}
MIN_GENERAL = 0.62
MAX_SECONDS = {"with the towers": 60.0, "on cached outputs": 5.0}


def cpu_seconds() -> float:
    """CPU seconds of this process and its finished children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    """Print figures beside their goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with catalog.csv")
    parser.add_argument("--general", default=str(ROOT / "sample_media" / "catalogue.csv"), help="forgetting check")
    parser.add_argument("--out", type=Path, help="folder for the tuned encoder")
    parser.add_argument("--html", type=Path, help="file for the report as a page")
    parser.add_argument("--image-size", type=int, help="side of starter's input picture")
    parser.add_argument(
        "--lora-folds", type=int, metavar="N", help="compare lora with the bridge alone on N of 4 folds"
    )
    arguments = parser.parse_args()
    if arguments.lora_folds:
        compare_lora(arguments.data / "catalog.csv", arguments.general, arguments.lora_folds)
        return
    report = None
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        _keep_graphs(cache)
        os.environ["FIRSTSIGHT_CACHE"] = str(cache)
        for label, goal in MAX_SECONDS.items():
            before, started = cpu_seconds(), time.perf_counter()
            report = firstsight.tune(
                arguments.data / "catalog.csv",
                arguments.out or cache / "encoder",
                general=arguments.general,
                html=arguments.html,
                image_size=arguments.image_size,
            )
            seconds, wall = cpu_seconds() - before, time.perf_counter() - started
            parts = ", ".join(f"{part} {part_seconds:.1f}" for part, part_seconds in report.seconds.items())
            print(f"{label}: {seconds:.1f} CPU s, goal {goal:g}; {wall:.1f} s, of these {parts}")
    assert report is not None
    print(f"refused: {report.refused or 'no'}")
    for figure in report.figures:
        goal_text = f", goal {GOALS[figure.measure]:.2f}" if figure.measure in GOALS else ""
        print(
            f"{figure.measure}: {figure.before:.3f} -> {figure.after:.3f} ({figure.low:+.3f} to {figure.high:+.3f}, "
            f"{figure.queries} queries){goal_text}"
        )
    for point in report.curve:
        line = ", ".join(f"{name} {value:.3f}" for name, value in point.figures.items())
        print(f"share {point.share:g}: {line}; general R@1 {point.general or 0:.3f}")
    print(
        f"general R@1 on {report.general_pictures} pictures: {report.general_before:.3f} -> "
        f"{report.general_after:.3f}, goal {MIN_GENERAL:.2f} or more"
    )


def compare_lora(catalogue: Path, general_source: str, folds: int) -> None:
    """Print the figures of both methods on the same held-out products, and the interval of their difference."""
    from firstsight.api.encoders.tuning import preview_tuning
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.tuning.evaluation.figures import compare
    from firstsight.tuning.evaluation.folds import product_folds
    from firstsight.tuning.evaluation.general_pictures import packaged_pictures
    from firstsight.tuning.evaluation.retrieval_measures import HeldOutMeasures, QueryResult
    from firstsight.tuning.starter.bridge_trainer import BridgeTrainer
    from firstsight.tuning.tune import joined_kind
    from firstsight.tuning.tune_settings import TuneSettings

    _, read = preview_tuning(catalogue)
    pictures = [str(catalogue.parent / str(address)) for address in getattr(read.data.pictures, "addresses", ())]
    data = replace(read.data, pictures=pictures)
    print(f"{len(data.items)} items, {len(pictures)} pictures", flush=True)
    measures = HeldOutMeasures(data, read.report.category, joined_kind(read))
    general = packaged_pictures()
    found: dict[str, dict[str, list[QueryResult]]] = {}
    for method in ("bridge", "lora"):
        settings = TuneSettings(method=method)
        trainer = BridgeTrainer("starter", EncoderOptions(), data, general.pictures, settings, catalogue.parent)
        for fold in product_folds(data, 4, 0)[:folds]:
            before = cpu_seconds()
            tuned = trainer.fit(fold.train, (), label=method, on_progress=lambda line: None)
            recall = general.recall_at_1(tuned.encode_texts(general.captions, 0.5), tuned.encode_general_pictures(0.5))
            print(f"{method}: {cpu_seconds() - before:.1f} CPU s a fold, general R@1 {recall:.3f}", flush=True)
            results = measures.run(
                fold.held_out,
                partial(tuned.encode_pictures, share=0.5),
                partial(tuned.encode_texts, share=0.5),
            )
            for name, values in results.items():
                found.setdefault(method, {}).setdefault(name, []).extend(values)
    for name, values in found["bridge"].items():
        measure = measures.measures[name]
        figure = compare(name, measure.about, measure.cluster, values, found["lora"][name])
        print(
            f"{name}: bridge {figure.before:.3f}, lora {figure.after:.3f} ({figure.low:+.3f} to {figure.high:+.3f}, "
            f"{figure.queries} queries)"
        )


def _keep_graphs(cache: Path) -> None:
    """Link the exported graphs of the usual cache: their export is no part of a tuning."""
    from firstsight.config import cache_dir

    usual = cache_dir()
    for entry in usual.iterdir() if usual.is_dir() else ():
        if entry.name != "tuning":
            (cache / entry.name).symlink_to(entry)


if __name__ == "__main__":
    main()
