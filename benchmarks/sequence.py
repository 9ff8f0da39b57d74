"""Measure the sequence model on the published next-item samples of Amazon Industrial.

    python -m benchmarks.sequence --work /tmp/recommend --industrial /data/amazon_industrial

In one run: the model on content, on ids, on both, popularity, the blend, and the ranking of `recommend` without and
with the model on content as a term. Every choice is made on the validation samples. One thread, so that seconds
compare.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.interaction_logs import amazon_industrial
from firstsight.encoders.base import Vectors
from firstsight.recommend.evaluation.next_item_evaluation import evaluate_next_items
from firstsight.recommend.evaluation.next_item_file import read_next_item_file
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.model_factories import select_model_factories
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors, read_texts
from firstsight.recommend.ranking.fitted_ranking import FittedRanking
from firstsight.recommend.ranking.item_content import ItemContent, read_prices
from firstsight.recommend.recommender import Recommender
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.storage.store import Store

CONTENT, IDS, BOTH = "sequence on content", "sequence on ids", "sequence on both"
WITH_SEQUENCE = "recommend with sequence"


def factories(store: Store, space: ItemSpace, settings: SequenceSettings) -> Mapping[str, Callable[[], Recommender]]:
    """The compared models; the ranking with the sequence model reuses the model on content of the same run."""
    texts = read_texts(store, space)
    words = WordSpace.fit(texts).transform(texts)
    content = content_vectors(space, words)
    fitted: dict[str, SequenceRecommender] = {}

    def sequence(name: str, vectors: Vectors, *, ids: bool) -> SequenceRecommender:
        model = SequenceRecommender(
            space, vectors, replace(settings, ids=ids), on_progress=lambda line: print(name, line, file=sys.stderr)
        )
        fitted[name] = model
        return model

    def choose(train: Interactions) -> BlendSettings:
        blend = Blend(content)
        blend.fit(train)
        return blend.settings

    items = ItemContent(space, words, read_prices(store, space))
    nothing = np.zeros((len(space), 1), dtype=np.float32)
    known = select_model_factories(store, space, ["popularity", "blend", "recommend"])
    return {
        CONTENT: lambda: sequence(CONTENT, content, ids=False),
        "popularity": known["popularity"],
        "blend": known["blend"],
        WITH_SEQUENCE: lambda: FittedRanking(items, choose, fit_sequence=lambda train: fitted[CONTENT]),
        "recommend": known["recommend"],
        IDS: lambda: sequence(IDS, nothing, ids=True),
        BOTH: lambda: sequence(BOTH, content, ids=True),
    }


def main() -> None:
    """Measure the models of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the database")
    parser.add_argument("--industrial", type=Path, required=True, help="folder of Amazon Industrial")
    parser.add_argument("--model", action="append", help="only these models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    log = amazon_industrial(arguments.industrial)
    store = log.store(arguments.work)
    space = ItemSpace.load(store)
    split = read_next_item_file(str(log.samples), store, space)
    models = factories(store, space, SequenceSettings())
    chosen = {name: make for name, make in models.items() if not arguments.model or name in arguments.model}
    for name, make in chosen.items():  # one at a time: a table at the end would wait for the slowest
        report = evaluate_next_items(
            split, {name: make}, on_progress=lambda line: print(line, file=sys.stderr, flush=True)
        )
        model = report.models[0]
        low, high = model.intervals["hr@10"]
        hits = f"HR@10 {model.figures['hr@10']:.4f} ({low:.4f} to {high:.4f})"
        others = f"NDCG@10 {model.figures['ndcg@10']:.4f}, cold HR@10 {model.figures['cold_hr@10']:.4f}"
        print(f"{name}: {hits}, {others}, {model.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
