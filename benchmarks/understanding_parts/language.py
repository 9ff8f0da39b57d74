"""Language of titles: all languages, the languages of the titles, and names without a language.

FOLDER has `titles_13_languages.json`: {"en": [titles], "de": [...], ...}. A title counts as right if its language is
found; "answered" leaves out those whose language stays unknown. A shop of two languages has German and English titles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from firstsight.understanding.language.language_identifier import identify_languages

NAMES = (
    "Nike Air Max",
    "Adidas Samba OG",
    "iPhone 15 Pro Max",
    "Sony WH-1000XM5",
    "LEGO 42115",
    "Bosch GSR 12V-15",
    "KitchenAid Artisan",
    "Garmin Forerunner 265",
    "Le Creuset",
    "Zara Basic",
    "SKU-88 / XL",
    "12345",
)
"""Brands, models and codes, which have no language."""


def run(data: Path) -> None:
    """Print the figures of each set of languages."""
    titles: dict[str, list[str]] = json.loads((data / "titles_13_languages.json").read_text(encoding="utf-8"))
    print(f"{'languages':<22} {'titles':>6} {'right':>6} {'answered':>8} {'of them right':>13} {'names answered':>14}")
    for label, languages in (("all of the model", None), ("13 of the titles", list(titles)), ("de, en", ["de", "en"])):
        chosen = {code: texts for code, texts in titles.items() if languages is None or code in languages}
        _print(label, chosen, languages or ())


def _print(label: str, titles: dict[str, list[str]], languages: Sequence[str]) -> None:
    truth = [code for code, texts in titles.items() for _ in texts]
    found = identify_languages([text for texts in titles.values() for text in texts], languages)
    right = sum(one == other for one, other in zip(found, truth, strict=True))
    answered = sum(language is not None for language in found)
    names = sum(language is not None for language in identify_languages(NAMES, languages))
    print(
        f"{label:<22} {len(truth):>6} {right / len(truth):>6.3f} {answered / len(truth):>8.3f} "
        f"{right / max(answered, 1):>13.3f} {names:>11} / {len(NAMES)}"
    )
