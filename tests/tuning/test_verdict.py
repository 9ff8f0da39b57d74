"""Figures with intervals, and when they refuse a tuned encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.encoders.base import Vectors
from firstsight.tuning.evaluation.figures import TuneFigure, compare
from firstsight.tuning.evaluation.general_pictures import GeneralPictures
from firstsight.tuning.evaluation.retrieval_measures import HeldOutMeasures, QueryResult
from firstsight.tuning.evaluation.verdict import decisive_figure, reasons_against, too_few_products
from firstsight.tuning.tuning_data import ClickedQuery, TuningData, TuningItem

GAIN = TuneFigure("title -> picture P@10", "", 0.2, 0.4, 0.2, 0.1, 0.3, 40, 40, "product")


def results(values: list[float], clusters: list[str] | None = None) -> list[QueryResult]:
    names = clusters or [str(place) for place in range(len(values))]
    return [QueryResult("q", name, value, 0, (), ()) for name, value in zip(names, values, strict=True)]


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_equal_results_have_no_gain_and_no_interval(values: list[float]) -> None:
    figure = compare("m", "", "product", results(values), results(values))
    assert (figure.gain, figure.low, figure.high) == (0, 0, 0)
    assert not figure.is_gain
    assert not figure.is_loss


def test_one_product_with_many_queries_shows_less_than_many_products() -> None:
    before, after = results([0.0] * 40), results([1.0] * 20 + [0.0] * 20)
    apart = compare("m", "", "product", before, after)
    names = ["first"] * 20 + [str(place) for place in range(20)]
    together = compare("m", "", "product", results([0.0] * 40, names), results([1.0] * 20 + [0.0] * 20, names))
    assert apart.gain == together.gain == 0.5
    assert apart.is_gain
    assert together.low == 0.0  # a sample without the first product has no gain
    assert together.clusters == 21


def test_a_gain_with_little_forgetting_is_accepted() -> None:
    assert reasons_against([GAIN], 0.66, 0.62, 0.05) == []


def test_forgetting_of_exactly_the_bound_is_accepted() -> None:
    assert reasons_against([GAIN], 0.70, 0.65, 0.05) == []


@pytest.mark.parametrize(
    ("figure", "after", "reason"),
    [
        (replace(GAIN, gain=0.01, low=0.0, high=0.02), 0.66, "does not show a gain"),
        (replace(GAIN, gain=-0.2, low=-0.3, high=-0.1), 0.66, "changes by -0.200"),
        (GAIN, 0.60, "falls from 0.660 to 0.600"),
    ],
)
def test_no_gain_or_forgetting_is_refused_with_the_figures(figure: TuneFigure, after: float, reason: str) -> None:
    (sentence,) = reasons_against([figure], 0.66, after, 0.05)
    assert reason in sentence


def test_the_category_decides_if_there_is_one_else_the_own_picture() -> None:
    own, other = replace(GAIN, measure="title -> own picture R@10"), replace(GAIN, measure="picture -> picture P@10")
    assert decisive_figure([other, own, GAIN]) == GAIN
    assert decisive_figure([other, own]) == own
    assert decisive_figure([other]) == other
    assert decisive_figure([]) is None
    assert "no gain can be shown" in reasons_against([], None, None, 0.05)[0]


def test_thirty_products_are_enough() -> None:
    assert too_few_products(30) == ""
    assert "1 held-out product cannot" in too_few_products(1)


# ---- measures, on vectors whose figures can be counted by hand


def shop(items: int) -> TuningData:
    """Items of two categories in turn, each with one picture; the first two are one product."""
    return TuningData(
        tuple(
            TuningItem(
                f"i{row}",
                "pair" if row < 2 else f"p{row}",
                {"title": f"t{row}", "category": "ab"[row % 2], "color": "r", "color category": f"r {'ab'[row % 2]}"},
                (row,),
            )
            for row in range(items)
        ),
        [],
        tuple(range(items)),
        (ClickedQuery("query", (0, 1)),),
    )


def test_measures_of_a_perfect_and_of_a_reversed_encoder() -> None:
    data = shop(24)
    pictures = np.eye(26, dtype=np.float32)[:24]
    for row in range(24):
        pictures[row, 24 + row % 2] = 0.5  # its category
    texts = {f"t{row}": pictures[row] for row in range(24)}
    texts |= {"r a": np.eye(26, dtype=np.float32)[24], "r b": np.eye(26, dtype=np.float32)[25]}
    texts["query"] = pictures[0] + pictures[1]

    def encode(sign: int) -> dict[str, list[QueryResult]]:
        def pictures_of(rows: object) -> Vectors:
            return np.asarray(sign * pictures[np.asarray(rows)], dtype=np.float32)

        def texts_of(asked: object) -> Vectors:
            return np.stack([texts[text] for text in asked])  # type: ignore[attr-defined]

        return HeldOutMeasures(data, "category", "color category").run(range(24), pictures_of, texts_of)

    right, wrong = encode(1), encode(-1)
    means = {name: np.mean([result.value for result in found]) for name, found in right.items()}
    assert means == {
        "title -> picture P@10": 1.0,
        "title -> own picture R@10": 1.0,
        "color+category -> picture P@10": 1.0,
        "color+category -> picture, both right P@10": 1.0,
        "query -> clicked item R@10": 1.0,
        "picture -> picture P@10": 1.0,
        "picture -> same product R@10": 0.0,  # the pair differs in its category
    }
    assert [len(found) for found in right.values()] == [24, 24, 2, 2, 1, 24, 2]
    assert [result.value for result in wrong["title -> own picture R@10"]] == [0.0] * 24
    assert [result.cluster for result in right["color+category -> picture P@10"]] == ["a", "b"]


def test_the_best_picture_of_an_equal_caption_is_right() -> None:
    general = GeneralPictures("g", ("Cup", "cup", "hat"), [])
    pictures = np.eye(3, dtype=np.float32)
    captions = np.eye(3, dtype=np.float32)[[1, 1, 0]]
    assert general.recall_at_1(captions, pictures) == pytest.approx(2 / 3)
