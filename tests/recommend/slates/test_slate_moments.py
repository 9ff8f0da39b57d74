"""Moments in slates: each video has the stretch that suits the user's interest best."""

from __future__ import annotations

from pathlib import Path

import pytest

import firstsight


@pytest.mark.parametrize(
    ("history", "video", "second"), [("grapes", "video-kitchen-haul", 7.0), ("trumpet", "live-band-night", 7.0)]
)
def test_a_video_of_a_slate_has_the_stretch_that_suits_the_interest(
    sample_db: Path, history: str, video: str, second: float
) -> None:
    slate = firstsight.open(sample_db).recommend(history=[history], quotas={"product": 2}, k=6, explore=0, moments=True)
    slots = {item.item_id: item for item in slate}
    moment = slots[video].moment
    assert moment is not None
    assert moment.start_s <= second <= moment.end_s
    assert moment.view_id is not None
    assert moment.view_id.startswith(f"{video}#frame-")
    assert slots[video].to_dict()["moment"]["start_s"] == round(moment.start_s, 3)
    assert all(item.moment is None for item in slate if item.kind == "product")
    assert "moment" not in next(item for item in slate if item.kind == "product").to_dict()


def test_without_interests_or_the_option_there_are_no_moments(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    assert all(item.moment is None for item in db.recommend("nobody", moments=True))
    assert all(item.moment is None for item in db.recommend(history=["grapes"]))
