"""Slates, map, failures and review in a real browser; API keys, phones and accessibility of every view."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from firstsight.encoders.base import Encoder
from firstsight.service.api_keys import KeyFile
from firstsight.service.service_settings import ServiceSettings
from tests.service.gallery.browser import (
    ROOT,
    cards,
    new_page,
    save_screenshot,
    search,
    serve_in_thread,
    wait_until_idle,
)

pytestmark = pytest.mark.slow


# ---- slate, map, failures


def test_a_slate_tells_the_interest_of_each_item_and_which_slots_explore(page: Page, address: str) -> None:
    page.goto(f"{address}/#/slate")
    page.get_by_label("and a history").fill("guitar-acoustic, hiking-boot")
    page.get_by_role("slider", name="Explore").fill("0.5")
    page.get_by_role("button", name="Make a slate").click()
    expect(page.locator(".interests")).to_contain_text("2 events in the history")
    expect(page.locator(".interests button").first).to_contain_text("recent interest")
    reasons = page.locator(".card .why").filter(has_text="because of")
    expect(reasons.filter(has_text="Brown leather hiking boot").first).to_be_visible()
    assert page.locator(".card.explores .source").first.inner_text().startswith("exploring")
    save_screenshot(page, "slate-1280-light")
    page.get_by_label("User").fill("nobody")
    page.get_by_label("and a history").fill("no-such-item")
    page.get_by_role("button", name="Make a slate").click()
    expect(page.locator(".empty")).to_contain_text("no-such-item")


def test_the_map_shows_a_picture_on_hover_and_opens_by_key(page: Page, address: str) -> None:
    page.goto(f"{address}/#/map")
    expect(page.get_by_label("Coloured by")).to_have_value("category", timeout=60_000)
    wait_until_idle(page)
    canvas = page.locator(".map canvas")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip img:not(.waits)")).to_be_visible()
    told = page.locator(".tip b").inner_text()
    save_screenshot(page, "map-1280-light")
    spot = page.locator(".tip").bounding_box()
    assert spot is not None
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip b")).not_to_have_text(told)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Coloured by").select_option("kind")
    expect(page.locator(".legend")).to_contain_text("live")


def test_a_rough_map_is_there_until_the_finer_one_is(page: Page, address: str) -> None:
    held: list[Route] = []
    page.route(re.compile(r"/map\?sample=2000$"), lambda route: held.append(route))
    page.goto(f"{address}/#/map")
    status = page.get_by_role("status").filter(has_text="items;")
    expect(status).to_contain_text("a rough map", timeout=60_000)
    expect(page.locator(".legend")).to_contain_text("shoes")
    page.get_by_label("Coloured by").select_option("kind")
    page.locator(".map canvas").focus()
    page.keyboard.press("ArrowRight")
    held[0].continue_()
    expect(status).to_contain_text("similar items are close together", timeout=60_000)
    expect(page.get_by_label("Coloured by")).to_have_value("kind")
    expect(page.locator(".tip")).to_be_visible()  # it went along with its point


def test_the_pointer_finds_the_point_below_it(page: Page, address: str) -> None:
    page.goto(f"{address}/#/map")
    expect(page.get_by_label("Coloured by")).to_have_value("category", timeout=60_000)
    wait_until_idle(page)  # t-SNE has come
    made = httpx.get(f"{address}/map?sample=2000", timeout=60).json()
    # the point that lies furthest to the left has no other below it
    x, y, item_id, title, _ = min(made["points"])
    box = page.locator(".map canvas").bounding_box()
    assert box is not None
    wide, tall = min(box["width"] * 0.94, box["height"] * 0.94 * 1.6), min(box["height"] * 0.94, box["width"] * 0.94)
    left, top = box["x"] + box["width"] / 2 + (x - 0.5) * wide, box["y"] + box["height"] / 2 - (y - 0.5) * tall
    page.mouse.move(left, top)
    expect(page.locator(".tip b")).to_have_text(title)
    page.mouse.click(left, top)
    expect(page.get_by_role("dialog")).to_contain_text(item_id)


def test_an_older_answer_never_replaces_a_newer_one(page: Page, address: str) -> None:
    held: list[Route] = []
    page.route("**/recommend", lambda route: held.append(route) if not held else route.continue_())
    page.goto(f"{address}/#/slate?k=3")
    page.get_by_label("Slots").fill("5")
    page.get_by_role("button", name="Make a slate").click()
    expect(page.locator(".card[data-item]")).to_have_count(5)
    held[0].continue_()
    page.wait_for_timeout(300)
    assert page.locator(".card[data-item]").count() == 5


def test_failures_tell_why(page: Page, address: str) -> None:
    page.goto(f"{address}/#/failures")
    row = page.locator("tbody tr")
    expect(row).to_contain_text("pictures/broken-teapot.jpg")
    expect(row).to_contain_text("corrupt")
    save_screenshot(page, "failures-1280-light")
    page.get_by_role("link", name="corrupt 1").click()
    expect(page.get_by_role("link", name="corrupt 1")).to_have_attribute("aria-current", "true")


# ---- review


def decision(address: str, item: str) -> str:
    told: str = httpx.get(f"{address}/safety/items/{item}").json()["decision"]
    return told


def test_a_decision_by_key_and_taken_back(page: Page, address: str) -> None:
    page.goto(f"{address}/#/review")
    heading = page.locator(".judge h2")
    expect(heading).to_have_text("Red running shoes with black laces")  # an appeal comes first
    expect(page.locator(".judge blockquote")).to_have_text("These are shoes, nothing else.")
    expect(page.locator(".views img").first).to_have_css("filter", re.compile("blur"))  # until asked for
    save_screenshot(page, "review-1280-light")
    page.keyboard.press("Space")
    expect(page.locator(".views img").first).to_have_css("filter", "none")
    page.keyboard.press("j")
    expect(heading).not_to_have_text("Red running shoes with black laces")
    expect(page.locator(".views img").first).to_have_css("filter", re.compile("blur"))  # the next is blurred again
    page.keyboard.press("k")
    page.keyboard.press("1")
    expect(page.get_by_role("radio", name="Weapons")).to_be_checked()
    page.keyboard.press("a")
    expect(page.locator(".toast").first).to_contain_text("Allowed: Red running shoes")
    assert decision(address, "sneakers-red") == "allow"
    page.keyboard.press("u")
    expect(heading).to_have_text("Red running shoes with black laces")
    assert decision(address, "sneakers-red") == "review"
    page.keyboard.press("b")
    expect(page.locator(".toast").filter(has_text="Blocked")).to_be_visible()
    assert decision(address, "sneakers-red") == "block"
    told = httpx.get(f"{address}/safety/items/sneakers-red").json()["history"]
    assert any("taken back" in json.dumps(entry) for entry in told)


def test_pictures_in_review_are_blurred_in_search(page: Page, address: str) -> None:
    search(page, address, "acoustic guitar")
    card = page.locator('[data-item="guitar-acoustic"]')
    expect(card.locator("img")).to_have_css("filter", re.compile("blur"))
    card.get_by_role("button", name="In review: show").click()
    expect(card.locator("img")).to_have_css("filter", "none")


def test_pictures_in_review_are_blurred_beside_other_items_and_in_slates(page: Page, address: str) -> None:
    blurred = re.compile("blur")
    page.goto(f"{address}/#/search?item=guitar-acoustic")
    cards(page)
    expect(page.locator(".chosen img")).to_have_css("filter", blurred)
    page.locator('[data-item="guitar-electric"] .shot').click()
    beside = page.get_by_role("dialog").get_by_label("Open Acoustic guitar with steel strings")
    expect(beside.locator("img")).to_have_css("filter", blurred)
    other = page.get_by_role("dialog").get_by_label("Open Light blue bass guitar")
    expect(other.locator("img")).to_have_css("filter", "none")
    page.goto(f"{address}/#/slate?history=guitar-electric&k=100&explore=0")
    expect(page.locator('[data-item="guitar-acoustic"] img')).to_have_css("filter", blurred)
    page.goto(f"{address}/#/slate?history=guitar-electric,guitar-acoustic&k=100&explore=0")
    expect(page.locator(".interests button", has_text="Acoustic guitar").locator("img").first).to_have_css(
        "filter", blurred
    )


def test_the_next_item_has_the_focus_once_one_was_decided(page: Page, address: str) -> None:
    page.goto(f"{address}/#/review")
    page.locator(".judge h2").wait_for()
    page.keyboard.press("j")
    before = page.locator(".judge h2").inner_text()
    page.get_by_role("button", name="Allow").click()
    expect(page.locator(".judge h2")).not_to_have_text(before)
    expect(page.locator(".judge h2")).to_be_focused()
    page.keyboard.press("u")
    expect(page.locator(".judge h2")).to_have_text(before)


def test_typing_a_reason_decides_nothing(page: Page, address: str) -> None:
    page.goto(f"{address}/#/review")
    reason = page.get_by_label("Reason, for the audit log")
    reason.fill("")
    before = page.locator(".queue li").count()
    reason.press_sequentially("bad ajk")
    expect(reason).to_have_value("bad ajk")
    assert page.locator(".queue li").count() == before
    assert page.locator(".toast").count() == 0


# ---- keys, phones, accessibility


def test_a_service_with_keys_asks_for_one_and_keeps_it_from_scripts(
    browser: Browser, sample_db: Path, starter: Encoder, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    _, token = keys.add("ann", ["read"])
    with (
        serve_in_thread(ServiceSettings(db=str(sample_db), encoder=starter, keys=tmp_path / "keys.json")) as address,
        new_page(browser) as page,
    ):
        page.goto(f"{address}/#/search?q=red+running+shoes")
        page.get_by_label("API key").fill("fs_wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#sign-in .wrong")).to_contain_text("not known")
        page.get_by_label("API key").fill(token)
        page.keyboard.press("Enter")
        assert "sneakers-red" in cards(page)
        wait_until_idle(page)
        assert page.locator(".card .no-picture").count() == 0
        kept = page.evaluate("JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])")
        assert token not in kept
        page.goto(f"{address}/#/review")
        expect(page.locator(".empty")).to_contain_text("scope moderate")


VIEWS = {  # with what says that it is there
    "search": ("#/search?q=red+running+shoes&minus=hat", ".card[data-item]"),
    "slate": ("#/slate?history=guitar-acoustic", ".card[data-item]"),
    "map": ("#/map", ".legend li"),
    "review": ("#/review", ".views img:not(.waits)"),
    "failures": ("#/failures", "tbody tr"),
}


def open_view(page: Page, address: str, view: str) -> None:
    path, there = VIEWS[view]
    page.goto(f"{address}/{path}")
    page.locator(there).first.wait_for(timeout=60_000)
    wait_until_idle(page)


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, address: str) -> None:
    with new_page(browser, width=390, height=844, dark=True) as page:
        for view in VIEWS:
            open_view(page, address, view)
            save_screenshot(page, f"{view}-390-dark")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, view


def test_on_a_phone_a_videos_details_fit_and_it_plays_from_its_second(browser: Browser, address: str) -> None:
    with new_page(browser, width=390, height=844) as page:
        page.goto(f"{address}/#/search?q=fresh+grapes&kind=video&part=frame")
        cards(page)
        page.locator(".card .shot").first.tap()
        page.locator(".similar button").first.wait_for()
        sheet = page.locator("#details")
        assert sheet.evaluate("one => one.scrollWidth <= one.clientWidth")
        page.get_by_role("button", name=re.compile("Play from 0:0[1-9]")).first.tap()  # asked for: motion is wanted
        page.wait_for_function("() => !document.querySelector('#details video').paused")
        assert page.locator("#details video").evaluate("video => video.currentTime") >= 1


def test_on_a_phone_a_touched_point_keeps_its_hint_and_the_page_scrolls_on(browser: Browser, address: str) -> None:
    with new_page(browser, width=390, height=844) as page:
        page.goto(f"{address}/#/map")
        page.locator(".legend li").first.wait_for(timeout=60_000)
        wait_until_idle(page)
        canvas = page.locator(".map canvas")
        expect(canvas).to_have_css("touch-action", "pan-y")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        hint = page.locator(".tip")
        for key in ("ArrowLeft",) * 8 + ("ArrowRight",) * 16:
            page.keyboard.press(key)
            assert hint.evaluate(
                "tip => tip.offsetLeft >= 0 && tip.offsetLeft + tip.offsetWidth <= tip.parentElement.clientWidth"
            )
        made = httpx.get(f"{address}/map?sample=2000", timeout=60).json()
        # a point that no other covers
        points = [point[:4] for point in made["points"]]
        x, y, _, title = min(
            one
            for one in points
            if all(abs(one[0] - x) + abs(one[1] - y) > 0.05 for x, y, *_ in points if [x, y] != one[:2])
        )
        box = canvas.bounding_box()
        assert box is not None
        wide, tall = (
            min(box["width"] * 0.94, box["height"] * 0.94 * 1.6),
            min(box["height"] * 0.94, box["width"] * 0.94),
        )
        left, top = box["x"] + box["width"] / 2 + (x - 0.5) * wide, box["y"] + box["height"] / 2 - (y - 0.5) * tall
        page.touchscreen.tap(left, top)
        expect(hint.locator("b")).to_have_text(title)
        page.wait_for_timeout(200)
        expect(hint).to_be_visible()
        page.get_by_role("button", name="Zoom in").tap()
        expect(canvas).to_have_css("touch-action", "none")


def test_on_a_phone_the_decisions_are_in_reach(browser: Browser, address: str) -> None:
    with new_page(browser, width=390, height=844) as page:
        open_view(page, address, "review")
        expect(page.get_by_role("button", name="Block")).to_be_in_viewport(ratio=1)


def axe() -> Path:
    """Where axe-core lies; `npm pack axe-core@4` and unpacking it brings it."""
    named = os.environ.get("AXE_CORE")
    found = Path(named) if named else ROOT / "build" / "axe-core" / "package" / "axe.min.js"
    if not found.is_file():
        pytest.skip(f"axe-core is not at {found}; npm pack axe-core@4, unpack it there, or name it in $AXE_CORE")
    return found


def test_axe_finds_nothing_serious_in_light_or_dark(browser: Browser, address: str) -> None:
    source = axe().read_text(encoding="utf-8")
    with new_page(browser) as page:
        for view in VIEWS:
            # colours that are on their way say nothing
            page.emulate_media(color_scheme="light", reduced_motion="reduce")
            open_view(page, address, view)
            if view == "search":
                page.get_by_role("button", name="Filters").click()
            # evaluated by the browser's debugger, which the page's policy does not bind
            page.evaluate(source)
            assert serious(page, "{ resultTypes: ['violations'] }") == [], view
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            save_screenshot(page, f"{view}-1280-dark")
            assert serious(page, "{ runOnly: ['color-contrast'] }") == [], view


def test_axe_finds_nothing_serious_on_a_phone_in_dialogs_or_without_a_picture(browser: Browser, address: str) -> None:
    source = axe().read_text(encoding="utf-8")
    with new_page(browser, width=390, height=844) as page:
        page.goto(f"{address}/#/search?q=blue+teapot")
        expect(page.locator('[data-item="teapot-blue"] .no-picture')).to_be_attached()
        wait_until_idle(page)
        page.evaluate(source)
        assert serious(page, "{ resultTypes: ['violations'] }") == []
        page.locator(".card .shot").nth(1).tap()
        page.locator(".similar button").first.wait_for()
        wait_until_idle(page)
        assert serious(page, "{ resultTypes: ['violations'] }") == []
        page.keyboard.press("Escape")
        page.locator("#keys").tap()
        assert serious(page, "{ resultTypes: ['violations'] }") == []


def serious(page: Page, options: str) -> list[str]:
    """What axe-core holds for serious or critical."""
    found = page.evaluate(f"axe.run(document, {options})")
    assert found["passes"]
    return [
        f"{one['id']}: {[node['target'] for node in one['nodes']][:4]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
