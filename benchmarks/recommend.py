"""Evaluation of recommenders by every protocol, on real logs:

    python -m benchmarks.recommend --work FOLDER [--industrial DIR] [--luma DIR]

Prints the figures of `firstsight evaluate recommend` and `evaluate links` on MovieLens-100K and Amazon Industrial
(texts only, starter) and on the links of Luma Men's Gear (pictures and texts, starter). Amazon Industrial has an order
and no times: the protocol time is left out, and next runs on the published samples, with repeats and without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import firstsight
from benchmarks.interaction_logs import EventLog, amazon_industrial, movielens
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.recommend.evaluation.item_links import read_links
from firstsight.recommend.evaluation.link_evaluation import evaluate_links
from firstsight.recommend.evaluation.next_item_evaluation import (
    NEXT_ITEM,
    REPEATS,
    NextItemReport,
    evaluate_next_items,
)
from firstsight.recommend.evaluation.next_item_file import read_next_item_file
from firstsight.recommend.evaluation.next_item_split import split_by_time
from firstsight.recommend.evaluation.recommender_evaluation import PROTOCOLS, ProtocolReport, evaluate_recommenders
from firstsight.recommend.evaluation.recommender_page import write_recommender_page
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.model_factories import MODEL_NAMES, select_model_factories
from firstsight.storage.store import Store


def table(report: ProtocolReport) -> None:
    """Print one protocol as Markdown."""
    print(f"\n{report.name}: {report.users:,} users, {report.candidates:,} candidates, {report.cold:,} of them cold\n")
    print("| model | recall@20 | behind the best | NDCG@20 | cold | warm | coverage | novelty | popular fifth | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model in report.models:
        behind = model.against_best
        gap = "" if behind is None else f"{behind.mean:.3f} ({behind.low:.3f} to {behind.high:.3f})"
        means = [model.mean(name) for name in ("recall", "ndcg", "recall_cold", "recall_warm")]
        cells = [
            model.model,
            *("" if mean != mean else f"{mean:.3f}" for mean in means),
            f"{model.coverage:.2f}",
            f"{model.mean('novelty'):.1f}",
            f"{model.mean('popularity_share'):.2f}",
            f"{model.seconds:.1f}",
        ]
        cells.insert(2, gap)
        print(f"| {' | '.join(cells)} |", flush=True)


def next_table(report: NextItemReport) -> None:
    """Print the protocol next as Markdown."""
    print(
        f"\n{report.name}: {report.n:,} samples of {report.users:,} users, {report.n_cold:,} with a cold target; "
        f"{report.validation:,} validation samples, {report.train_events:,} training events, "
        f"{report.candidates:,} candidates, {report.cold:,} of them cold; {dict(report.left_out)}\n"
    )
    names = ["hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "warm_hr@10", "cold_hr@10"]
    shown = ["HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20", "warm HR@10", "cold HR@10"]
    print(f"| model | {' | '.join(shown)} | HR@10 behind the best | new items | s |\n|{'---|' * 12}")
    for model in report.models:
        behind = model.behind_best.get("hr@10")
        gap = "" if behind is None else f"{behind.mean:.3f} ({behind.low:.3f} to {behind.high:.3f})"
        values = ["" if model.figures[name] != model.figures[name] else f"{model.figures[name]:.3f}" for name in names]
        new = model.exposure[0].groups[0]
        cells = [model.model, *values, gap, f"{new.share:.3f} ±{(new.high - new.low) / 2:.3f}", f"{model.seconds:.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def next_items(log: EventLog, store: Store, space: ItemSpace, models: Sequence[str]) -> list[NextItemReport]:
    """Evaluate next items: published samples if the log has them, else its events split by time."""
    if log.samples is None:
        split = split_by_time(log.interactions(space))
    else:
        split = read_next_item_file(str(log.samples), store, space)
    reports = []
    for repeats in REPEATS:
        report = evaluate_next_items(
            split,
            select_model_factories(store, space, models),
            repeats=repeats,
            on_progress=lambda line: print(line, file=sys.stderr),
        )
        next_table(report)
        reports.append(report)
    return reports


def recommend(log: EventLog, work: Path, protocols: Sequence[str], models: Sequence[str], seeds: int) -> None:
    """Evaluate on one log, and write the page next to its database."""
    store = log.store(work)
    space = ItemSpace.load(store)
    interactions = log.interactions(space)
    print(f"\n## {log.name}: {len(space):,} items, {len(interactions.user_ids):,} users, {len(interactions):,} events")
    reports: list[ProtocolReport | NextItemReport] = []
    for protocol in protocols:
        if protocol == NEXT_ITEM:
            reports += next_items(log, store, space, models)
            continue
        if protocol == "time" and not log.has_times:
            continue
        for report in evaluate_recommenders(
            interactions,
            select_model_factories(store, space, models),
            protocols=[protocol],
            seeds=seeds,
            on_progress=lambda line: print(line, file=sys.stderr),
        ):
            table(report)
            reports.append(report)
    write_recommender_page(work / f"{log.name}.html", reports, log.name)


def links(folder: Path, work: Path) -> None:
    """Measure the links of Luma between products in all colours: related, upsell and cross-sell."""
    mapping = {"images": ["image", "more_images"], "text": ["description"]}
    firstsight.open(work / "luma").index(
        folder / "catalog.csv", options=CatalogOptions(mapping=mapping, list_separator=" ")
    )
    store = Store.open(work / "luma")
    space = ItemSpace.load(store)
    read = read_links(str(folder / "links.csv"), store, space, column="parent")
    print(f"\n## luma_men_gear: {read.rows} links, {len(read.groups)} products of {len(space)} items")
    print("\n| links | queries | nearest | most linked | random order |\n|---|---|---|---|---|")
    for report in evaluate_links(space, read, k=10):
        recall = {model.model: f"{model.recall:.3f}" for model in report.models}
        recalls = " | ".join(recall[name] for name in ("nearest", "most linked", "random order"))
        print(f"| {report.kind} | {report.queries} | {recalls} |")


def main() -> None:
    """Measure the logs and links of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheel, the databases and the pages")
    parser.add_argument("--industrial", type=Path, help="folder of Amazon Industrial")
    parser.add_argument("--luma", type=Path, help="folder of Luma Men's Gear")
    parser.add_argument("--movielens", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--protocol", action="append", choices=(*PROTOCOLS, NEXT_ITEM))
    parser.add_argument("--model", action="append", choices=MODEL_NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    logs = [movielens(arguments.work)] if arguments.movielens else []
    logs += [amazon_industrial(arguments.industrial)] if arguments.industrial else []
    for log in logs:
        recommend(
            log, arguments.work, arguments.protocol or (*PROTOCOLS, NEXT_ITEM), arguments.model or (), arguments.seeds
        )
    if arguments.luma:
        links(arguments.luma, arguments.work)


if __name__ == "__main__":
    main()
