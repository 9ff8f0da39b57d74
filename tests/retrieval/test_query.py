"""The query object: its checks, and its conversion to and from JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight import Query
from firstsight.errors import QueryError


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"txt": "shoes"}, "a query has no 'txt'; did you mean text"),
        ({"text": "shoes", "imgs": []}, "a query has no 'imgs'; did you mean images"),
        ({"text": "shoes", "qqq": 1}, "a query has no 'qqq'; the keys are text, text_weight"),
        ([], "a query is an object"),
        ({}, "there is nothing to search by"),
        ({"text": "  "}, "the query is empty"),
        ({"text": 3}, "text must be a string, not 3"),
        ({"text": "a", "k": 0}, "k must be between 1 and 10000, not 0"),
        ({"text": "a", "k": True}, "k must be between 1 and 10000, not True"),
        ({"text": "a", "k": "5"}, "k must be between 1 and 10000, not '5'"),
        ({"text": "a", "offset": -1}, "offset must be between 0 and 9999, not -1"),
        ({"text": "a", "offset": 9_999, "k": 2}, "is over 10000"),
        ({"text": "a", "mode": "magic"}, "mode must be one of vector, words, hybrid, not 'magic'"),
        (
            {"text": "a", "part": "sound"},
            "part must be one of item, title, image, frame, transcript, any, best, moment, clip, not 'sound'",
        ),
        ({"text": "a", "rerank": "no"}, "rerank must be true or false, not 'no'"),
        ({"text": "a", "kinds": ["film"]}, "kind 'film' is not one of product, video, live"),
        ({"text": "a", "kinds": "product"}, "kinds must be a list, not 'product'"),
        ({"text": "a", "images": [3]}, "images holds 3; give paths or addresses"),
        ({"text": "a", "images": ["a.jpg"], "image_weights": [1, 2]}, "there are 2 image weights for 1 images"),
        ({"text": "a", "text_weight": -1}, "a weight must be 0 or more, not -1"),
        ({"text": "a", "text_weight": 0}, "every weight of the query is 0"),
        ({"text": "a", "text_weight": float("nan")}, "a weight must be 0 or more, not nan"),
        ({"text": "a", "minus": [""]}, "a minus text is empty"),
        ({"text": "a", "minus_weight": 2}, "minus_weight must be between 0 and 1, not 2"),
        ({"text": "a", "diversity": 1.1}, "diversity must be between 0 and 1, not 1.1"),
        ({"text": "a", "min_relevance": 2}, "min_relevance must be between 0 and 1, not 2"),
        ({"text": "a", "min_score": "high"}, "min_score must be between -1 and 1, not 'high'"),
        ({"items": ["x"], "mode": "hybrid"}, "mode hybrid needs a text"),
        ({"text": "a", "items": ["x"], "mode": "words"}, "mode words takes a text alone"),
        ({"text": "a", "minus": ["b"], "mode": "words"}, "mode words takes a text alone"),
        ({"text": "a", "part": "image", "mode": "hybrid"}, "with part image use mode vector"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_that_names_it(plain: Any, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        Query.from_dict(plain)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        (Query("shoes"), "hybrid"),
        (Query("shoes", images=["a.jpg"]), "vector"),
        (Query(images=["a.jpg"]), "vector"),
        (Query("shoes", part="image"), "vector"),
        (Query("shoes", minus=["red"]), "hybrid"),
        (Query("shoes", items=["x"], mode="hybrid"), "hybrid"),
    ],
)
def test_hybrid_is_for_a_text_alone_unless_asked_for(query: Query, mode: str) -> None:
    assert query.resolved_mode == mode


@pytest.mark.parametrize(
    ("query", "part"),
    [
        (Query("shoes"), "item"),
        (Query(items=["x"]), "item"),
        (Query(images=["a.jpg"]), "best"),
        (Query(videos=["a.mp4"], images=["a.jpg"], minus=["red"]), "best"),
        (Query("shoes", images=["a.jpg"]), "item"),
        (Query(images=["a.jpg"], items=["x"]), "item"),
        (Query("shoes", text_weight=0, images=["a.jpg"]), "best"),
        (Query("shoes", text_weight=0, images=["a.jpg"], mode="hybrid"), "item"),
        (Query("shoes", images=["a.jpg"], image_weights=[0]), "item"),
        (Query(images=["a.jpg"], part="item"), "item"),
        (Query("shoes", part="best"), "best"),
    ],
)
def test_pictures_alone_are_compared_with_pictures_too(query: Query, part: str) -> None:
    assert query.resolved_part == part
    assert query.resolved_mode == ("hybrid" if query.mode == "hybrid" or query == Query("shoes") else "vector")


TEXTS = st.text(min_size=1).filter(lambda text: text.strip())
SHARES = st.floats(0, 1)


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {"text": TEXTS},
        optional={
            "images": st.lists(TEXTS, max_size=3),
            "items": st.lists(TEXTS, max_size=3),
            "minus": st.lists(TEXTS, max_size=3),
            "text_weight": st.floats(0.1, 10),
            "k": st.integers(1, 100),
            "offset": st.integers(0, 100),
            "diversity": SHARES,
            "min_relevance": SHARES | st.none(),
            "collapse": TEXTS | st.none(),
            "part": st.sampled_from(["item", None]),
        },
    )
)
def test_a_query_goes_to_json_and_back(plain: dict[str, Any]) -> None:
    query = Query.from_dict(plain)
    assert Query.from_dict(json.loads(json.dumps(query.to_dict()))) == query


def test_a_picture_in_memory_has_no_plain_form() -> None:
    with pytest.raises(QueryError, match="a picture given as bytes has no plain form"):
        Query(images=[b"..."]).to_dict()


def test_a_query_says_what_it_asks_in_a_few_words() -> None:
    query = Query("summer dress", images=["pictures/a.jpg"], minus=["floral"], minus_images=[b".."])
    assert query.summary == "summer dress + more like a.jpg, without floral, a picture"
