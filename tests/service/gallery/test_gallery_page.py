"""The page as people use it, in a real browser over the real sample database."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from firstsight.encoders.base import Encoder
from firstsight.service.api_keys import KeyFile
from firstsight.service.service_settings import ServiceSettings
from tests.conftest import SAMPLE_CATALOGUE
from tests.service.gallery.browser import ROOT, chromium, new_page, save_screenshot, serve_in_thread, wait_until_idle

pytestmark = pytest.mark.slow

QUERIES = SAMPLE_CATALOGUE.parent / "queries"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(sample_db: Path, starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over a copy of the sample database, scored, with two items in review by hand and one appeal."""
    db = Path(shutil.copytree(sample_db, tmp_path_factory.mktemp("page") / "db"))
    with serve_in_thread(ServiceSettings(db=str(db), encoder=starter)) as address:
        with httpx.Client(base_url=address, timeout=60) as client:
            post(client, "/safety/score", {})
            for item, action in [("video-cat", "review"), ("guitar-acoustic", "review"), ("sneakers-red", "block")]:
                decision = {"action": action, "policies": ["tobacco"], "reason": "looks odd"}
                post(client, f"/safety/items/{item}/decision", decision)
            post(client, "/safety/items/sneakers-red/appeal", {"reason": "These are shoes, nothing else."})
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with new_page(browser) as page:
        yield page


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def cards(page: Page) -> list[str]:
    """Ids of the items on the page, once they have come."""
    page.locator(".grid:not([aria-busy]) .card[data-item]").first.wait_for()
    return [str(card.get_attribute("data-item")) for card in page.locator(".card[data-item]").all()]


def search(page: Page, address: str, text: str) -> list[str]:
    page.goto(address)
    page.get_by_label("Words to search by").fill(text)
    page.keyboard.press("Enter")
    return cards(page)


def ask(page: Page, what: str) -> dict[str, Any]:
    """Do something on the page that searches; the query that it sent."""
    with page.expect_request("**/search") as sent:
        page.locator(what).click()
    body: dict[str, Any] = sent.value.post_data_json or {}
    cards(page)
    return body


