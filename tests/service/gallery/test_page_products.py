"""Products on the page and over HTTP: one card of each, the number of variants, and switches for all variants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.service.service_settings import ServiceSettings
from firstsight.storage.product_groups import note_variant_values
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, index, picture, write_csv
from tests.service.conftest import serving
from tests.service.gallery.browser import cards, save_screenshot, search, serve_in_thread

EVERY_ROW = CatalogOptions(variants="variant")
COLORS = ("Red", "Blue", "Green", "Black")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve products in four colors each, and a single item."""
    folder = tmp_path_factory.mktemp("products")
    rows = []
    for n in range(12):
        for m, color in enumerate(COLORS):
            name = f"{n}-{color}.png"
            (folder / name).write_bytes(picture(10 * n + m))
            rows.append(
                {"item_id": f"p{n:02d}-{color}", "group_id": f"it's p{n:02d}", "title": f"cotton shirt {n}"}
                | {"images": name, "color": color, "price": 10 + n}
            )
    rows.append({"item_id": "single", "title": "cotton shirt alone", "images": "0-Red.png"})
    index(folder / "db", write_csv(folder / "c.csv", rows), options=EVERY_ROW)
    store = Store.open(folder / "db")
    with store.writing():
        note_variant_values(store, {"color": COLORS})
    return folder / "db"


@pytest.fixture(scope="module")
def products(shop: Path) -> Iterator[TestClient]:
    with serving(ServiceSettings(db=str(shop), encoder=ColourEncoder())) as client:
        yield client


@pytest.fixture(scope="module")
def address(shop: Path) -> Iterator[str]:
    with serve_in_thread(ServiceSettings(db=str(shop), encoder=ColourEncoder())) as address:
        yield address


def test_a_search_over_http_has_one_result_per_product(products: TestClient) -> None:
    def found(**body: object) -> list[dict[str, object]]:
        answer = products.post("/search", json={"k": 100, **body})
        assert answer.status_code == 200, answer.text
        results: list[dict[str, object]] = answer.json()["results"]
        return results

    assert sorted(row["variants"] for row in found(text="cotton shirt")) == [1, *[4] * 12]  # type: ignore[type-var]
    assert len(found(text="cotton shirt", collapse=None)) == 13
    assert len(found(text="cotton shirt", collapse="none")) == 49
    assert len(found(text="blue cotton shirt")) == 49
    assert {row["variants"] for row in found(text="cotton shirt", where="price < 12")} == {4}
    assert len(found(items=["p01-Red"])) == 12
    assert products.get("/catalogue").json()["products"] is True


def test_similar_items_and_slates_over_http_have_one_of_each_product(products: TestClient) -> None:
    similar = products.get("/items/p01-Red/similar", params={"k": 100}).json()["results"]
    assert len(similar) == 12
    assert {row["variants"] for row in similar} == {1, 4}
    every = products.get("/items/p01-Red/similar", params={"k": 100, "collapse": "none"}).json()["results"]
    assert len(every) == 48
    assert "variants" not in every[0]
    assert products.get("/items/p01-Red/similar", params={"collapse": "color"}).status_code == 422
    body = {"history": ["p01-Red"], "k": 40, "near_duplicate": 1.0, "explore": 0.0}
    slate = products.post("/recommend", json=body).json()["items"]
    assert len(slate) == 12
    assert len(products.post("/recommend", json=body | {"collapse": "none"}).json()["items"]) == 40
    assert products.post("/recommend", json=body | {"collapse": "color"}).status_code == 422


def test_the_openapi_document_describes_collapse(products: TestClient) -> None:
    document = products.get("/openapi.json").json()
    body = document["paths"]["/search"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "best variant of each product" in body["properties"]["collapse"]["description"]
    similar = document["paths"]["/items/{item_id}/similar"]["get"]["parameters"]
    assert any(parameter["name"] == "collapse" and parameter["description"] for parameter in similar)


@pytest.mark.slow
def test_a_card_shows_the_number_of_variants_and_opens_them(page: Page, address: str) -> None:
    found = search(page, address, "cotton shirt")
    assert len(found) == 13
    card = page.locator(".card[data-item^=p03]")
    expect(card).to_contain_text("4 variants")
    expect(page.locator(".card[data-item=single]")).not_to_contain_text("variants")
    save_screenshot(page, "products-1280-light")
    card.get_by_role("button", name="Show the 4 variants of cotton shirt 3").click()
    page.wait_for_url("**group_id**")
    assert sorted(cards(page)) == sorted(f"p03-{color}" for color in COLORS)
    save_screenshot(page, "products-one-1280-light")
    page.go_back()
    expect(page.locator(".card[data-item]")).to_have_count(13)


@pytest.mark.slow
def test_the_filters_switch_to_every_variant(page: Page, address: str) -> None:
    assert len(search(page, address, "cotton shirt")) == 13
    page.get_by_role("button", name="Filters").click()
    expect(page.locator("#collapse option").first).to_have_text("one per product")
    with page.expect_request("**/search") as sent:
        page.get_by_label("Group results").select_option("every variant")
    assert (sent.value.post_data_json or {})["collapse"] == "none"
    expect(page.locator(".card[data-item]")).to_have_count(24)  # a page of all
    assert "collapse=none" in page.url
    page.reload()
    cards(page)
    expect(page.locator("#collapse")).to_have_value("none")
    save_screenshot(page, "products-every-variant-1280-light")


@pytest.mark.slow
def test_a_slate_has_one_card_of_each_product_and_a_switch(page: Page, address: str) -> None:
    page.goto(f"{address}/#/slate?history=p01-Red&k=12&explore=0")
    shown = cards(page)
    assert len({item_id.partition("-")[0] for item_id in shown}) == len(shown)
    expect(page.locator(".card[data-item^=p]").first).to_contain_text("4 variants")
    save_screenshot(page, "products-slate-1280-light")
    with page.expect_request("**/recommend") as sent:
        page.get_by_label("Group items").select_option("every variant")
        page.get_by_role("button", name="Make a slate").click()
    assert (sent.value.post_data_json or {})["collapse"] == "none"
    assert "collapse=none" in page.url
