"""Smaller variants of starter on a shop: speed, neighbours kept, retrieval, and the size of their exports.

    python -m benchmarks.smaller /path/to/luma_men_gear [--export]

FOLDER has catalog.csv (item_id, parent, title, category, color, image, more_images) and its pictures. Three tenths of
the products are held out. Every student learns the teacher's vectors of the others, without labels; the tuned rows
learn the phrases of the others instead, as `firstsight tune --image-size 192` does. All figures are of the held-out
products: category P@10 and own picture R@10 of their titles among their pictures, overlap@10 with starter.
CPU milliseconds are the least of three rounds in turn, in one process.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import save_starter
from firstsight.tuning.distillation.distil import distil_encoder
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.held_out_comparison import split_items
from firstsight.tuning.distillation.student_measures import overlap, own_picture_recall
from firstsight.tuning.starter.bridge_trainer import BridgeTrainer
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData, TuningItem

STUDENTS = {
    "192 px distilled": DistilSettings(image_size=192),
    "3 text layers distilled": DistilSettings(text_layers=3),
    "text tower pruned by .3, distilled": DistilSettings(prune=0.3),
    "text tower pruned by .5, distilled": DistilSettings(prune=0.5),
}
SHARES = (0.25, 0.5)
ROUNDS = 3
TIMED = 32


@dataclass(frozen=True)
class HeldOut:
    """The held-out part of the shop."""

    pictures: list[str]
    titles: list[str]
    own: list[list[int]]  # rows of the pictures of each title
    right: np.ndarray  # (titles, pictures) whether the categories are equal


def read(folder: Path) -> tuple[TuningData, list[str]]:
    """Read the shop, and the category of each item."""
    with (folder / "catalog.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    places: dict[str, int] = {}
    owners: list[int] = []
    items, categories = [], []
    for number, row in enumerate(rows):
        addresses = [address for address in [row["image"], *row["more_images"].split()] if address]
        for address in addresses:
            if address not in places:
                places[address] = len(places)
                owners.append(number)
        category = row["category"].split("/")[-1]
        phrases = {"title": row["title"], "category": category, "color category": f"{row['color']} {category}"}
        pictures = tuple(dict.fromkeys(places[address] for address in addresses))
        items.append(TuningItem(row["item_id"], row["parent"], phrases, pictures))
        categories.append(category)
    return TuningData(tuple(items), [str(folder / address) for address in places], tuple(owners)), categories


def hold_out(data: TuningData, categories: list[str]) -> HeldOut:
    """Select what the students never learn from."""
    _, held_out = split_items(data, 0)
    pictures = sorted({picture for row in held_out for picture in data.items[row].pictures})
    place = {picture: number for number, picture in enumerate(pictures)}
    kinds = np.array([categories[data.picture_items[picture]] for picture in pictures])
    titles = [data.items[row].phrases["title"] for row in held_out]
    own = [[place[picture] for picture in data.items[row].pictures] for row in held_out]
    right = np.array([kinds == categories[row] for row in held_out])
    return HeldOut([str(data.pictures[picture]) for picture in pictures], titles, own, right)


def main() -> None:
    """Print a row for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--export", action="store_true", help="also export starter to ONNX and OpenVINO")
    arguments = parser.parse_args()
    data, categories = read(arguments.folder)
    part = hold_out(data, categories)
    print(f"{len(part.titles)} held-out titles, {len(part.pictures)} pictures", flush=True)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        teacher = StarterEncoder()
        save_starter(work / "192", teacher.bridge.weights, image_size=192)
        encoders: dict[str, Encoder] = {
            "starter": teacher,
            "192 px as it is": firstsight.load_encoder(f"starter:{work / '192'}"),
            **tuned(data, work),
        }
        report(encoders, part)
        for name, settings in STUDENTS.items():
            done = distil_encoder("starter", data, work / name, settings, force=True)
            print(f"{name}: {done.refused or 'accepted'}; {done.parameters_after:,} parameters of texts", flush=True)
            encoders[name] = firstsight.load_encoder(str(done.model))
            report({name: encoders[name], "starter": teacher}, part)
        times(encoders, part)
        for graphs in ("onnx", "openvino") if arguments.export else ():
            done_export = firstsight.export_model("starter", work / graphs, format=graphs)
            print(f"{graphs}: {done_export}", flush=True)


def tuned(data: TuningData, work: Path) -> dict[str, Encoder]:
    """Tune starter at 192 pixels on the products that are not held out, for several shares of the tuned weights."""
    learned, _ = split_items(data, 0)
    trainer = BridgeTrainer("starter", EncoderOptions(), data, data.pictures[:1], TuneSettings(image_size=192), work)
    weights = trainer.fit(learned, (), label="192 px", on_progress=lambda line: None)
    names = {f"192 px tuned, share {share:g}": weights.save(work / f"tuned-{share:g}", share) for share in SHARES}
    return {label: firstsight.load_encoder(name) for label, name in names.items()}


def report(encoders: dict[str, Encoder], part: HeldOut) -> None:
    """Print the figures of each encoder; `starter` among them is the reference of the overlap."""
    teacher_pictures = encoders["starter"].encode_images(part.pictures)
    teacher_texts = encoders["starter"].encode_texts(part.titles)
    for name, encoder in encoders.items():
        if name == "starter" and len(encoders) == 2 and "192 px as it is" not in encoders:
            continue
        pictures, texts = encoder.encode_images(part.pictures), encoder.encode_texts(part.titles)
        best = np.argsort(-(texts @ pictures.T), axis=1, kind="stable")[:, :10]
        print(
            f"{name}: category P@10 {np.take_along_axis(part.right, best, axis=1).mean():.3f}, "
            f"own picture R@10 {own_picture_recall(texts, pictures, part.own).mean():.3f}, "
            f"overlap@10 pictures {overlap(pictures, teacher_pictures).mean():.3f}, "
            f"titles {overlap(texts, teacher_texts).mean():.3f}",
            flush=True,
        )


def times(encoders: dict[str, Encoder], part: HeldOut) -> None:
    """Print CPU milliseconds of a picture and a title, least of the rounds, each round over all encoders in turn."""
    best = {name: [float("inf")] * 2 for name in encoders}
    for _ in range(ROUNDS):
        for name, encoder in encoders.items():
            begin = time.process_time()
            encoder.encode_images(part.pictures[:TIMED])
            middle = time.process_time()
            encoder.encode_texts(part.titles[:TIMED])
            for place, spent in enumerate((middle - begin, time.process_time() - middle)):
                best[name][place] = min(best[name][place], 1000 * spent / TIMED)
    for name, (picture, text) in best.items():
        print(
            f"{name}: {picture:.1f} ms a picture ({best['starter'][0] / picture:.2f}x), "
            f"{text:.2f} ms a title ({best['starter'][1] / text:.2f}x)",
            flush=True,
        )


if __name__ == "__main__":
    main()
