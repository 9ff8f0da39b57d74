"""The TypedDicts of keyword arguments have the fields of their dataclasses, and unknown names are refused."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from firstsight.api.encoders.distillation import DistilOptions
from firstsight.api.encoders.tuning import TuneOptions
from firstsight.duplicates.item_pairs import DuplicateOptions, DuplicateSettings
from firstsight.keywords import check_keywords
from firstsight.recommend.slates.rules.slate_settings import SlateOptions, SlateSettings
from firstsight.retrieval.query import Query
from firstsight.retrieval.query_settings import QuerySettings
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.tune_settings import TuneSettings


class StandIn:
    """A type in place of those that the modules import for type checking only."""


@pytest.mark.parametrize(
    ("options", "settings", "left_out"),
    [
        (QuerySettings, Query, {"text"}),
        (SlateOptions, SlateSettings, set()),
        (DuplicateOptions, DuplicateSettings, set()),
        (TuneOptions, TuneSettings, set()),
        (DistilOptions, DistilSettings, set()),
    ],
)
def test_the_keys_have_the_names_and_types_of_the_fields(options: type, settings: type, left_out: set[str]) -> None:
    names = {"ImageInput": StandIn}
    fields = get_type_hints(settings, localns=names)
    assert get_type_hints(options, localns=names) == {
        name: hint for name, hint in fields.items() if name not in left_out
    }
    assert left_out <= fields.keys()
    assert options.__required_keys__ == frozenset()  # type: ignore[attr-defined]


def test_known_names_pass() -> None:
    check_keywords("search", {"where": "price < 50", "k": 3}, QuerySettings)
    check_keywords("search", {}, QuerySettings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 3, "wehre": "a"}, "search() got an unexpected keyword argument 'wehre'; did you mean 'where'?"),
        ({"xyz": 1}, "search() got an unexpected keyword argument 'xyz'"),
    ],
)
def test_an_unknown_name_is_refused_with_a_similar_one(given: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError) as refused:
        check_keywords("search", given, QuerySettings)
    assert str(refused.value) == message
