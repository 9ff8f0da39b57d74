"""Plots and the shared page head: escaping, axes, labels that do not overlap, templates of other packages."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.retrieval.pages.plots import Plot, bar_chart, interval_bar, line_chart, scatter_chart
from firstsight.retrieval.pages.templating import PAGES, page_template

HOSTILE = '</svg><script>alert("1")</script>'


@given(st.floats(-10, 10), st.floats(0.001, 10))
def test_a_value_is_drawn_inside_the_axes(value: float, end: float) -> None:
    plot = Plot(x_end=end, y_end=end)
    assert plot.left <= plot.x(value) <= plot.right
    assert plot.top <= plot.y(value) <= plot.floor


@given(st.text())
def test_names_are_escaped_in_every_chart(name: str) -> None:
    charts = [
        bar_chart([name], [0.2], [(0.1, 0.3)], x_name=name, title=name),
        scatter_chart([name], [0.2], [0.3], x_name=name, y_name=name, title=name),
        line_chart({name: [0.1, 0.2]}, [name, name], x_name=name, y_name=name, title=name),
    ]
    for chart in charts:
        assert len(re.findall(r"<svg[ >]", chart)) == 1
        assert chart.count("<") == chart.count(">")


def test_a_hostile_name_stays_text() -> None:
    chart = bar_chart([HOSTILE], [0.2], [(0.1, 0.3)], x_name="recall", title=HOSTILE)
    root = ElementTree.fromstring(chart)
    assert root.get("aria-label") == HOSTILE
    assert HOSTILE in {text.text for text in root.iter("text")}


def test_names_of_close_points_do_not_overlap() -> None:
    chart = scatter_chart(["a", "b", "c"], [0.2, 0.2, 0.2], [0.3, 0.3, 0.3], x_name="x", y_name="y", title="t")
    places = [
        float(text.get("y") or 0) for text in ElementTree.fromstring(chart).iter("text") if text.text in {"a", "b", "c"}
    ]
    assert len(places) == 3
    assert min(b - a for a, b in zip(sorted(places), sorted(places)[1:], strict=False)) >= 11


def test_an_unknown_rate_has_no_dot() -> None:
    assert "circle" in interval_bar(0.5, 0.4, 0.6, 0.1, 1.0)
    assert "circle" not in interval_bar(float("nan"), 0.4, 0.6, 0.1, 1.0)
    assert 'class="cut"' not in interval_bar(0.5, 0.4, 0.6, float("nan"), 1.0)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        (PAGES, "contact_sheet.html"),
        (PAGES, "search_evaluation.html"),
        (PAGES, "space_map.html"),
        ("firstsight.recommend.evaluation", "evaluation.html"),
        ("firstsight.safety.report", "report.html"),
    ],
)
def test_every_page_has_the_shared_head(package: str, name: str) -> None:
    template = page_template(package, name)
    source = template.environment.loader
    assert source is not None
    text, _, _ = source.get_source(template.environment, name)
    assert text.startswith('{% extends "page.html" %}')
    assert "<head>" not in text
    assert "Content-Security-Policy" in source.get_source(template.environment, "page.html")[0]


def test_a_template_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        page_template(PAGES, "nothing.html")
