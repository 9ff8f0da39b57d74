"""Decision whether a learned content map is used: held-out cold items must gain from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firstsight.encoders.base import Vectors
from firstsight.recommend.evaluation.measures import Difference, difference
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.blend_selection import BlendChoice, SettingsTrial, draw_splits
from firstsight.recommend.models.content_map import ContentMap

SPLITS = 5
MAX_USERS = 4_000
"""More splits and users than the choice of settings needs: the gain of a map is small beside the noise of one split."""


@dataclass(frozen=True)
class TunedChoice:
    """A content map that was compared on held-out cold items, and the settings of the blend.

    Attributes:
        content_map: learned from all events; None if held-out items did not gain.
        choice: the settings for the content that is used, mapped or not, with their recall.
        gain: recall@20 of the blend with a map minus without one, on held-out cold items.
        content_gain: the same for content alone.
    """

    content_map: ContentMap | None
    choice: BlendChoice
    gain: Difference
    content_gain: Difference

    def figures(self) -> dict[str, float]:
        """The comparison as numbers by name."""
        return {
            "tune_gain": self.gain.mean,
            "tune_low": self.gain.low,
            "tune_high": self.gain.high,
            "tune_users": self.gain.users,
            "tune_content_gain": self.content_gain.mean,
            "tune_content_low": self.content_gain.low,
            "tune_content_high": self.content_gain.high,
        }

    def sentence(self) -> str:
        """The decision with its figures, for people."""
        gain = self.gain
        figures = f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}, {gain.users:,} users)"
        if self.content_map is None:
            return f"the content map is not used: recall@20 of held-out new items {figures}, not clearly above 0"
        return f"the content map is used: recall@20 of held-out new items {figures}"


def choose_tuned_content(
    train: Interactions, content: Vectors, *, seed: int = 0, on_progress: Callable[[str], None] = lambda step: None
) -> TunedChoice:
    """Learn a content map, and keep it if the blend finds held-out cold items better with it than without it.

    Each split learns a map of its own, from events without those on its held-out items. Both sides have the settings
    that are best for them in the other splits. The 95 % interval of the paired gain must lie above 0.

    Args:
        train: the events.
        content: (n, d) unit rows in the order of the space.
        seed: of the splits and of the training.
        on_progress: called with the name of each step.

    Raises:
        QueryError: the log has too few events.
        OptionalDependencyError: implicit is not installed.
    """
    from firstsight.recommend.models.content_map_fit import fit_content_map

    plain, tuned = SettingsTrial(), SettingsTrial()
    splits = draw_splits(train, splits=SPLITS, max_users=MAX_USERS, seed=seed)
    for number, split in enumerate(splits, 1):
        on_progress(f"learning a content map without held-out items, draw {number}")
        plain.add(split, content)
        tuned.add(split, fit_content_map(split.train, content, seed=seed).apply(content))
    gain = difference(tuned.held_out_recalls(), plain.held_out_recalls())
    content_gain = difference(tuned.held_out_recalls(weight=0.0), plain.held_out_recalls(weight=0.0))
    if gain.low <= 0:
        return TunedChoice(None, plain.choice(), gain, content_gain)
    on_progress(f"learning the content map from all {len(train):,} events")
    return TunedChoice(fit_content_map(train, content, seed=seed), tuned.choice(), gain, content_gain)
