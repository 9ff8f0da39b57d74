"""The map of the items: projection, colouring, and a page that never runs text of a catalogue."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import firstsight
from firstsight.encoders.base import unit
from firstsight.errors import OptionalDependencyError, QueryError
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.pages.space_map import MapPoint, Method, SpaceMap, project, space_map
from firstsight.retrieval.pages.space_map_page import PER_ROW, TILE, embed_json, write_space_map
from firstsight.storage.store import Store

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "line\u2028separator\u2029 \U0001f600",
    "&lt;b&gt; & 'quoted' \\u003c",
]


class Scripts(HTMLParser):
    """Script elements and event attributes of a page, parsed as a browser does."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.handlers: list[str] = []
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
            self._in_script = True

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)


def data_of(page: str) -> Any:
    (text,) = (text for attrs, text in Scripts(page).scripts if attrs.get("id") == "data")
    return json.loads(text)


def clustered(count: int, dim: int = 24) -> tuple[Any, Any]:
    """Unit vectors around five directions, with the number of each vector's direction."""
    random = np.random.default_rng(0)
    which = np.arange(count) % 5
    return unit(random.normal(size=(5, dim))[which] + random.normal(0, 0.15, size=(count, dim))), which


# ---- projection


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_groups_stay_together_on_the_plane(method: Method) -> None:
    vectors, which = clustered(150)
    places = project(vectors, method)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    neighbours = which[np.argsort(distances, axis=1)[:, :5]]
    assert np.mean(neighbours == which[:, None]) > 0.8
    assert places.min() >= -1e-9
    assert places.max() <= 1 + 1e-9
    assert np.ptp(places[:, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 20])
def test_few_vectors_are_placed_too(count: int, method: Method) -> None:
    places = project(clustered(count)[0], method)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()


def test_equal_vectors_lie_in_the_middle() -> None:
    assert (project(np.full((9, 4), 0.5, dtype=np.float32), "tsne") == 0.5).all()


def test_one_seed_gives_one_map() -> None:
    vectors, _ = clustered(60)
    np.testing.assert_array_equal(project(vectors, "tsne", seed=4), project(vectors, "tsne", seed=4))


def test_umap_names_its_extra_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'firstsight\[umap\]'"):
        project(clustered(20)[0], "umap")


# ---- over a database


@pytest.fixture(scope="module")
def sample(sample_db: Path) -> SpaceMap:
    return space_map(Store.open(sample_db), color_by="category", method="pca")


def test_every_item_with_a_vector_is_on_the_map(sample: SpaceMap) -> None:
    assert len(sample.points) == sample.total == 75
    assert len({point.item_id for point in sample.points}) == 75
    assert sum(point.picture is not None for point in sample.points) == 74


def test_a_column_colours_each_point_by_its_value(sample: SpaceMap) -> None:
    colouring = sample.colourings[0]
    assert colouring.column == "category"
    for point, code in zip(sample.points, colouring.codes, strict=True):
        value = dict(point.columns).get("category", "none")
        assert colouring.labels[code] == value or colouring.labels[code].endswith(" others")


def test_numbers_are_coloured_in_classes_that_hold_them(sample: SpaceMap) -> None:
    price = next(colouring for colouring in sample.colourings if colouring.column == "price")
    assert price.ordered
    for point, code in zip(sample.points, price.codes, strict=True):
        value = dict(point.columns).get("price")
        if value is None:
            assert price.labels[code] == "none"
        else:
            low, high = (float(edge.replace(",", "")) for edge in price.labels[code].split(" to "))
            assert low * 0.999 <= float(value.replace(",", "")) <= high * 1.001


def test_a_sample_is_drawn_by_the_seed(sample_db: Path) -> None:
    store = Store.open(sample_db)

    def drawn(seed: int) -> list[str]:
        return [point.item_id for point in space_map(store, sample=10, method="pca", seed=seed).points]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"color_by": "smell"}, "'smell' is no column to colour by; give one of kind"),
        ({"color_by": "vector"}, "no column to colour by"),
        ({"sample": 0}, "between 1 and 50000, not 0"),
        ({"method": "magic"}, "method 'magic' is not one of pca, tsne, umap"),
    ],
)
def test_what_cannot_be_drawn_says_why(sample_db: Path, how: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        space_map(Store.open(sample_db), **how)


# ---- the page


@pytest.mark.slow
def test_the_thumbnails_are_those_of_the_items(sample: SpaceMap, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    assert write_space_map(page, sample, "sample", policy=MediaPolicy()) == 74
    data = data_of(page.read_text())
    place = next(n for n, point in enumerate(data["points"]) if point[3] == "sneakers-red")
    tile = data["points"][place][2]
    sheet = Image.open(io.BytesIO(base64.b64decode(data["sheets"][0].partition(",")[2]))).convert("RGB")
    x, y = tile % PER_ROW * TILE, tile // PER_ROW * TILE
    picture = sample.points[place].picture
    assert picture is not None
    own = Image.open(picture[0]).convert("RGB").resize((TILE, TILE))
    shown = sheet.crop((x, y, x + TILE, y + TILE))
    assert np.abs(np.asarray(own, dtype=float) - np.asarray(shown, dtype=float)).mean() < 20


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1_000])
def test_pictures_stop_at_the_stated_size(sample: SpaceMap, tmp_path: Path, limit: int) -> None:
    page = tmp_path / "map.html"
    assert write_space_map(page, sample, "sample", policy=MediaPolicy(), max_picture_bytes=limit) == 0
    data = data_of(page.read_text())
    assert data["sheets"] == []
    assert {point[2] for point in data["points"]} == {-1}


@pytest.mark.slow
def test_pictures_that_are_gone_cost_themselves_alone(sample: SpaceMap, tmp_path: Path) -> None:
    gone = [MapPoint(f"g{n}", "gone", 0.5, 0.5, (), (str(tmp_path / "gone.jpg"), None)) for n in range(PER_ROW**2)]
    some = SpaceMap((*gone, *sample.points), (), "pca", 400)
    page = tmp_path / "map.html"
    assert write_space_map(page, some, "sample", policy=MediaPolicy()) == 74
    tiles = [point[2] for point in data_of(page.read_text())["points"]]
    assert set(tiles[: PER_ROW**2]) == {-1}
    assert max(tiles) >= PER_ROW**2  # the first sheet is empty, and the second keeps its number


@pytest.mark.slow
@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_stays_text(title: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "c.jsonl"
    rows = [{"item_id": f"{n} {title}", "title": f"teapot {title}", "brand": title} for n in range(3)]
    catalogue.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    db = firstsight.open(tmp_path / "db")
    db.index(catalogue)
    page = tmp_path / "map.html"
    write_space_map(page, db.evaluation.space_map(color_by="brand", method="pca"), title, policy=MediaPolicy())
    html = page.read_text(encoding="utf-8")
    parsed = Scripts(html)
    assert len(parsed.scripts) == 2
    assert parsed.handlers == []
    data = data_of(html)
    assert {point[4] for point in data["points"]} == {db.get(f"0 {title}").title}
    assert title.split("\u2028")[0] in data["colourings"][0]["labels"][0]


@pytest.mark.slow
def test_the_browser_may_run_our_script_and_no_other(sample: SpaceMap, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    write_space_map(page, sample, "sample", policy=MediaPolicy())
    html = page.read_text(encoding="utf-8")
    script = Scripts(html).scripts[1][1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "innerHTML" not in script
    assert not re.search(r'(src|href)\s*=\s*"?(https?:)?//', html)


@pytest.mark.slow
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_embedded_json_is_the_same_json_without_a_character_of_html(value: Any) -> None:
    text = embed_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
