"""Options of `firstsight index` about the catalogue and its media."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels

if TYPE_CHECKING:
    from firstsight import CatalogOptions, IndexSettings, MediaPolicy


@dataclass(frozen=True)
class CatalogFlags:
    """How to read the catalogue."""

    mapping: Annotated[
        list[str] | None,
        panels.catalogue(
            "--map",
            metavar="OURS=THEIRS,…",
            help="Columns to read as OURS, instead of the recognised ones (repeatable): title=name,images=front+back. "
            "Quote names with commas or plus signs: 'title=\"Name, long\"'. OURS is one of item_id, kind, title, text, "
            "images, videos, created_at, starts_at, expires_at, timed_products, group_id, price, sale_price, category, "
            "currency.",
        ),
    ] = None
    types: Annotated[
        list[str] | None,
        panels.catalogue(
            "--types",
            metavar="COLUMN=TYPE,…",
            help="Types of columns: number, flag, time or text (repeatable). Stored values that do not fit become "
            "empty and are counted. By default as stored, else as all values are.",
        ),
    ] = None
    drop: Annotated[
        str, panels.catalogue("--drop", metavar="NAME,…", help="Columns to leave out, quoted as for --map.")
    ] = ""
    encoding: Annotated[
        str, panels.catalogue("--encoding", metavar="NAME", help="Encoding of a CSV or JSON Lines file.")
    ] = "utf-8"
    list_separator: Annotated[
        str | None,
        panels.catalogue(
            "--list-separator",
            metavar="TEXT",
            help="Separator of several media in one cell. By default recognised from the cells.",
        ),
    ] = None
    variants: Annotated[
        str,
        panels.catalogue(
            "--variants",
            metavar="RULE",
            help="What is one item: picture (variants of a product that share all pictures and videos), product (all "
            "variants of a product) or variant (each row).",
        ),
    ] = "picture"
    skip_bad_rows: Annotated[
        bool, panels.catalogue("--skip-bad-rows", help="Skip invalid rows instead of rejecting the catalogue.")
    ] = False

    def options(self) -> CatalogOptions:
        """Settings for reading the catalogue."""
        import firstsight
        from firstsight.errors import CatalogError
        from firstsight.indexer.columns.catalog_options import VARIANTS_MODES
        from firstsight.indexer.columns.column_types import parse_types
        from firstsight.indexer.columns.mapping_text import parse_mapping, parse_names

        try:
            mapping = parse_mapping(*(self.mapping or ()))
        except CatalogError as error:
            raise typer.BadParameter(str(error), param_hint="--map") from None
        try:
            types = parse_types(self.types or ())
        except CatalogError as error:
            raise typer.BadParameter(str(error), param_hint="--types") from None
        try:
            drop = parse_names(self.drop)
        except CatalogError as error:
            raise typer.BadParameter(str(error), param_hint="--drop") from None
        rule = next((mode for mode in VARIANTS_MODES if mode == self.variants), None)
        if rule is None:
            raise typer.BadParameter(
                f"{self.variants!r} is not one of {', '.join(VARIANTS_MODES)}", param_hint="--variants"
            )
        return firstsight.CatalogOptions(
            mapping=mapping,
            types=types,
            drop=frozenset(drop),
            encoding=self.encoding,
            list_separator=self.list_separator,
            skip_bad_rows=self.skip_bad_rows,
            variants=rule,
        )


@dataclass(frozen=True)
class FetchFlags:
    """How to fetch media."""

    timeout: Annotated[
        float,
        panels.media("--timeout", metavar="SECONDS", min=0.1, help="Seconds to fetch or decode one picture or video."),
    ] = 30.0
    per_host: Annotated[
        int,
        panels.media(
            "--fetches-per-host",
            metavar="N",
            min=1,
            help="Parallel fetches from one host. All hosts together: 32, or N if N is larger.",
        ),
    ] = 8
    media_cache: Annotated[
        Path | None,
        panels.media(
            "--media-cache",
            metavar="DIR",
            envvar="FIRSTSIGHT_MEDIA_CACHE",
            help="Folder to keep fetched media in, so that only changed media are fetched again. By default none.",
        ),
    ] = None
    media_cache_size: Annotated[
        float, panels.media("--media-cache-size", metavar="GIB", min=0, help="Maximum size of --media-cache, in GiB.")
    ] = 10.0
    allow_private: options.AllowPrivate = False
    allow_anywhere: Annotated[
        bool, panels.media("--allow-anywhere", help="Allow files outside the catalogue's folder.")
    ] = False

    def policy(self) -> MediaPolicy:
        """Limits for fetching and decoding."""
        import firstsight

        return firstsight.MediaPolicy(
            allow_private=self.allow_private,
            allow_anywhere=self.allow_anywhere,
            timeout_s=self.timeout,
            fetches=max(32, self.per_host),
            fetches_per_host=self.per_host,
            cache_dir=self.media_cache and self.media_cache.expanduser(),
            cache_bytes=int(self.media_cache_size * 2**30),
        )


@dataclass(frozen=True)
class MediaFlags(FetchFlags):
    """How to fetch media, and which frames of videos to take."""

    frames: Annotated[
        str,
        panels.media(
            "--frames",
            metavar="RULE",
            help="Frames of each video: auto (frames that differ, shot by shot), uniform:N, every:SECONDS, keyframes "
            "or all.",
        ),
    ] = "auto"
    max_frames: Annotated[
        int,
        panels.media(
            "--max-frames",
            metavar="N",
            min=1,
            max=1000,
            help="Maximum frames of one video, 1 to 1000. If the rule gives more, take N spread evenly.",
        ),
    ] = 512
    transcriber: Annotated[
        str | None,
        panels.media(
            "--transcriber",
            metavar="NAME[:OPTIONS]",
            help="Recognise the speech of videos with a transcriber of an installed package. By default only subtitle "
            "files are read.",
        ),
    ] = None
    refresh_media: Annotated[
        bool, panels.media("--refresh-media", help="Ask servers whether indexed media have changed at their address.")
    ] = False

    def settings(self) -> IndexSettings:
        """Settings for choosing frames."""
        import firstsight

        try:
            return firstsight.IndexSettings(
                frames=int(self.frames) if self.frames.isdecimal() else self.frames,
                max_frames=self.max_frames,
                transcriber=self.transcriber,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--frames") from None

    def policy(self) -> MediaPolicy:
        """Limits for fetching and decoding."""
        return replace(super().policy(), refresh=self.refresh_media)
