"""Videos on the page: their shape, previews, moments and products on a timeline, one player at a time, keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.service.service_settings import ServiceSettings
from tests.conftest import SAMPLE_CATALOGUE
from tests.media.streams import write_clip
from tests.service.gallery.browser import cards, new_page, save_screenshot, serve_in_thread, wait_until_idle
from tests.service.gallery.test_page_views import axe, serious

PICTURES = SAMPLE_CATALOGUE.parent / "pictures"


@pytest.fixture(scope="module")
def videos(sample_db: Path, starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sample items and a vertical video: four seconds of grapes, four of a lemon, with their products."""
    folder = tmp_path_factory.mktemp("videos")
    db = Path(shutil.copytree(sample_db, folder / "db"))
    stills = []
    for name in ("grapes.jpg", "lemon.jpg"):
        still = Image.new("RGB", (270, 480), "white")
        still.paste(Image.open(PICTURES / name).convert("RGB").resize((270, 270)), (0, 105))
        stills.append(still)
    write_clip(folder / "tall.webm", [stills[0]] * 40 + [stills[1]] * 40, key_every=10, container="matroska")
    row = {"item_id": "tall", "kind": "video", "title": "Grapes, then a lemon", "videos": "tall.webm"}
    opened = firstsight.open(db, encoder=starter)
    opened.indexing.add([row | {"timed_products": "grapes@0:00-0:04; lemon@0:04-0:08"}], root=folder)
    with serve_in_thread(ServiceSettings(db=str(db), encoder=starter)) as address:
        yield address


def open_search(page: Page, address: str, text: str) -> None:
    page.goto(f"{address}/#/search?q={text}&kind=video")
    cards(page)
    wait_until_idle(page)


def test_a_vertical_video_has_a_tall_card_and_nothing_moves(page: Page, videos: str) -> None:
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((e) => {"
        " if (!e.hadRecentInput) window.shift += e.value; })).observe({ type: 'layout-shift', buffered: true });"
    )
    open_search(page, videos, "fresh+lemon")
    page.reload()  # the service has decoded the pictures now, so they come in time
    cards(page)
    wait_until_idle(page)
    stage = page.locator('[data-item="tall"] .stage')
    box = stage.bounding_box()
    assert box is not None
    assert box["height"] / box["width"] == pytest.approx(480 / 270, rel=0.02)
    assert page.evaluate("window.shift") < 0.01
    save_screenshot(page, "videos-1280-light")


def test_a_preview_plays_on_hover_and_on_keyboard_focus_one_at_a_time(page: Page, videos: str) -> None:
    open_search(page, videos, "fresh+lemon")
    first = page.locator('[data-item="tall"]')
    other = page.locator(".card[data-item]:not([data-item=tall])").first
    first.locator(".stage").hover()
    preview = page.locator(".preview")
    expect(preview).to_have_count(1)
    page.wait_for_function("() => document.querySelector('.preview')?.currentTime >= 3.5")  # where the lemon is
    assert preview.evaluate("video => video.muted && !video.controls")
    other.locator(".shot").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(other.locator(".preview")).to_have_count(1)
    expect(first.locator(".preview")).to_have_count(0)


def test_nothing_plays_on_hover_with_reduced_motion(page: Page, videos: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_search(page, videos, "fresh+lemon")
    page.locator('[data-item="tall"] .stage').hover()
    page.wait_for_timeout(600)
    expect(page.locator("video")).to_have_count(0)


def test_the_timeline_seeks_and_one_video_plays_at_a_time(page: Page, videos: str) -> None:
    open_search(page, videos, "fresh+lemon")
    tall = page.locator('[data-item="tall"]')
    tall.locator(".play").click()
    products = tall.locator(".timeline .product .chip")
    assert [text.split(" ", 3)[-1] for text in products.all_text_contents()] == [
        "Bunch of green grapes",
        "Fresh lemon with a leaf",
    ]
    assert tall.locator(".timeline .moment .chip").count() >= 1
    products.nth(0).click()
    page.wait_for_function("() => document.querySelector('[data-item=tall] video').currentTime < 3")
    save_screenshot(page, "timeline-1280-light")
    other = page.locator(".card[data-item]:not([data-item=tall])").first
    other.locator(".play").click()
    expect(tall.locator("video")).to_have_js_property("paused", True)
    expect(other.locator("video")).to_have_js_property("paused", False)
    products.nth(1).get_by_text("0:04").click()
    page.wait_for_function("() => document.querySelector('[data-item=tall] video').currentTime >= 4")
    expect(other.locator("video")).to_have_js_property("paused", True)


def test_keys_seek_and_pause_the_focused_player(page: Page, videos: str) -> None:
    open_search(page, videos, "fresh+lemon")
    tall = page.locator('[data-item="tall"]')
    tall.locator(".play").click()
    video = tall.locator("video")
    expect(video).to_be_focused()
    expect(video).to_have_js_property("paused", False)  # a video whose autoplay is yet to begin counts as paused
    page.keyboard.press("k")
    expect(video).to_have_js_property("paused", True)
    for key, expected in (("j", 0), ("ArrowRight", 5), ("ArrowLeft", 0), ("l", 8)):
        page.keyboard.press(key)
        assert video.evaluate("video => video.currentTime") == pytest.approx(expected, abs=0.3), key


def test_a_products_details_open_the_video_at_its_second(browser: Browser, videos: str) -> None:
    with new_page(browser, dark=True) as page:
        page.goto(f"{videos}/#/search?q=fresh+lemon+with+a+leaf&kind=product")
        cards(page)
        page.locator('[data-item="lemon"] .shot').click()
        details = page.locator("#details")
        details.locator(".seen button").filter(has_text="Grapes, then a lemon").click()
        expect(details.get_by_role("heading", level=2)).to_have_text("Grapes, then a lemon")
        page.wait_for_function("() => document.querySelector('#details video')?.currentTime >= 4")
        assert details.locator(".timeline li.product").count() == 2
        save_screenshot(page, "video-details-1280-dark")
        details.locator(".timeline").get_by_role("button", name="Open Fresh lemon with a leaf").click()
        expect(details.get_by_role("heading", level=2)).to_have_text("Fresh lemon with a leaf")


def test_axe_finds_nothing_serious_in_players_and_timelines(browser: Browser, videos: str) -> None:
    source = axe().read_text(encoding="utf-8")
    for width, dark in ((1280, False), (390, True)):
        with new_page(browser, width=width, height=900, dark=dark) as page:
            page.emulate_media(reduced_motion="reduce", color_scheme="dark" if dark else "light")
            open_search(page, videos, "fresh+lemon")
            page.locator('[data-item="tall"] .play').click()
            page.evaluate(source)
            assert serious(page, "{ resultTypes: ['violations'] }") == [], width
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator(".card .shot").first.click()
            page.locator("#details .similar button").first.wait_for()
            wait_until_idle(page)
            assert serious(page, "{ resultTypes: ['violations'] }") == [], width
            save_screenshot(page, f"video-details-{width}-{'dark' if dark else 'light'}")
