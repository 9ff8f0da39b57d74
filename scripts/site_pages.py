"""Hook of mkdocs: puts the documents at the top level of the repository into the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Documents at the top level, and their pages."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?![a-z]+:|#)([^)#\s]*)(#[^)\s]*)?\)")
"""A link or picture at a path: picture mark, text, path, anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents to the files of the site."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        if (ROOT / source).exists():
            text = links_of_a_page((ROOT / source).read_text(encoding="utf-8"))
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links from docs/ to a document at the top level point to its page."""
    return re.sub(rf"\]\(\.\./({'|'.join(map(re.escape, PAGES))})(#[^)\s]*)?\)", _page_link, markdown)


def links_of_a_page(text: str) -> str:
    """Rewrite the links of a document at the top level for its page.

    A link into docs/ loses that folder. A link to a file that is not on the site becomes its text.
    """

    def rewrite(link: re.Match[str]) -> str:
        mark, label, path, anchor = link[1], link[2], link[3], link[4] or ""
        if path in PAGES:
            return f"[{label}]({PAGES[path]}{anchor})"
        if path.startswith("docs/"):
            return f"{mark}[{label.removeprefix('docs/')}]({path.removeprefix('docs/')}{anchor})"
        return label

    return _LINK.sub(rewrite, text)


def _page_link(link: re.Match[str]) -> str:
    return f"]({PAGES[link[1]]}{link[2] or ''})"