def drop(page: Page, path: Path) -> None:
    """Drop a picture file on the page, as a browser tells it."""
    page.evaluate(
        """async ([data, name]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], name, { type: 'image/jpeg' }));
            const tell = (kind) => document.body.dispatchEvent(
                new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
            tell('dragenter');
            if (document.getElementById('drop').hidden) throw new Error('nothing says where to drop');
            tell('dragover');
            tell('drop');
        }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name],
    )


# ---- search


def test_search_by_text_shows_the_items_with_what_matched(page: Page, address: str) -> None:
    found = search(page, address, "blue running shoes")
    assert found[0] == "sneakers-sky"
    first = page.locator(".card").first
    expect(first).to_contain_text("Sky blue running shoes")
    expect(first.locator(".why").first).to_contain_text(re.compile(r"\d+%.*(title|picture) · 0\.\d\d"))
    expect(first.locator("img")).to_have_js_property("complete", True)
    assert "q=blue+running+shoes" in page.url
    save_screenshot(page, "search-1280-light")
    page.reload()
    assert cards(page) == found  # a search can be sent on as an address


def test_search_by_a_dropped_picture(page: Page, address: str) -> None:
    page.goto(address)
    drop(page, QUERIES / "guitar.jpg")
    assert "guitar" in cards(page)[0]
    expect(page.locator(".chosen .chip")).to_contain_text("guitar.jpg")


def test_search_by_a_pasted_picture(page: Page, address: str) -> None:
    page.goto(f"{address}/#/failures")
    page.evaluate(
        """([data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const carried = new DataTransfer();
            carried.items.add(new File([bytes], 'image.png', { type: 'image/jpeg' }));
            document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: carried, bubbles: true }));
        }""",
        [base64.b64encode((QUERIES / "guitar.jpg").read_bytes()).decode()],
    )
    assert "guitar" in cards(page)[0]  # from any view


def test_search_by_a_chosen_file(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Pictures to search by").set_input_files(QUERIES / "guitar.jpg")
    assert "guitar" in cards(page)[0]


def test_what_is_no_picture_is_named(page: Page, address: str, tmp_path: Path) -> None:
    page.goto(address)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    page.get_by_label("Pictures to search by").set_input_files(broken)
    expect(page.locator(".toast")).to_contain_text("cannot read broken.jpg as a picture")


def test_kinds_and_columns_filter(page: Page, address: str) -> None:
    search(page, address, "music")
    page.get_by_label("video", exact=True).check(force=True)
    expect(page.locator(".card .kind").first).to_have_text("video")
    assert all(item.startswith("video-") for item in cards(page))
    page.get_by_label("video", exact=True).uncheck(force=True)
    page.get_by_role("button", name="Filters").click()
    page.locator("#facet-category").select_option("shoes")
    expect(page.locator(".grid:not([aria-busy]) .facts").first).to_contain_text("shoes")
    page.get_by_label("Condition (SQL over the columns)").fill("price < 58")
    page.keyboard.press("Enter")
    expect(page.locator('[data-item="sneakers-green"]')).to_be_visible()
    expect(page.locator('[data-item="sneakers-sky"]')).to_have_count(0)
    expect(page.locator(".count")).to_have_text("2")
    page.get_by_label("Condition (SQL over the columns)").fill("nothing =")
    page.keyboard.press("Enter")
    expect(page.locator(".grid .empty")).to_contain_text("The search failed")


def test_more_like_this_combine_and_minus(page: Page, address: str) -> None:
    search(page, address, "guitar")
    like = ask(page, '[data-item="guitar-electric"] [aria-label^="More like"]')
    assert (like["items"], like.get("text")) == (["guitar-electric"], None)
    assert "guitar-electric" not in cards(page)

    page.get_by_label("Words to search by").fill("wood")
    page.keyboard.press("Enter")
    second = cards(page)[1]
    both = ask(page, f'[data-item="{second}"] [aria-label^="Combine"]')
    assert (both["text"], both["items"]) == ("wood", ["guitar-electric", second])

    page.get_by_label("What to exclude").fill("violin")
    with page.expect_request("**/search") as sent:
        page.keyboard.press("Enter")
    assert (sent.value.post_data_json or {})["minus"] == ["violin"]
    third = cards(page)[2]
    less = ask(page, f'[data-item="{third}"] [aria-label^="Less like"]')
    assert less["minus_images"][0].startswith("data:image/jpeg;base64,")
    expect(page.locator(".chosen .chip.minus")).to_have_count(2)
    save_screenshot(page, "combined-1280-light")
    fewer = ask(page, '[aria-label="Remove excluded violin"]')
    assert fewer["minus"] == []


def test_results_come_page_by_page_from_one_ranking(page: Page, address: str) -> None:
    first = search(page, address, "red")
    assert len(first) == 24
    more = ask(page, ".more")
    assert more["offset"] == 24
    assert more["snapshot"]
    every = cards(page)
    assert every[:24] == first
    assert len(every) == len(set(every)) == 48


def test_a_video_plays_from_the_second_that_matched(page: Page, address: str) -> None:
    page.goto(f"{address}/#/search?q=fresh+grapes&kind=video&part=frame")
    assert cards(page)[0] == "video-kitchen-haul"
    button = page.locator(".card").first.locator(".play")
    seconds = int(str(button.inner_text()).split(":")[1])
    assert seconds > 0
    with page.expect_response(re.compile(r"/media/.*%23frame.*/file")) as answer:
        button.click()
    assert answer.value.status in (200, 206)
    video = page.locator(".card video").first
    page.wait_for_function(
        "() => { const v = document.querySelector('.card video'); return v && v.readyState >= 2 && !v.seeking; }"
    )
    assert seconds <= video.evaluate("video => video.currentTime") < seconds + 3
    save_screenshot(page, "video-1280-light")


def test_details_show_views_columns_and_what_is_next_to_it(page: Page, address: str) -> None:
    search(page, address, "sky blue running shoes")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Open Sky blue running shoes with black laces").first.focus()
    page.keyboard.press("Enter")
    details = page.get_by_role("dialog")
    expect(details.get_by_role("heading", level=2)).to_have_text("Sky blue running shoes with black laces")
    expect(details.locator("dl")).to_contain_text("59.9")
    expect(details.locator(".similar button").first).to_be_visible()
    save_screenshot(page, "details-1280-light")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)


def test_a_title_is_never_read_as_markup(page: Page, address: str) -> None:
    page.goto(f"{address}/#/search?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&minus=%3Cb%3Ebold%3C%2Fb%3E")
    cards(page)
    expect(page.locator(".chosen .chip.minus")).to_contain_text("<b>bold</b>")
    assert page.locator(".chosen b b, main img[src='x']").count() == 0


def test_a_minus_before_a_word_excludes_it(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Words to search by").fill('t-shirt -red -"with a band"')
    with page.expect_request("**/search") as sent:
        page.keyboard.press("Enter")
    body = sent.value.post_data_json or {}
    assert (body["text"], body["minus"]) == ("t-shirt", ["red", "with a band"])
    expect(page.get_by_label("Words to search by")).to_have_value("t-shirt")
    expect(page.locator(".chosen .chip.minus")).to_have_count(2)
    assert "minus=red&minus=with+a+band" in page.url


def test_back_and_forward_bring_each_search_with_its_pictures(page: Page, address: str) -> None:
    words = search(page, address, "pouring tea")
    drop(page, QUERIES / "guitar.jpg")
    expect(page.locator(".chosen .chip")).to_contain_text("guitar.jpg")
    both = cards(page)
    page.get_by_label("Remove guitar.jpg").click()
    expect(page.locator(".chosen .chip")).to_have_count(0)
    page.go_back()
    expect(page.locator(".chosen .chip")).to_contain_text("guitar.jpg")
    assert cards(page) == both
    page.get_by_role("link", name="Failures").click()
    page.get_by_role("link", name="Search", exact=True).click()  # leads back to what was there
    expect(page.locator(".chosen .chip")).to_contain_text("guitar.jpg")
    assert cards(page) == both
    for _ in range(3):
        page.go_back()
    expect(page.locator(".chosen .chip")).to_have_count(0)
    assert cards(page) == words
    assert page.title() == "pouring tea · firstsight"


def test_an_address_keeps_all_of_its_filters(page: Page, address: str) -> None:
    with page.expect_request("**/search") as sent:
        page.goto(f"{address}/#/search?q=shoes&collapse=category&is=color%3Dred&least=0.05")
    body = sent.value.post_data_json or {}
    assert (body["collapse"], body["where"], body["min_relevance"]) == ("category", "color = 'red'", 0.05)
    cards(page)
    page.get_by_role("button", name="Filters").click()
    with page.expect_request("**/search") as sent:
        page.get_by_role("button", name="Clear the filters").click()
    assert not {"collapse", "where", "min_relevance"} & (sent.value.post_data_json or {}).keys()


def test_a_service_that_does_not_answer_is_told_and_asked_again(page: Page, address: str) -> None:
    page.goto(address)
    page.route("**/search", lambda route: route.abort("connectionrefused"))
    page.get_by_label("Words to search by").fill("shoes")
    page.keyboard.press("Enter")
    expect(page.locator(".grid .empty")).to_contain_text("The service does not answer")
    page.unroute("**/search")
    page.get_by_role("button", name="Try again").click()
    assert cards(page)


def test_what_was_found_stays_until_the_next_is_there(page: Page, address: str) -> None:
    found = search(page, address, "red running shoes")
    held: list[Route] = []
    page.route("**/search", lambda route: held.append(route))
    page.get_by_label("Words to search by").fill("guitar")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Searching…")).to_be_visible()
    assert [card.get_attribute("data-item") for card in page.locator(".card").all()] == found
    held[0].continue_()
    assert cards(page) != found


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
    page.goto(f"{address}/#/slate?history=guitar-electric,guitar-acoustic&k=100&explore=0")
    expect(page.locator('[data-item="video-cat"] img')).to_have_css("filter", blurred)
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
        x, y, _, title, _ = min(made["points"])
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
