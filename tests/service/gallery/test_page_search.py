"""The search view as people use it, in a real browser over the real sample database."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import SAMPLE_CATALOGUE
from tests.service.gallery.browser import cards, save_screenshot, search

pytestmark = pytest.mark.slow

QUERIES = SAMPLE_CATALOGUE.parent / "queries"


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


def test_a_dropped_picture_of_an_item_shows_it_first_and_the_part_can_be_chosen(page: Page, address: str) -> None:
    page.goto(address)
    with page.expect_request("**/search") as sent:
        drop(page, SAMPLE_CATALOGUE.parent / "pictures" / "bass-guitar.jpg")
    assert "part" not in (sent.value.post_data_json or {})
    assert cards(page)[0] == "bass-guitar"
    expect(page.locator(".card").first.locator(".why").first).to_contain_text(re.compile(r"picture · (1\.00|0\.9\d)"))
    page.get_by_role("button", name="Filters").click()
    with page.expect_request("**/search") as sent:
        page.get_by_label("Compare with").select_option("item")
    assert (sent.value.post_data_json or {})["part"] == "item"
    assert "part=item" in page.url


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


def test_chips_with_counts_filter_and_are_in_the_address(page: Page, address: str) -> None:
    search(page, address, "shoes")
    colour = page.get_by_role("group", name="Colour")
    red = colour.get_by_role("button", name=re.compile(r"^red \d+$"))
    count = int(red.inner_text().split()[-1])
    with page.expect_request("**/search") as sent:
        red.click()
    assert (sent.value.post_data_json or {})["where"] == "colour = 'red'"
    assert len(cards(page)) <= count
    expect(red).to_have_attribute("aria-pressed", "true")
    expect(red).to_be_focused()
    assert "fact=colour%3Dred" in page.url
    save_screenshot(page, "chips-1280-light")
    with page.expect_request("**/search") as sent:
        page.goto(f"{address}/#/search?q=shoes&unknown=colour&fact=tags.category%3Dmen%27s")
    assert (sent.value.post_data_json or {})["where"].startswith("(tags.category = 'men''s' OR ")
    assert (sent.value.post_data_json or {})["where"].count("colour IS NULL") == 1


def test_a_tag_is_corrected_by_key_and_shown_at_once(page: Page, address: str) -> None:
    httpx.put(f"{address}/items/sneakers-sky/tags/room", json={"values": ["Kitchen"]}).raise_for_status()
    search(page, address, "sky blue running shoes")
    page.get_by_role("button", name="Open Sky blue running shoes with black laces").first.focus()
    page.keyboard.press("t")
    details = page.get_by_role("dialog")
    right = details.get_by_role("combobox", name="Right Room")
    expect(right).to_be_focused()
    expect(details.locator(".item-facts")).to_contain_text("English")
    expect(details.locator(".hexes code").first).to_have_text(re.compile("^#[0-9a-f]{6}$"))
    right.press_sequentially("Hall")
    page.keyboard.press("Enter")
    tag = details.locator('[data-tag="room"]')
    expect(tag).to_contain_text("Hall corrected by a person")
    assert httpx.get(f"{address}/items/sneakers-sky").json()["facts"]["tags"]["room"] == "Hall"
    page.keyboard.press("t")
    page.keyboard.press("1")  # the first known value
    expect(tag.locator(".saved")).to_have_text("saved")
    tag.get_by_role("button", name="Undo").click()
    expect(tag).to_contain_text("Hall")
    page.keyboard.press("t")
    page.keyboard.press("Escape")
    expect(tag.get_by_role("button", name="Correct Room")).to_be_focused()
    save_screenshot(page, "facts-1280-light")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    chip = page.get_by_role("group", name="Room").get_by_role("button", name="Hall 1")
    chip.click()
    assert cards(page) == ["sneakers-sky"]


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
