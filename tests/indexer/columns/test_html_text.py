"""HTML becomes text; other texts stay as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.indexer.columns.html_text import as_plain_line, as_plain_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Soft &amp; warm</p>", "Soft & warm"),
        ("<p>One</p>\n<p>Two</p>", "One\nTwo"),
        ("One<br>Two<br/>Three", "One\nTwo\nThree"),
        ("<p>Good:</p><ul><li>light</li><li>strong</li></ul>", "Good: • light • strong"),
        ("<ul><li>light<li>strong</ul>", "light • strong"),
        ("a<script>alert('<p>')</script>b<style>p {color: red}</style>c<!-- hidden <b> -->", "abc"),
        ("&lt;p&gt;escaped &amp;amp; again&lt;/p&gt;", "escaped & again"),
        ("caf&eacute;&nbsp;&#8364;&#x20AC;", "café €€"),
        ("<td>a</td><td>b</td>", "a\nb"),
        ("<P CLASS='x'>Upper</P>", "Upper"),
        ("<![CDATA[<b>data</b>]]>", "data"),
        ("<p>a < b and c > d</p>", "a < b and c > d"),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert as_plain_text(html) == text


@pytest.mark.parametrize(
    "text",
    ["a < b", "AT&T", "5 > 3 < 7", "Size <M> only", "R&D; more", "x<y>z", "<3", "  two\n\nlines ", "&", "•a • b"],
)
def test_texts_without_html_stay(text: str) -> None:
    assert as_plain_text(text) == text
    assert as_plain_line(text) == text


def test_a_title_is_one_line() -> None:
    assert as_plain_line("<h1>Red<br>shoe</h1>") == "Red shoe"


@given(st.text(alphabet="<>&;/apb!-[]# \n", max_size=60))
def test_any_text_can_be_converted(text: str) -> None:
    assert isinstance(as_plain_text(text), str)
