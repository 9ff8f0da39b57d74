"""Rows with a column for each type of event, such as `click`, `like` and `follow`, or with watch times, and no types.

Short-video logs have this form: KuaiSAR (Sun et al., "KuaiSAR: A unified search and recommendation dataset", CIKM 2023)
and KuaiRand have flags, KuaiRec has watch times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from firstsight.indexer.columns.column_names import plain_name
from firstsight.indexer.formats.source import Row
from firstsight.recommend.events.event_times import number_of
from firstsight.recommend.events.event_types import TYPE_WEIGHTS
from firstsight.records import Record

IMPRESSION = "impression"
DISLIKE = "dislike"
WATCH = "watch"

MIN_WATCHED = 0.5
"""Share of a video that must be watched to count as `watch`; less is an impression."""

CLEAR_SHARES = (0.02, 20.0)
"""Range of the median of watch time / duration. Outside of it, the two columns have different units."""

_FLAGS: Mapping[str, str] = {
    "click": "click",
    "clicked": "click",
    "view": "view",
    "viewed": "view",
    "long_view": WATCH,
    "like": "like",
    "liked": "like",
    "favorite": "like",
    "favourite": "like",
    "collect": "like",
    "forward": "share",
    "share": "share",
    "shared": "share",
    "follow": "follow",
    "followed": "follow",
    "comment": "comment",
    "cart": "cart",
    "add_to_cart": "cart",
    "buy": "purchase",
    "bought": "purchase",
    "purchase": "purchase",
    "purchased": "purchase",
    "gift": "gift",
    "hate": DISLIKE,
    "dislike": DISLIKE,
}
_WATCHED = (
    "play_time_ms",
    "playing_time",
    "play_time",
    "play_duration",
    "watch_time",
    "watch_time_ms",
    "watch_duration",
)
_DURATIONS = ("duration_ms", "video_duration", "video_duration_ms", "duration", "item_duration", "video_length")
_SHARES = ("watch_ratio", "play_ratio", "watched_share")


@dataclass(frozen=True)
class WideColumns(Record):
    """The columns that tell the type of a row's event.

    Attributes:
        flags: type of event by column; a value above 0 sets it.
        watched: a column with the watched share, or those of watch time and duration; empty if flags tell the type.
    """

    flags: Mapping[str, str] = field(default_factory=dict)
    watched: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.flags, *self.watched)

    def event(self, row: Row) -> tuple[str | None, float | None]:
        """The type of a row's event, None if its cells are empty, and its weight, None for the weight of the log.

        The strongest flag counts; no flag is an impression.
        """
        if self.watched:
            share = self._share(row)
            if share is None:
                return None, None
            return (WATCH, min(share, 1.0)) if share >= MIN_WATCHED else (IMPRESSION, None)
        values = {kind: value for name, kind in self.flags.items() if (value := _flag(row.get(name))) is not None}
        if not values:
            return None, None
        on = {kind for name, kind in self.flags.items() if (_flag(row.get(name)) or 0) > 0}
        if DISLIKE in on:
            return DISLIKE, None
        return max(on, key=lambda kind: TYPE_WEIGHTS[kind], default=IMPRESSION), None

    def note(self) -> str:
        """One sentence about the choice."""
        if self.watched:
            names = " / ".join(map(repr, self.watched))
            return f"a row with {names} of at least {MIN_WATCHED:g} is a watch, another one an impression"
        return f"the event of a row is the strongest of {', '.join(self.flags)}; a row with none is an impression"

    def _share(self, row: Row) -> float | None:
        numbers = [number_of(row.get(name)) for name in self.watched]
        if numbers[0] is None or numbers[-1] is None or numbers[0] < 0 or numbers[-1] <= 0:
            return 0.0 if numbers[0] == 0 else None
        return numbers[0] if len(numbers) == 1 else numbers[0] / numbers[-1]


def find_wide_columns(names: Iterable[str], values: Callable[[str], Sequence[object]]) -> WideColumns | None:
    """Find flags, or else watch times, among the columns of a log without types.

    Args:
        names: of the columns that no other role takes.
        values: gives the first values of a column.
    """
    plain = {name: plain_name(name) for name in names}
    flags = {
        name: kind for name, text in plain.items() if (kind := _FLAGS.get(_bare(text))) and _are_flags(values(name))
    }
    if flags:
        return WideColumns(flags)
    share = next((name for wanted in _SHARES for name, text in plain.items() if text == wanted), None)
    if share is not None:
        return _if_clear(WideColumns(watched=(share,)), values)
    watched = next((name for wanted in _WATCHED for name, text in plain.items() if text == wanted), None)
    duration = next((name for wanted in _DURATIONS for name, text in plain.items() if text == wanted), None)
    if watched is None or duration is None:
        return None
    return _if_clear(WideColumns(watched=(watched, duration)), values)


def _if_clear(found: WideColumns, values: Callable[[str], Sequence[object]]) -> WideColumns | None:
    columns = [[number_of(value) or 0.0 for value in values(name)] for name in found.watched]
    medians = [float(np.median(column)) if column else 0.0 for column in columns]
    share = medians[0] / (medians[-1] if len(medians) == 2 and medians[-1] > 0 else 1.0)
    return found if CLEAR_SHARES[0] <= share <= CLEAR_SHARES[1] else None


def _bare(name: str) -> str:
    """A name without `is_`, `_cnt` and the like."""
    text = name.removeprefix("is_").removeprefix("has_")
    for end in ("_cnt", "_count", "_flag", "_num"):
        text = text.removesuffix(end)
    return text


def _are_flags(values: Sequence[object]) -> bool:
    numbers = [_flag(value) for value in values]
    return bool(numbers) and all(number is not None and number >= 0 and number == int(number) for number in numbers)


def _flag(value: object) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return float(value.strip().lower() == "true")
    return number_of(value)
