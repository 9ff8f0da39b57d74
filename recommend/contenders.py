"""The models that an evaluation compares, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from firstsight.errors import QueryError
from firstsight.recommend.baselines import EASE, MeanProfile, Popularity, RandomOrder
from firstsight.recommend.interactions import Recommender
from firstsight.recommend.items import ItemSpace


def _als() -> Recommender:
    from firstsight.recommend.collaborative import ALS

    return ALS()


def _max_similarity() -> Recommender:
    from firstsight.recommend.blend import Content

    return Content()


def _blend() -> Recommender:
    from firstsight.recommend.blend import Blend

    return Blend()


def contenders(space: ItemSpace, names: Sequence[str] = ()) -> Mapping[str, Callable[[], Recommender]]:
    """Models by name, each made anew at every call.

    Args:
        space: of the items that they rank.
        names: all by default.

    Raises:
        QueryError: an unknown name.
    """

    def interests() -> Recommender:
        from firstsight.recommend.ranking import InterestRecommender

        return InterestRecommender(space)

    known: dict[str, Callable[[], Recommender]] = {
        "random": RandomOrder,
        "popularity": Popularity,
        "mean profile": MeanProfile,
        "max similarity": _max_similarity,
        "ALS": _als,
        "EASE": EASE,
        "blend": _blend,
        "interests": interests,
    }
    for name in names:
        if name not in known:
            raise QueryError(f"there is no model {name!r} to evaluate; the models are {', '.join(known)}")
    return {name: make for name, make in known.items() if not names or name in names}
