"""Whether a student may be used: it keeps its teacher's neighbours, and the training shows a gain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from firstsight.tuning.distillation.distil_report import DistilReport
from firstsight.tuning.distillation.distil_settings import DistilSettings

MIN_PRODUCTS: Final = 30
"""Held-out products, below which overlap and recall say little."""

OWN_PICTURE: Final = "title -> own picture R@10"


def reasons_against(
    report: DistilReport, changed: Sequence[str], settings: DistilSettings, products: int
) -> Iterator[str]:
    """Yield the reasons against a student, one sentence each; none if it may be used.

    The bound alone does not show that the training was of use: pictures of 192 pixels keep two thirds of the neighbours
    without any. So the gain over the untrained student must be above zero too, with its whole interval. A pruned
    student may have lost nothing that training could bring back: it must only not become worse.

    Args:
        report: the figures.
        changed: "titles", "pictures" or both: parts that differ from the teacher's.
        settings: bounds.
        products: number of held-out products.
    """
    if products < MIN_PRODUCTS:
        yield few_products(products)
    for name in changed:
        kept = report.figure(f"overlap@10 of {name}")
        if kept is None:
            continue
        if not kept.student >= settings.required_overlap:
            yield (
                f"overlap@10 of {name} with the teacher is {kept.student:.3f} on held-out products (required: "
                f"{settings.required_overlap:g})"
            )
        is_only_pruned = settings.prune is not None and settings.teacher is None
        is_only_pruned = is_only_pruned and (name == "titles" or settings.image_size is None)
        if kept.gain_high < 0 if is_only_pruned else not kept.gain_low > 0:
            yield (
                f"overlap@10 of {name} changes by {kept.student - kept.untrained:+.3f} ({kept.gain_low:+.3f} to "
                f"{kept.gain_high:+.3f}) over the untrained student, which shows no gain; give more items or steps"
            )
    recall = report.figure(OWN_PICTURE)
    if recall is not None and recall.teacher - recall.student > settings.max_loss:
        yield (
            f"{recall.measure} falls from {recall.teacher:.3f} to {recall.student:.3f} (allowed loss: "
            f"{settings.max_loss:g})"
        )


def few_products(products: int) -> str:
    """Reason to refuse a student that was measured on too few products."""
    return f"{products} held-out products are too few to judge a student (required: {MIN_PRODUCTS})"
