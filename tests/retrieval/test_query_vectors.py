"""Vectors in a query: their checks, their plain form, and the defaults of a query that has them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from firstsight import Query
from firstsight.errors import QueryError


@pytest.mark.parametrize(
    "vector",
    [
        [3, 4],
        (3.0, 4.0),
        np.array([3, 4]),
        np.array([3, 4], dtype=np.float16),
        np.array([0.3, 0.4], dtype=np.float32) * 1e-30,
        [3e300, 4e300],
        [3e-300, 4e-300],
        torch.tensor([3.0, 4.0]),
    ],
)
def test_a_vector_is_stored_as_floats_of_unit_length(vector: Any) -> None:
    ((first, second),) = Query(vectors=[vector]).vectors
    assert isinstance(first, float)
    assert (first, second) == pytest.approx((0.6, 0.8), abs=1e-3)
    assert first**2 + second**2 == pytest.approx(1, abs=1e-12)


@given(
    arrays.arrays(np.float64, (3,), elements=st.floats(allow_nan=False, allow_infinity=False)).filter(
        lambda vector: bool(vector.any())
    )
)
def test_every_vector_has_a_unit_length_and_goes_to_json_and_back(vector: np.ndarray[Any, Any]) -> None:
    query = Query("shoes", vectors=[vector, -vector], vector_weights=[1, 0.5])
    assert np.linalg.norm(np.array(query.vectors), axis=1) == pytest.approx([1, 1], abs=1e-12)
    again = Query.from_dict(json.loads(json.dumps(query.to_dict())))
    assert again == query
    assert hash(again) == hash(query)


def test_the_plain_form_has_lists_of_floats() -> None:
    plain = Query(vectors=[np.array([3, 4])], vector_weights=(2,)).to_dict()
    assert plain == {"vectors": [[pytest.approx(0.6), pytest.approx(0.8)]], "vector_weights": [2]}
    assert type(plain["vectors"][0]) is list


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([0.6, 0.8], "vectors must be a list of vectors, not [0.6, 0.8]; give [vector] for a single vector"),
        ([np.float32(0.6)], "vectors must be a list of vectors"),
        (np.ones(3), "vectors must be a list of vectors, not an array of shape (3,); give [vector]"),
        (np.ones((2, 3)), "not an array of shape (2, 3); give [vector] for a single vector, and list(matrix)"),
        ("0.6", "vectors must be a list of vectors, not '0.6'"),
        ([np.ones((2, 3))], "the vector must have one dimension, not 2 x 3; give one row, or each row as a vector"),
        ([[[1.0, 2.0]]], "the vector must have one dimension, not 1 x 2"),
        ([torch.tensor(1.0)], "the vector must have one dimension, not a single number"),
        ([[1.0, [2.0]]], "the vector cannot be converted to an array of numbers: "),
        ([torch.ones(2, requires_grad=True)], "the vector cannot be converted to an array of numbers: "),
        ([[]], "the vector is empty"),
        ([[0, 0.0]], "the vector consists of zeros"),
        ([[1.0], [2.0, float("nan")]], "vectors[1] has nan at place 1; give finite numbers"),
        ([[float("-inf")]], "the vector has -inf at place 0"),
        (["0.6"], "the vector must be an array or a list of numbers, not '0.6'"),
        ([{"a": 1}], "the vector must be an array or a list of numbers, not {'a': 1}"),
        ([["0.6", "0.8"]], "the vector must hold numbers, not '0.6'"),
        ([[None, 0.8]], "the vector must hold numbers, not None"),
        ([[True, False]], "the vector must hold numbers, not True"),
        ([[1j]], "the vector must hold numbers, not 1j"),
        ([[10**400]], "the vector must hold numbers, not 1000"),
    ],
)
def test_a_wrong_vector_is_refused_with_a_remedy(vectors: Any, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        Query(vectors=vectors)
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vector_weights": [1, 2]}, "there are 2 vector weights for 1 vectors"),
        ({"vector_weights": [0]}, "every weight of the query is 0"),
        ({"vector_weights": [-1]}, "a weight must be 0 or more, not -1"),
        ({"mode": "hybrid"}, "mode hybrid needs a text"),
        ({"mode": "words", "text": "shoes"}, "mode words takes a text alone"),
        ({"mode": "hybrid", "text": "shoes", "part": "best"}, "mode hybrid ranks whole items"),
    ],
)
def test_a_query_with_a_vector_is_checked_as_a_whole(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Query(vectors=[[1.0, 2.0]], **settings)


VECTOR = [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("query", "mode", "part"),
    [
        (Query(vectors=VECTOR), "vector", "best"),
        (Query(vectors=VECTOR, images=["a.jpg"]), "vector", "best"),
        (Query("shoes", vectors=VECTOR), "vector", "item"),
        (Query("shoes", text_weight=0, vectors=VECTOR), "vector", "best"),
        (Query("shoes", vectors=VECTOR, mode="hybrid"), "hybrid", "item"),
        (Query(vectors=VECTOR, items=["x"]), "vector", "item"),
        (Query(vectors=VECTOR, part="item"), "vector", "item"),
        (Query("shoes", vectors=VECTOR, vector_weights=[0]), "vector", "item"),
    ],
)
def test_vectors_alone_are_compared_with_items_and_pictures(query: Query, mode: str, part: str) -> None:
    assert (query.resolved_mode, query.resolved_part) == (mode, part)


def test_a_vector_may_be_of_any_medium() -> None:
    assert Query(vectors=VECTOR).medium == "mixed"
    assert Query(vectors=VECTOR, images=["a.jpg"]).medium == "mixed"
    assert Query(images=["a.jpg"], vectors=VECTOR, vector_weights=[0]).medium == "pictures"


def test_the_summary_says_that_there_is_a_vector() -> None:
    assert Query(vectors=VECTOR).summary == "a vector"
    assert Query("shoes", vectors=VECTOR, minus=["red"]).summary == "shoes + a vector, without red"
