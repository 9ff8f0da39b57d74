"""Samples of the protocol `next`: training events, and histories with the item that came next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.order_times import has_order_only
from firstsight.recommend.recommender import NextItem

HISTORY = 50
"""Maximum number of events of a history in a sample from logged events."""

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.1
"""Shares of the next events, by their time: the last tenth is the test, the tenth before it the validation."""

MAX_SAMPLES = 20_000
"""Maximum number of samples for the test, and for the validation; of more, this many are drawn."""

_SEED = 0


@dataclass(frozen=True, eq=False)
class NextItemSplit:
    """Training events, and samples of next items.

    Attributes:
        train: events for `fit`.
        validation, test: samples.
        users: (test,) number of the user of each test sample.
        about: how the samples were made, in a sentence.
        left_out: number of samples, events or mentions of items that are not used, by reason.
        drawn_from: number of test samples before the draw of `MAX_SAMPLES`.
    """

    train: Interactions
    validation: tuple[NextItem, ...]
    test: tuple[NextItem, ...]
    users: NDArray[np.int64]
    about: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    drawn_from: int = 0


def split_by_time(interactions: Interactions, *, history: int = HISTORY) -> NextItemSplit:
    """Make a sample of each event of a user after the first, and split the samples by the moment of their targets.

    The first 80 % of the moments are for training, the next 10 % for the validation and the last 10 % for the test, as
    in the published splits of MiniOneRec (Kong et al. 2025). Histories have the events before the target, also those
    after the end of the training.

    Args:
        interactions: events with real times.
        history: maximum number of events of a history, the newest ones.

    Raises:
        QueryError: the events have no real times, `history` is below 1, or there are too few events.
    """
    _check_history(history)
    if has_order_only(interactions.times):
        raise QueryError(
            "the events have an order but no times (they were added with --order), so they cannot be split by time; "
            "use --order-only to hold out the last events of each user, or add the events with their times"
        )
    is_next = np.flatnonzero(_places_in_history(interactions) > 0)
    if not len(is_next):
        raise QueryError("no user has two events, so there is no next item; add more events")
    times = interactions.times
    ends = np.quantile(times[is_next], [1 - VALIDATION_SHARE - TEST_SHARE, 1 - TEST_SHARE], method="higher")
    validation_from, test_from = int(ends[0]), int(ends[1])
    train = interactions.where(times < validation_from, interactions.searches.times < validation_from)
    validation = is_next[(times[is_next] >= validation_from) & (times[is_next] < test_from)]
    test = is_next[times[is_next] >= test_from]
    if not len(train) or not len(validation):
        raise QueryError("too many events have the same time, so they cannot be split by time; use --order-only")
    about = f"split by time: training before {_date(validation_from)}, test from {_date(test_from)} on"
    return _make_split(interactions, train, validation, test, history=history, about=about)


def split_by_order(interactions: Interactions, *, history: int = HISTORY) -> NextItemSplit:
    """Hold out the last event of each user with two events or more, and the one before it for the validation.

    Training then has events that came after the test events of other users: figures are too high for a service, which
    knows the past only (Ji et al., "A critical study on data leakage in recommender system offline evaluation", TOIS
    2023). A user with two events has no validation sample.

    Args:
        interactions: events; times only order them.
        history: maximum number of events of a history, the newest ones.

    Raises:
        QueryError: `history` is below 1, or there are too few events.
    """
    _check_history(history)
    places = _places_in_history(interactions)
    sizes = np.bincount(interactions.users, minlength=len(interactions.user_ids))[interactions.users]
    is_test = (places == sizes - 1) & (sizes >= 2)
    is_validation = (places == sizes - 2) & (sizes >= 3)
    if not is_validation.any():
        raise QueryError("no user has three events: training, validation and test need one each; add more events")
    no_searches = np.zeros(len(interactions.searches), dtype=bool)  # their times cannot be compared with an order
    train = interactions.where(~is_test & ~is_validation, no_searches)
    about = "split by the order of each user's events: the last one is the test, the one before it the validation"
    validation, test = np.flatnonzero(is_validation), np.flatnonzero(is_test)
    return _make_split(interactions, train, validation, test, history=history, about=about)


def draw_samples(count: int) -> NDArray[np.int64]:
    """Choose at most `MAX_SAMPLES` of a number of samples: their places, ascending."""
    if count <= MAX_SAMPLES:
        return np.arange(count)
    return np.sort(np.random.default_rng(_SEED).permutation(count)[:MAX_SAMPLES])


def _make_split(
    interactions: Interactions,
    train: Interactions,
    validation: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    history: int,
    about: str,
) -> NextItemSplit:
    chosen = test[draw_samples(len(test))]
    return NextItemSplit(
        train=train,
        validation=tuple(_samples(interactions, validation[draw_samples(len(validation))], history)),
        test=tuple(_samples(interactions, chosen, history)),
        users=interactions.users[chosen],
        about=about,
        drawn_from=len(test),
    )


def _samples(interactions: Interactions, events: NDArray[np.int64], length: int) -> list[NextItem]:
    """Samples of events, given as indices; the events of a user follow each other."""
    starts = np.searchsorted(interactions.users, interactions.users[events])
    made: list[NextItem] = []
    whole: History | None = None
    last_start = -1
    for event, start in zip(events.tolist(), starts.tolist(), strict=True):
        if whole is None or start != last_start:
            whole, last_start = interactions.history(int(interactions.users[event])), start
        made.append(NextItem(whole.first(event - start).last(length), int(interactions.items[event])))
    return made


def _places_in_history(interactions: Interactions) -> NDArray[np.int64]:
    """(events,) number of earlier events of the same user."""
    starts = np.searchsorted(interactions.users, interactions.users)
    return np.asarray(np.arange(len(interactions)) - starts)


def _check_history(history: int) -> None:
    if history < 1:
        raise QueryError(f"a history of {history} events is out of range; give 1 or more")


def _date(time_us: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us):%Y-%m-%d %H:%M}"


def cut_histories(samples: Sequence[NextItem], length: int) -> tuple[NextItem, ...]:
    """Keep the newest events of each history only."""
    _check_history(length)
    return tuple(NextItem(sample.history.last(length), sample.item) for sample in samples)
