"""A switch between the real encoder and a variant of it in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.encoders.starter.starter_model import BRIDGE_PATH, save_starter

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"


@pytest.mark.slow
def test_a_variant_of_starter_takes_over_and_gives_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter: Encoder
) -> None:
    bridge = load_file(BRIDGE_PATH)
    save_starter(tmp_path / "variant", bridge | {"out": bridge["out"][:, ::-1]})
    monkeypatch.chdir(tmp_path)
    pictures = sorted(path for path in PICTURES.iterdir() if path.stem != "broken-teapot")[:3]
    db = firstsight.open(tmp_path / "db", encoder=starter)
    db.index([{"item_id": path.stem, "title": path.stem, "image": path} for path in pictures], root=PICTURES)
    before = db.get(pictures[0].stem).views
    report = db.encoders.reindex("starter:variant")
    assert (report.missing, report.encoder) == (0, f"starter:{tmp_path / 'variant'}")
    assert db.encoders.switch("starter:variant").after == report.encoder
    variant = firstsight.load_encoder("starter:variant")
    (title, picture) = (next(v for v in db.get(pictures[0].stem).views if v.part == p) for p in ("title", "image"))
    np.testing.assert_allclose(title.vector, variant.encode_texts([pictures[0].stem])[0], atol=1e-3)
    assert picture.vector @ variant.encode_images([str(pictures[0])])[0] > 0.999
    assert all(picture.vector @ view.vector < 0.99 for view in before)  # the bridge makes the vectors of pictures
    assert db.encoders.rollback().after == "starter"
    after = db.get(pictures[0].stem).views
    assert [view.view_id for view in after] == [view.view_id for view in before]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.vector, new.vector)
