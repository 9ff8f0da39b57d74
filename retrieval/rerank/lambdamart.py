"""LambdaMART with LightGBM. Only fitting or using a reranker imports this module, the only one that uses LightGBM.

LambdaMART: Burges, "From RankNet to LambdaRank to LambdaMART: An Overview", MSR-TR-2010-82. A model is stored in
LightGBM's text format: numbers, no code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import OptionalDependencyError, StoreError, first_line
from firstsight.extras import requires

try:
    with requires("rerank", "reranking"):
        import lightgbm
except OSError as error:  # its wheels for macOS do not contain OpenMP
    raise OptionalDependencyError(
        f"reranking cannot load the library of LightGBM ({first_line(error)}); on macOS run: brew install libomp"
    ) from error

DEPTH = 10
"""NDCG depth for training and evaluation."""

ROUNDS = 120

PARAMETERS = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": DEPTH + 5,  # slightly above the depth, as LightGBM's documentation advises
    "num_leaves": 7,  # small trees, because judgements are few
    "min_data_in_leaf": 10,
    "learning_rate": 0.05,
    "lambda_l2": 1.0,
    "seed": 0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # the tables are small; on two busy cores, two threads took three times as long
    "verbosity": -1,
}


def train(
    tables: Sequence[NDArray[np.float32]], grades: Sequence[NDArray[np.int32]], names: Sequence[str]
) -> lightgbm.Booster:
    """Train a model that orders candidates.

    Args:
        tables: for each query the features of its candidates, (n, len(names)); NaN for a missing value.
        grades: for each query the grades of its candidates, (n,), 0 or more. The gain equals the grade, as in the
            measured NDCG.
        names: of the features.
    """
    labels = np.concatenate(grades)
    data = lightgbm.Dataset(
        np.concatenate(tables), label=labels, group=[len(table) for table in tables], feature_name=_plain(names)
    )
    gains = list(range(int(labels.max()) + 1))
    return lightgbm.train(PARAMETERS | {"label_gain": gains}, data, num_boost_round=ROUNDS)


def load(text: str, names: Sequence[str]) -> lightgbm.Booster:
    """Load a model from its text.

    Raises:
        StoreError: the text is no model, or the model has other features.
    """
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise StoreError(f"its model cannot be read ({first_line(error)})") from None
    if booster.feature_name() != _plain(names):
        raise StoreError("it was fitted by another version of firstsight, with other features")
    return booster


def scores(booster: lightgbm.Booster, table: NDArray[np.float32]) -> list[float]:
    """Score each candidate; higher is better. Scores are comparable only within one query."""
    if not len(table):
        return []
    return [float(score) for score in np.asarray(booster.predict(table, num_threads=1))]


def _plain(names: Sequence[str]) -> list[str]:
    """Replace characters that LightGBM's text format does not allow; a catalogue column may have any name."""
    return [f"f{n}_{re.sub('[^A-Za-z0-9]', '_', name)}" for n, name in enumerate(names)]
