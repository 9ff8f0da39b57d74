"""The report: figures from labels that the heads did not see, on one self-contained page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from firstsight.cli.main import app
from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import Policies
from firstsight.safety.report.policy_report import HeldOutPolicy, LabelSuspect, measure, write_report
from firstsight.safety.report.report_sources import held_out_policies_from_labels
from tests.safety.conftest import POLICIES, Catalogue


def drawn(seed: int = 0, rows: int = 4_000, **known: object) -> HeldOutPolicy:
    """Calibrated scores of a policy that flags sellers of one language too often."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.2, 2, rows)
    labels = (rng.random(rows) < scores).astype(np.int8)
    language = rng.choice(["en", "de", "pt <script>alert(1)</script>"], rows)
    odd = (language > "n") & (labels == 0) & (rng.random(rows) < 0.2)
    return HeldOutPolicy(
        "weapons",
        "Weapons & <b>knives</b>",
        np.where(odd, 0.7, scores),
        labels,
        review=0.3,
        block=0.9,
        columns={"language": language.tolist()},
        suspects=[LabelSuspect("sku-<1>", 1, 0.97)],
        **known,  # type: ignore[arg-type]
    )


def test_the_page_needs_nothing_from_outside_and_runs_nothing(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(page, [drawn(today=np.random.default_rng(1).beta(2, 2, 500))], "shop <db>")
    html = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import|<script|<b>knives", html)
    assert "default-src 'none'" in html
    assert "Weapons &amp; &lt;b&gt;knives" in html
    assert "shop &lt;db&gt;" in html
    assert "sku-&lt;1&gt;" in html
    assert "large drift" in html
    for plot in ("precision by recall", "reliability, ", "scores of positives", "drift, stability"):
        assert f'aria-label="{plot}' in html
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_the_planted_slice_is_the_one_that_differs() -> None:
    plain = measure(drawn()).to_dict()
    assert [one["value"][:2] for one in plain["slices_that_differ"]] == ["pt"]
    assert plain["slices_that_differ"][0]["measure"] == "false_positive_rate"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_a_lower_prevalence_lowers_the_precision_and_leaves_the_recall() -> None:
    as_sampled, real = measure(drawn()), measure(drawn(prevalence=0.01))
    assert real.curve.prevalence == pytest.approx(0.01)
    assert real.at_cuts[0][2] < as_sampled.at_cuts[0][2]
    assert real.curve.average_precision < as_sampled.curve.average_precision
    for (_, _, p, r), (_, _, q, s) in zip(as_sampled.at_cuts, real.at_cuts, strict=True):
        assert q < p or p == 1
        assert s == pytest.approx(r)
    assert [t.attainable for _, t in real.recall_targets] == [t.attainable for _, t in as_sampled.recall_targets]


def test_a_policy_that_cannot_be_measured_is_named(tmp_path: Path) -> None:
    with pytest.raises(SafetyError, match="policy weapons: 0 of 3 labels are positive"):
        measure(HeldOutPolicy("weapons", "Weapons", np.zeros(3), np.zeros(3, np.int8)))
    with pytest.raises(SafetyError, match="no policy to report"):
        write_report(tmp_path / "r.html", [], "db")


def test_labels_of_views_are_suspected_by_their_own_vectors(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    rows = []
    for item_id in catalogue.ids:
        bad = catalogue.bad.get(item_id)
        rows.append(f"{bad or item_id + '#image-0'},weapons,{int(bad is not None)}")
    wrong = rows[50].split(",")[0]
    rows[50] = f"{wrong},weapons,0"
    path = tmp_path / "views.csv"
    path.write_text("view_id,policy,label\n" + "\n".join(rows))
    (found,), _ = held_out_policies_from_labels(catalogue.store, path, policies, groups={})
    assert found.suspects[0].name == wrong
    assert found.suspects[0].label == 0


def labels_file(catalogue: Catalogue, path: Path, flipped: frozenset[str] = frozenset()) -> Path:
    rows = [f"{i},weapons,{int((i in catalogue.bad) != (i in flipped))}" for i in catalogue.ids]
    path.write_text("item_id,policy,label\n" + "\n".join(rows))
    return path


@pytest.mark.slow
def test_a_report_from_a_database_measures_held_out_items_and_finds_wrong_labels(
    catalogue: Catalogue, policies: Policies, tmp_path: Path
) -> None:
    wrong = frozenset(catalogue.ids[10:100:30])  # violations labelled as fine
    path = labels_file(catalogue, tmp_path / "l.csv", wrong)
    (found,), problems = held_out_policies_from_labels(catalogue.store, path, policies, groups={})
    assert problems == ()
    assert len(found.scores) == 400
    assert set(found.columns) == {"kind"}
    assert set(found.columns["kind"]) == {"video"}
    assert wrong & {one.name for one in found.suspects}
    assert found.today is None
    assert measure(found).curve.average_precision > 0.6
    with pytest.raises(SafetyError, match="no column 'shop'"):
        held_out_policies_from_labels(catalogue.store, path, policies, columns=["shop"], groups={})


@pytest.mark.slow
def test_the_command_writes_the_page_and_prints_the_figures(catalogue: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(re.sub(r", prompts.*?(?=\})", ", prompts: []", POLICIES))
    page = tmp_path / "page.html"
    arguments = ["safety", "report", str(labels_file(catalogue, tmp_path / "l.csv")), "--html", str(page)]
    arguments += ["--policies", str(file), "--db", str(catalogue.path), "--prevalence", "0.01"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.splitlines()[-1])
    arguments[4] = str(tmp_path / "none" / "page.html")
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert figures["policy"] == "weapons"
    assert figures["prevalence"] == pytest.approx(0.01)
    assert "Weapons" in page.read_text(encoding="utf-8")
