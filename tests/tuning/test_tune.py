"""Tuning of starter from catalogue to encoder: what is written, what is refused, and what a stop leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.tuning.evaluation.general_pictures import packaged_pictures
from tests.tuning.conftest import QUICK, Tuned
from tests.tuning.shop import COLOURS, SHAPES, picture, shop_rows, write_shop


def precision(encoder: Encoder) -> float:
    """Share of invented names whose nearest new picture has their shape."""
    vectors = encoder.encode_images([picture(shape, colour, 5) for shape in SHAPES for colour in COLOURS])
    best = (encoder.encode_texts(list(SHAPES)) @ vectors.T).argmax(axis=1) // len(COLOURS)
    return float((best == np.arange(len(SHAPES))).mean())


def test_a_tuned_encoder_finds_pictures_by_the_words_of_the_shop(tuned: Tuned, starter: Encoder) -> None:
    assert tuned.report.refused == ""
    assert tuned.report.model == f"starter:{tuned.folder}"
    encoder = firstsight.load_encoder(tuned.report.model)
    assert encoder.spec.fingerprint != starter.spec.fingerprint
    assert precision(encoder) == 1.0 > precision(starter)


def test_the_figures_are_of_products_that_were_held_out_and_gain(tuned: Tuned) -> None:
    figure = tuned.report.figure("title -> picture P@10")
    assert figure is not None
    assert (figure.queries, figure.clusters, figure.cluster) == (36, 36, "product")
    assert 0 < figure.low < figure.gain < figure.high
    assert figure.after - figure.before == pytest.approx(figure.gain)
    assert tuned.report.decisive == figure.measure


def test_the_curve_begins_at_the_figures_before_and_passes_the_result(tuned: Tuned) -> None:
    curve = {point.share: point for point in tuned.report.curve}
    assert list(curve) == [0, 0.25, 0.5, 0.75, 1]
    for figure in tuned.report.figures:
        assert curve[0].figures[figure.measure] == pytest.approx(figure.before)
        assert curve[0.5].figures[figure.measure] == pytest.approx(figure.after)
    assert (curve[0].general, curve[0.5].general) == (tuned.report.general_before, tuned.report.general_after)


def test_the_general_figure_before_is_that_of_the_shipped_encoder(tuned: Tuned, starter: Encoder) -> None:
    general = packaged_pictures()
    recall = general.recall_at_1(starter.encode_texts(general.captions), starter.encode_images(general.pictures))
    assert tuned.report.general_before == pytest.approx(recall)
    assert recall > 0.6


def test_the_folder_has_a_card_with_the_figures_and_all_figures_as_json(tuned: Tuned) -> None:
    card = (tuned.folder / "README.md").read_text(encoding="utf-8")
    stored = json.loads((tuned.folder / "tuning.json").read_text(encoding="utf-8"))
    assert f"| {tuned.report.figures[0].measure} | {tuned.report.figures[0].before:.3f}" in card
    assert "--force" not in card
    assert stored["figures"] == json.loads(json.dumps(tuned.report.to_dict()["figures"]))


def test_a_tuned_encoder_can_be_tuned_again_and_replaces_itself(tuned: Tuned, tmp_path: Path) -> None:
    out = tmp_path / "encoder"
    first = firstsight.tune(tuned.catalogue, out, **QUICK | {"steps": 1, "share": 1.0}, force=True)
    again = firstsight.tune(tuned.catalogue, out, encoder=str(first.model), **QUICK)
    before, after = first.figure("title -> picture P@10"), again.figure("title -> picture P@10")
    assert before is not None
    assert after is not None
    assert after.before > before.before  # it starts from the first result
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder"]
    assert firstsight.load_encoder(f"starter:{out}").spec.image_size == 260


def test_wrong_pictures_are_refused_with_the_figures_and_nothing_is_written(tmp_path: Path, tuning_cache: Path) -> None:
    catalogue = write_shop(tmp_path / "shop", 36, shift=17)
    rows = [row | {"image": str(tmp_path / "shop" / row["image"])} for row in shop_rows(36)]
    mixed = [row | {"category": ("left", "right")[number % 5 > 1]} for number, row in enumerate(rows)]
    report = firstsight.tune(mixed, tmp_path / "encoder", root=catalogue.parent, **QUICK)
    figure = report.figure(report.decisive)
    assert figure is not None
    assert figure.low <= 0
    assert f"{figure.gain:+.3f}" in report.refused
    assert report.model is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop"]


def test_forgetting_above_the_bound_is_refused_and_force_says_so_in_the_card(tuned: Tuned, tmp_path: Path) -> None:
    settings = QUICK | {"max_forgetting": 0.0, "share": 1.0, "learning_rate": 3e-3}
    report = firstsight.tune(tuned.catalogue, tmp_path / "encoder", **settings)
    assert report.model is None
    assert "R@1 on general pictures falls" in report.refused
    assert not (tmp_path / "encoder").exists()
    forced = firstsight.tune(tuned.catalogue, tmp_path / "encoder", force=True, **settings)
    assert forced.forced
    assert forced.refused == report.refused
    assert report.refused in (tmp_path / "encoder" / "README.md").read_text(encoding="utf-8")
    assert firstsight.load_encoder(str(forced.model)).spec.dim == 384


def test_few_products_are_refused_before_any_training(tmp_path: Path, tuning_cache: Path) -> None:
    lines: list[str] = []
    report = firstsight.tune(write_shop(tmp_path / "shop", 29), tmp_path / "encoder", on_progress=lines.append)
    assert "29 held-out products" in report.refused
    assert "30 or more" in report.refused
    assert (report.figures, report.model, lines) == ((), None, [])


def test_rows_in_memory_hold_their_pictures(tuned: Tuned, tmp_path: Path) -> None:
    rows = [{**row, "image": Image.open(tuned.catalogue.parent / row["image"]).convert("RGB")} for row in shop_rows(36)]
    report = firstsight.tune(rows, None, **QUICK)
    figure, expected = report.figure("title -> picture P@10"), tuned.report.figure("title -> picture P@10")
    assert figure is not None
    assert expected is not None
    assert figure.after == pytest.approx(expected.after, abs=0.05)
    assert report.model is None
    assert report.refused == ""


def test_a_smaller_picture_is_compared_with_the_encoder_at_its_own_size(tuned: Tuned, tmp_path: Path) -> None:
    report = firstsight.tune(tuned.catalogue, tmp_path / "encoder", **QUICK | {"image_size": 96})
    assert [figure.before for figure in report.figures] == [figure.before for figure in tuned.report.figures]
    assert report.general_before == tuned.report.general_before
    assert firstsight.load_encoder(str(report.model)).spec.image_size == 96


def test_the_second_run_computes_no_tower(tuned: Tuned) -> None:
    assert any("picture tower" in line for line in tuned.lines)
    lines: list[str] = []
    again = firstsight.tune(tuned.catalogue, None, on_progress=lines.append, **QUICK)
    assert not any("tower" in line for line in lines)
    assert again.figures == tuned.report.figures


def test_an_interrupted_run_leaves_the_earlier_encoder(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "encoder"
    firstsight.tune(tuned.catalogue, out, **QUICK)
    earlier = {path.name: path.read_bytes() for path in out.iterdir()}

    def interrupt(report: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("firstsight.tuning.tune.model_card", interrupt)  # the weights are written by then
    with pytest.raises(KeyboardInterrupt):
        firstsight.tune(tuned.catalogue, out, **QUICK | {"share": 0.75})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == earlier
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


@pytest.mark.parametrize(
    ("encoder", "settings", "message"),
    [
        ("other:model", {}, "cannot be tuned; choose starter"),
        ("starter", {"method": "lit"}, "is tuned with the method"),
        ("starter", {"image_size": 1000}, "image_size 1000 is out of range"),
        ("starter", {"share": 1.5}, "share 1.5 is out of range"),
    ],
)
def test_a_wrong_setting_is_refused(tuned: Tuned, encoder: str, settings: firstsight.TuneOptions, message: str) -> None:
    with pytest.raises(firstsight.EncoderError, match=message):
        firstsight.tune(tuned.catalogue, None, encoder=encoder, **settings)
