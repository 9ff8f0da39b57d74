"""Open the page in a real browser: Debian's headless Chromium with a real server on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

from firstsight.service.app import make_app
from firstsight.service.service_settings import ServiceSettings

ROOT = Path(__file__).parents[3]
SCREENSHOTS = ROOT / "build" / "screenshots"
"""Kept as build output, for people to look at; never compared."""

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def serve_in_thread(settings: ServiceSettings) -> Iterator[str]:
    """Serve an application in a thread; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))  # takes connections from now on: nobody has to wait for it
    server = uvicorn.Server(uvicorn.Config(make_app(settings), log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium with an empty profile; skips where there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium; apt-get install chromium, or name one in $CHROMIUM")
    with sync_playwright() as playwright:
        browser = _launch(playwright, found)
        yield browser
        browser.close()


@contextmanager
def new_page(browser: Browser, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """A tab that fails the test for an error in a script, or for whatever it asks of another host."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=width < 600,
        reduced_motion="reduce" if width < 600 else "no-preference",
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if _is_refusal(said.text) else None)
    page.on("request", lambda request: wrong.append(request.url) if _is_elsewhere(request.url) else None)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def save_screenshot(page: Page, name: str) -> None:
    """Keep a screenshot, once the pictures in sight have come."""
    wait_until_idle(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def wait_until_idle(page: Page) -> None:
    """Wait until no picture in sight is on its way and nothing is being asked for."""
    page.wait_for_function(
        """() => !document.querySelector('[aria-busy]')
            && ![...document.querySelectorAll('img.waits')].some((image) => {
                const at = image.getBoundingClientRect();
                const top = document.elementFromPoint((at.left + at.right) / 2, (at.top + at.bottom) / 2);
                return top !== null && image.parentElement.contains(top);
            })"""
    )


def cards(page: Page) -> list[str]:
    """Ids of the items on the page, once they have come."""
    page.locator(".grid:not([aria-busy]) .card[data-item]").first.wait_for()
    return [str(card.get_attribute("data-item")) for card in page.locator(".card[data-item]").all()]


def search(page: Page, address: str, text: str) -> list[str]:
    """Search by a text; the ids of the results."""
    page.goto(address)
    page.get_by_label("Words to search by").fill(text)
    page.keyboard.press("Enter")
    return cards(page)


def _launch(playwright: Playwright, path: str) -> Browser:
    try:
        return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
    except Error as error:
        pytest.skip(f"{path} does not start: {str(error).splitlines()[0]}")


def _is_refusal(text: str) -> bool:
    return "Content Security Policy" in text or "Refused to" in text


def _is_elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
