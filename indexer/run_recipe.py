"""Source and settings of an index run, stored with the run so that its failures can be retried the same way."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.formats.source import MEMORY, STDIN
from firstsight.indexer.index_settings import IndexSettings
from firstsight.media.policy import MediaPolicy


@dataclass(frozen=True)
class Recipe:
    """A catalogue, with the settings to read and encode it."""

    source: str  # as given; absolute, "-" or MEMORY in a stored recipe
    options: CatalogOptions
    settings: IndexSettings
    allow_private: bool  # of the media policy; a retry allows what the run allowed
    allow_anywhere: bool

    @classmethod
    def of(
        cls, source: str, options: CatalogOptions | None, settings: IndexSettings | None, policy: MediaPolicy
    ) -> Recipe:
        """Make the recipe of a run; None means the default options or settings."""
        return cls(
            source,
            options or CatalogOptions(),
            settings or IndexSettings(),
            policy.allow_private,
            policy.allow_anywhere,
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values, for `from_dict` in any working directory."""
        plain = asdict(self)
        plain["source"] = self.source if self.source in (STDIN, MEMORY) else str(Path(self.source).absolute())
        plain["options"]["drop"] = sorted(self.options.drop)
        plain["options"]["mapping"] = {ours: list(theirs) for ours, theirs in self.options.mapping.items()}
        plain["options"]["types"] = dict(self.options.types)
        plain["settings"]["weights"] = dict(self.settings.weights)
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Recipe:
        """Read the recipe of a stored run; ignores settings that this version does not have."""
        options = plain["options"] | {"drop": frozenset(plain["options"]["drop"])}
        known = {f.name for f in fields(IndexSettings)}
        settings = {name: value for name, value in plain["settings"].items() if name in known}
        allowed = (plain["allow_private"], plain["allow_anywhere"])
        return cls(plain["source"], CatalogOptions(**options), IndexSettings(**settings), *allowed)
