"""Figures of a bridge on held-out training groups, for the choice of settings. Test sets are not used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.training.bridge_training import CaptionVectors
from firstsight.encoders.training.view_features import ViewFeatures


def validate(bridge: Bridge, views: ViewFeatures, texts: CaptionVectors) -> dict[str, float]:
    """Measure recall and precision of a bridge on views outside its training set.

    Returns:
        For openclipart and emoji: R@1, 5 and 10 from a caption to the plain drawings (every drawing with that caption
        is right). For coloured drawings and garments: precision at 1 of "colour caption", in caption and colour. For
        plain drawings: precision at 5 from picture to picture, in the broader caption (a folder). `score` is the mean.
    """
    pictures = bridge.pictures(views.features, views.logits)
    rows = np.array([texts.captions[record["captions"][0]] for record in views.records])
    sentences = bridge.texts(texts.vectors[rows])
    figures: dict[str, float] = {}

    def chosen(source: str, *, coloured: bool) -> NDArray[np.intp]:
        flags = [
            record["source"] == source and (bool(record["colour"]) if coloured else record["plain"])
            for record in views.records
        ]
        return np.flatnonzero(flags)

    for source in ("openclipart", "emoji"):
        plain = chosen(source, coloured=False)
        order = np.argsort(-(sentences[plain] @ pictures[plain].T), axis=1)
        right = rows[plain][order] == rows[plain][:, None]
        for k in (1, 5, 10):
            figures[f"{source} R@{k}"] = float(right[:, :k].any(axis=1).mean())
    for source in ("openclipart", "fashion-mnist"):
        coloured = chosen(source, coloured=True)
        order = np.argsort(-(sentences[coloured] @ pictures[coloured].T), axis=1)
        right = rows[coloured][order] == rows[coloured][:, None]
        figures[f"{source} coloured R@1"] = float(right[:, 0].mean())
    plain = chosen("openclipart", coloured=False)
    folders = np.array([views.records[row]["captions"][-1] for row in plain])
    scores = pictures[plain] @ pictures[plain].T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1)[:, :5]
    figures["openclipart picture P@5"] = float((folders[nearest] == folders[:, None]).mean())
    figures["score"] = float(np.mean(list(figures.values())))
    return figures
