"""The documentation site has all pages, builds without a warning, and loads nothing from other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts import site_pages

ROOT = Path(__file__).parents[2]


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, with None for the Python functions that it names."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
CONFIG = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)


def pages_of(entries: object) -> Iterator[str]:
    """The pages of the navigation."""
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, dict):
        yield from pages_of(list(entries.values()))
    elif isinstance(entries, list):
        for entry in entries:
            yield from pages_of(entry)


def test_the_navigation_has_every_page_once() -> None:
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    placed = [page for document, page in site_pages.PAGES.items() if (ROOT / document).exists()]
    assert sorted(pages_of(CONFIG["nav"])) == sorted(written + placed)


def test_links_of_a_document_at_the_top_level_fit_its_page() -> None:
    text = "[docs/media.md](docs/media.md#frames) ![A](docs/images/a.png) [log](CHANGELOG.md) [x](setup.cfg) [y](https://a.b)"
    page = "[media.md](media.md#frames) ![A](images/a.png) [log](changelog.md) x [y](https://a.b)"
    assert site_pages.links_of_a_page(text) == page


def test_links_from_a_page_to_the_top_level_fit_the_site() -> None:
    assert site_pages.on_page_markdown("[log](../CHANGELOG.md#a)") == "[log](changelog.md#a)"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    # without --quiet, which hides warnings from --strict
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("INFO ")] == []
    for page in (tmp_path / "site").rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]*)"', html)
        assert loaded == [], page.name
