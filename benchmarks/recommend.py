"""Recommenders by every protocol, on real logs:

    python -m benchmarks.recommend --work FOLDER [--industrial DIR] [--luma DIR]

What `firstsight evaluate recommend` and `evaluate links` print, on MovieLens-100K, Amazon Industrial (texts alone,
starter) and the links of Luma Men's Gear (pictures and texts, starter).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import firstsight
from benchmarks.interaction_logs import EventLog, amazon_industrial, movielens
from firstsight.indexer.catalog import CatalogOptions
from firstsight.recommend.evaluation.item_links import read_links
from firstsight.recommend.evaluation.link_evaluation import evaluate_links
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
    for one in report.models:
        behind = one.against_best
        gap = "" if behind is None else f"{behind.mean:.3f} ({behind.low:.3f} to {behind.high:.3f})"
        cells = [
            one.model,
            *("" if one.mean(name) != one.mean(name) else f"{one.mean(name):.3f}" for name in ("recall", "ndcg")),
            *(
                "" if one.mean(f"recall_{part}") != one.mean(f"recall_{part}") else f"{one.mean(f'recall_{part}'):.3f}"
                for part in ("cold", "warm")
            ),
            f"{one.coverage:.2f}",
            f"{one.mean('novelty'):.1f}",
            f"{one.mean('popularity_share'):.2f}",
            f"{one.seconds:.1f}",
        ]
        cells.insert(2, gap)
        print(f"| {' | '.join(cells)} |", flush=True)


def recommend(log: EventLog, work: Path, protocols: Sequence[str], models: Sequence[str], seeds: int) -> None:
    """Evaluate on one log, and leave the page beside its database."""
    store = log.store(work)
    space = ItemSpace.load(store)
    interactions = log.interactions(space)
    print(f"\n## {log.name}: {len(space):,} items, {len(interactions.user_ids):,} users, {len(interactions):,} events")
    reports = []
    for protocol in protocols:
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
    """Measure the links of Luma: related, upsell and cross-sell, between products in all their colours."""
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
        recall = {one.model: f"{one.recall:.3f}" for one in report.models}
        ways = " | ".join(recall[name] for name in ("nearest", "most linked", "random order"))
        print(f"| {report.kind} | {report.queries} | {ways} |")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="keeps the wheel, the databases and the pages")
    parser.add_argument("--industrial", type=Path, help="folder of Amazon Industrial")
    parser.add_argument("--luma", type=Path, help="folder of Luma Men's Gear")
    parser.add_argument("--movielens", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS)
    parser.add_argument("--model", action="append", choices=MODEL_NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    logs = [movielens(asked.work)] if asked.movielens else []
    logs += [amazon_industrial(asked.industrial)] if asked.industrial else []
    for log in logs:
        recommend(log, asked.work, asked.protocol or PROTOCOLS, asked.model or (), asked.seeds)
    if asked.luma:
        links(asked.luma, asked.work)


if __name__ == "__main__":
    main()
