"""What a search gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from firstsight.retrieval.moments import Moment
from firstsight.storage.tables import Part


@dataclass(frozen=True)
class ViewMatch:
    """The view of an item that is nearest to the query."""

    part: Part
    uri: str | None  # of the picture or video, as a path or address that can be opened; None for a title
    time_s: float | None  # second of a video's frame
    score: float  # cosine of this view to the query, -1 to 1
    view_id: str | None = None  # of the stored view


@dataclass(frozen=True)
class SearchResult:
    """One item, with why it was found."""

    item_id: str
    kind: str
    title: str | None
    score: float  # cosine of what was compared to the query, -1 to 1; 0 for an item without a vector
    relevance: float  # 0 to 1: what that means in this database; 1 where the item has every word of a text
    view: ViewMatch | None  # the nearest of its views, of those compared
    picture: ViewMatch | None  # the nearest of its pictures and frames: what to show
    columns: Mapping[str, Any]  # text, times, and the catalogue's own columns
    others: int | None = None  # with collapse: items of the same group that pass the filter, beside this one
    rank_score: float | None = None  # what a reranker gave it, only comparable within one query; None where none did
    moments: tuple[Moment, ...] | None = None  # with moments: the stretches of its videos that match, best first
    duplicates: tuple[str, ...] | None = None  # with collapse="duplicates": their ids, of the results read

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values that JSON can hold; the catalogue's columns under `columns`."""
        head = {"item_id": self.item_id, "kind": self.kind, "title": self.title}
        scores = {"score": round(self.score, 4), "relevance": round(self.relevance, 4)}
        rank = {} if self.rank_score is None else {"rank_score": round(self.rank_score, 4)}
        group: dict[str, Any] = {} if self.others is None else {"others": self.others}
        group |= {} if self.moments is None else {"moments": [_moment(moment) for moment in self.moments]}
        group |= {} if self.duplicates is None else {"duplicates": list(self.duplicates)}
        views = {"view": _view(self.view), "picture": _view(self.picture)}
        columns = {"columns": {name: _plain(value) for name, value in self.columns.items()}}
        return head | scores | rank | group | views | columns


class SearchResults(list[SearchResult]):
    """The results of one query, best first.

    Attributes:
        snapshot: names the rows that were searched; given with the next offset, the next page is cut from the same
            ranking, whatever has been written since.
        reranker: the version of the reranker that ordered them; None where the search's own order stands.
        withheld: items of this page of an earlier snapshot that were removed or blocked since.
    """

    def __init__(
        self, results: Iterable[SearchResult], snapshot: str, reranker: int | None = None, withheld: int = 0
    ) -> None:
        super().__init__(results)
        self.withheld = withheld
        self.snapshot = snapshot
        self.reranker = reranker


def _view(view: ViewMatch | None) -> dict[str, Any] | None:
    return None if view is None else asdict(view) | {"score": round(view.score, 4)}


def _moment(moment: Moment) -> dict[str, Any]:
    seconds = {"start_s": round(moment.start_s, 3), "end_s": round(moment.end_s, 3)}
    return {"uri": moment.uri, **seconds, "score": round(moment.score, 4), "view_id": moment.view_id}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def locate(uri: str, catalog_dir: str) -> str:
    """A view's address as something that can be opened: relative paths start at the catalogue's folder."""
    return uri if "://" in uri else str(Path(catalog_dir) / uri)
