"""Whether a tuned encoder may be used: held-out products must gain, and general pictures must not be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from firstsight.tuning.evaluation.figures import TuneFigure

MIN_PRODUCTS: Final = 30
"""Held-out products below which an interval is too wide to show a gain."""

DECISIVE: Final = ("title -> picture P@10", "title -> own picture R@10", "query -> clicked item R@10")
"""Measures that can decide; the first one that a catalogue allows does."""


def decisive_figure(figures: Sequence[TuneFigure]) -> TuneFigure | None:
    """The figure whose interval decides; without titles the first one."""
    by_name = {figure.measure: figure for figure in figures}
    return next((by_name[name] for name in DECISIVE if name in by_name), figures[0] if figures else None)


def too_few_products(products: int) -> str:
    """Reason to refuse a catalogue with too few products; empty if it has enough."""
    if products >= MIN_PRODUCTS:
        return ""
    return (
        f"{products} held-out product{'s' if products != 1 else ''} cannot show whether the tuning helps; "
        f"{MIN_PRODUCTS} or more are needed"
    )


def reasons_against(
    figures: Sequence[TuneFigure], before: float | None, after: float | None, max_forgetting: float
) -> list[str]:
    """Reasons against a tuned encoder, one sentence each; none if it may be used.

    Args:
        figures: held-out measures.
        before, after: R@1 on general pictures.
        max_forgetting: greatest allowed loss of it.
    """
    reasons = []
    figure = decisive_figure(figures)
    if figure is None:
        reasons.append("no held-out query exists, so no gain can be shown; add titles to the catalogue")
    elif not figure.is_gain:
        reasons.append(
            f"{figure.measure} on held-out products changes by {figure.gain:+.3f} ({figure.low:+.3f} to "
            f"{figure.high:+.3f}), which does not show a gain"
        )
    # A tolerance of half a picture in a thousand: .70 - .65 is more than .05 in binary.
    if before is not None and after is not None and before - after > max_forgetting + 5e-4:
        reasons.append(
            f"R@1 on general pictures falls from {before:.3f} to {after:.3f}, more than the allowed "
            f"{max_forgetting:g}; take a smaller share, or allow more forgetting"
        )
    return reasons
