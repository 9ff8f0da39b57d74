"""The inputs of the stored views, opened again: titles, passages, pictures and frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from PIL.Image import Image

from firstsight.errors import MediaError
from firstsight.indexer.index_settings import DEFAULT_WEIGHTS, IndexSettings
from firstsight.indexer.media_loading.facts_while_decoding import FunctionKills, open_with_facts
from firstsight.indexer.media_loading.media_loader import MediaJob, MediaLoader
from firstsight.indexer.timed_text.passages import in_one_line
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.picture_facts import FoundFacts, PictureFact
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import media_location
from firstsight.storage.live_pictures import LIVE_PART, read_live_pictures
from firstsight.storage.sets.standby_rows import ItemGap
from firstsight.storage.store import Store
from firstsight.storage.tables import Part

Row = dict[str, Any]

_MAX_LOADERS: Final = 4


@dataclass(frozen=True)
class StoredItem:
    """An item in force, as it was read for a step, and the views to encode."""

    row: Row  # of `items`, without vectors
    views: tuple[Row, ...]  # rows of `views` without vectors


@dataclass(frozen=True)
class RunPermissions:
    """Permissions and weights of the run that wrote an item."""

    allow_private: bool = False
    allow_anywhere: bool = False
    weights: Mapping[Part, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)


def read_permissions(store: Store) -> dict[str, RunPermissions]:
    """Permissions and weights of each recorded run, by its id."""
    found = {}
    for run in store.run_rows():
        settings = run["settings"]
        found[run["run_id"]] = RunPermissions(
            bool(settings.get("allow_private", False)),
            bool(settings.get("allow_anywhere", False)),
            settings.get("settings", {}).get("weights") or DEFAULT_WEIGHTS,
        )
    return found


def read_items(store: Store, gaps: Sequence[ItemGap]) -> list[StoredItem]:
    """Read the rows of items and of their views to encode; items that are gone by now are left out."""
    ids = [gap.item_id for gap in gaps]
    rows = {row["item_id"]: row for row in _plain(store, store.items, "item_id", ids)}
    views = [view_id for gap in gaps for view_id in gap.views]
    of_view = {row["view_id"]: row for row in _plain(store, store.views, "view_id", views)}
    return [
        StoredItem(rows[gap.item_id], tuple(of_view[name] for name in gap.views if name in of_view))
        for gap in gaps
        if gap.item_id in rows
    ]


def _plain(store: Store, table: Any, key: str, ids: Sequence[str]) -> Iterator[Row]:
    columns = [name for name in table.schema.names if not name.endswith("vector")]
    for rows in store.rows_by_id(table, ids, key=key, columns=columns):
        yield from rows.to_pylist()


def text_of_view(item: Row, view: Row) -> str | None:
    """The text that the encoder saw; None for a picture or frame."""
    if view["part"] == "title":
        return str(item["title"] or item["text"] or "")
    return in_one_line(str(view["text"] or "")) if view["part"] == "transcript" else None


class StoredPictures:
    """Opens the pictures and frames of views, each medium once for a step; a context manager.

    Args:
        store: with the live pictures, which have no other source.
        policy: limits of fetches and decoders.
        min_side: minimum length of a picture's shorter side, in pixels.
        decode_threads: pictures and videos that are decoded at once.
        facts: functions to run on the pictures.
    """

    def __init__(
        self,
        store: Store,
        policy: MediaPolicy,
        min_side: int,
        decode_threads: int,
        facts: Sequence[PictureFact] = (),
    ) -> None:
        self._facts = facts
        self._kills = FunctionKills()
        self._store = store
        self._policy = policy
        self._min_side = min_side
        self._settings = IndexSettings(decode_threads=decode_threads)
        self._loaders: dict[tuple[str, bool, bool], MediaLoader] = {}
        self._open = ExitStack()
        self._live: PictureDecoder | None = None

    def __enter__(self) -> StoredPictures:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.close()
        self._open.__exit__(*error)

    def load(
        self, items: Sequence[StoredItem], permissions: Mapping[str, RunPermissions]
    ) -> Iterator[tuple[list[Row], Image | MediaError]]:
        """Yield each picture or frame with the views that show it, or with the reason why it cannot be opened."""
        return ((views, picture) for views, picture, _ in self.load_with_facts(items, permissions))

    def load_with_facts(
        self, items: Sequence[StoredItem], permissions: Mapping[str, RunPermissions]
    ) -> Iterator[tuple[list[Row], Image | MediaError, FoundFacts | None]]:
        """As `load`, with the facts of each picture."""
        shown = [(item, view) for item in items for view in item.views if view["part"] in ("image", "frame")]
        live = read_live_pictures(self._store, [view["view_id"] for _, view in shown])
        groups: dict[tuple[str, bool, bool], dict[tuple[str, str], list[Row]]] = {}
        for item, view in shown:
            if LIVE_PART in view["view_id"]:
                yield [view], *self._open_live(live.get(view["view_id"]), view)
                continue
            allowed = permissions.get(item.row["run_id"], RunPermissions())
            where = (item.row["catalog_dir"], allowed.allow_private, allowed.allow_anywhere)
            medium = ("image" if view["part"] == "image" else "video", view["uri"])
            groups.setdefault(where, {}).setdefault(medium, []).append(view)
        for where, media in groups.items():
            yield from self._load_media(self._loader(where), media)

    def _load_media(
        self, loader: MediaLoader, media: Mapping[tuple[str, str], list[Row]]
    ) -> Iterator[tuple[list[Row], Image | MediaError, FoundFacts | None]]:
        jobs: dict[MediaJob, list[list[Row]]] = {}  # the views of each picture of a job
        for (kind, uri), views in media.items():
            at: dict[float | None, list[Row]] = {}
            for view in views:
                at.setdefault(view["time_s"] if kind == "video" else None, []).append(view)
            times = sorted(time for time in at if time is not None)
            medium: Literal["image", "video"] = "video" if kind == "video" else "image"
            job = MediaJob(medium, uri, times_s=tuple(times) if medium == "video" else None)
            jobs[job] = [at[time] for time in times] if medium == "video" else [at[None]]
        for job, loaded in loader.load_ahead(list(jobs)):
            if isinstance(loaded, MediaError):
                for views in jobs[job]:
                    yield views, loaded, None
            else:
                for views, picture in zip(jobs[job], loaded.pictures, strict=True):
                    yield views, picture.picture, picture.facts

    def _open_live(self, jpeg: bytes | None, view: Row) -> tuple[Image | MediaError, FoundFacts | None]:
        if jpeg is None:
            return MediaError("missing", f"the frame {view['view_id']} of a live stream is stored nowhere"), None
        try:
            functions = [fact for fact in self._facts if "frame" in fact.parts]
            if not functions:
                return open_picture(jpeg, max_pixels=self._policy.max_pixels), None
            return open_with_facts(self._live_decoder(), jpeg, functions, self._min_side, self._kills)
        except MediaError as error:
            return error, None

    def _live_decoder(self) -> PictureDecoder:
        if self._live is None:
            self._live = PictureDecoder(
                workers=1, timeout_s=self._policy.timeout_s, max_pixels=self._policy.max_pixels, facts=self._facts
            )
        return self._live

    def _loader(self, where: tuple[str, bool, bool]) -> MediaLoader:
        """The loader for items of one catalogue folder; each has decoders of its own, so few are kept."""
        if where not in self._loaders:
            if len(self._loaders) >= _MAX_LOADERS:
                self._open.close()
                self._loaders.clear()
            folder, allow_private, allow_anywhere = where
            policy = replace(
                self._policy,
                root=Path(folder) if folder else None,
                stored_media=media_location(self._store.uri),
                allow_private=self._policy.allow_private or allow_private,
                allow_anywhere=self._policy.allow_anywhere or allow_anywhere,
            )
            loader = MediaLoader(policy, self._settings, self._min_side, self._facts, self._kills)
            self._loaders[where] = self._open.enter_context(loader)
        return self._loaders[where]
