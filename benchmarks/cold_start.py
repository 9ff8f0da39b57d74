"""Recall of items that nobody has clicked: a fifth of the items is cold, and all of them are ranked.

    python -m benchmarks.cold_start --data /tmp/recommend --industrial /path/to/amazon_industrial

MovieLens-100K is fetched from PyPI (recbole's wheel) into --data, where the databases are made once. For each seed the
blend is chosen and fitted without the events of cold items. Figures are means over users, then over seeds. Differences
are of each user's mean over the seeds, with the 95 % interval of the paired bootstrap. "Tuned" models compare content
under a map learned from the events that are left (`cold-start fit --tune`), with the same settings as without it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.interaction_logs import EventLog, amazon_industrial, movielens
from firstsight.encoders.base import Vectors
from firstsight.recommend.evaluation.measures import coverage, difference, ndcg, recall
from firstsight.recommend.evaluation.protocols import item_cold
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.blend import Blend, MaxSimilarity
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.blend_selection import choose_settings
from firstsight.recommend.models.content_map_fit import fit_content_map
from firstsight.recommend.models.text_vectors import load_content_vectors
from firstsight.recommend.recommender import Recommender

K = 20

CONTENT = "max similarity, vectors and words"
TUNED_CONTENT = "tuned max similarity, vectors and words"
TUNED_BLEND = "tuned blend"


class Random:
    """A random order: the figures of chance."""

    name = "random"

    def fit(self, train: Interactions) -> None:
        """Do nothing: there is nothing to learn."""

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) random numbers."""
        return np.random.default_rng(len(users)).random((len(users), len(candidates)), dtype=np.float32)


class MeanProfile:
    """Cosine of a candidate to the mean of the user's history."""

    name = "mean profile"

    def __init__(self, content: Vectors) -> None:
        self._content = content

    def fit(self, train: Interactions) -> None:
        """Do nothing: there is nothing to learn."""

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        """(users, candidates) inner products."""
        means = np.stack([self._content[user.items].mean(axis=0) for user in users])
        return np.asarray(means @ self._content[candidates].T, dtype=np.float32)


def measure(
    log: EventLog, folder: Path, seeds: int, on_progress: Callable[[str], None], *, first_seed: int = 0
) -> dict[str, object]:
    """Measure all models on one catalogue."""
    store = log.store(folder)
    space = ItemSpace.load(store)
    interactions, content = log.interactions(space), load_content_vectors(store, space)
    found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    gains: dict[str, list[float]] = defaultdict(list)
    covered: dict[str, list[float]] = defaultdict(list)
    chosen, fit_seconds = [], []
    for seed in range(first_seed, first_seed + seeds):
        split = item_cold(interactions, seed=seed)
        choice = choose_settings(split.train, content)
        chosen.append(vars(choice.settings))
        began = time.process_time()
        mapped = fit_content_map(split.train, content, seed=seed).apply(content)
        fit_seconds.append(time.process_time() - began)
        models: dict[str, Recommender] = {
            "random": Random(),
            "mean profile, vectors": MeanProfile(space.vectors),
            "max similarity, vectors": MaxSimilarity(space.vectors),
            CONTENT: MaxSimilarity(content),
            "kNN to ALS": Blend(content, BlendSettings(mapping="knn", weight=1.0)),
            "ridge to ALS": Blend(content, BlendSettings(mapping="ridge", weight=1.0)),
            "blend's collaborative parent": Blend(content, replace(choice.settings, weight=1.0)),
            "blend of equal weights": Blend(content, replace(choice.settings, weight=0.5)),
            "blend": Blend(content, choice.settings),
            TUNED_CONTENT: MaxSimilarity(mapped),
            TUNED_BLEND: Blend(mapped, choice.settings),
        }
        for name, model in models.items():
            model.fit(split.train)
            ranked = split.rank(model, K)
            whole = np.full(len(interactions.user_ids), np.nan)
            whole[split.users] = recall(ranked, split.targets)
            found[name].append(whole)
            gains[name].append(float(ndcg(ranked, split.targets).mean()))
            covered[name].append(coverage(ranked, split.candidates))
            on_progress(f"{log.name}, seed {seed}: {name} {np.nanmean(whole):.4f}")
    evaluated = ~np.isnan(np.stack(found["blend"])).all(axis=0)
    of_user = {name: np.nanmean(np.stack(values)[:, evaluated], axis=0) for name, values in found.items()}
    return {
        "catalogue": log.name,
        "items": len(space),
        "users": len(interactions.user_ids),
        "events": len(interactions),
        "seeds": seeds,
        "chosen": chosen,
        "CPU seconds to learn a map": round(float(np.mean(fit_seconds)), 1),
        "models": {
            name: {
                "recall@20": round(float(np.mean([np.nanmean(recalls) for recalls in values])), 4),
                "ndcg@20": round(float(np.mean(gains[name])), 4),
                "coverage": round(float(np.mean(covered[name])), 3),
            }
            for name, values in found.items()
        },
        "blend minus": {
            name: {key: round(value, 4) for key, value in vars(difference(of_user["blend"], values)).items()}
            for name, values in of_user.items()
            if name != "blend"
        },
        "gain by the map": {
            tuned: {key: round(value, 4) for key, value in vars(difference(of_user[tuned], of_user[plain])).items()}
            for tuned, plain in ((TUNED_CONTENT, CONTENT), (TUNED_BLEND, "blend"))
        },
    }


def main() -> None:
    """Measure the catalogues and print one JSON object for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder for the wheel and the databases")
    parser.add_argument("--industrial", type=Path, help="folder of Amazon Industrial; left out if not given")
    parser.add_argument("--only-industrial", action="store_true", help="leave MovieLens out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    logs = [] if arguments.only_industrial else [movielens(arguments.data)]
    logs += [amazon_industrial(arguments.industrial)] if arguments.industrial else []
    for log in logs:
        figures = measure(
            *(log, arguments.data, arguments.seeds),
            lambda line: print(f"# {line}", flush=True),
            first_seed=arguments.first_seed,
        )
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
