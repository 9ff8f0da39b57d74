"""The language of titles and texts, among the languages of a shop."""

from __future__ import annotations

import sys

import pytest

from firstsight.errors import CatalogError, OptionalDependencyError
from firstsight.indexer.facts.item_facts import FactItem
from firstsight.understanding.facts.fact_kind import version_of
from firstsight.understanding.facts.fact_settings import FactSettings
from firstsight.understanding.language.language_facts import LanguageFacts
from firstsight.understanding.language.language_identifier import (
    check_languages,
    identify_languages,
    minimum_probability,
)


def item(title: str | None, text: str | None = None) -> FactItem:
    return FactItem("1", title, text, {})


def language(title: str | None, text: str | None = None, *, among: tuple[str, ...] = ()) -> str | None:
    [found] = LanguageFacts(among).values([item(title, text)])
    value = found["fact_language"]
    assert value is None or isinstance(value, str)
    return value


def test_titles_have_their_language_among_those_of_the_shop() -> None:
    among = ("de", "en", "fr")
    assert language("Wasserdichte Wanderschuhe für Herren", among=among) == "de"
    assert language("Men's waterproof hiking boots", among=among) == "en"
    assert language("Chaussures de randonnée imperméables", among=among) == "fr"


def test_the_text_counts_too() -> None:
    among = ("de", "en")
    assert language("Nike Air Max", among=among) is None
    assert language("Nike Air Max", "Leichter Laufschuh mit gepolsterter Sohle", among=among) == "de"


def test_an_unknown_language_is_null() -> None:
    assert language(None) is None
    assert language("SKU-8812 / 44") is None
    assert language("12345", among=("de", "en")) is None
    assert language("iPhone 15 Pro Max") is None


def test_few_languages_need_a_higher_probability() -> None:
    assert [minimum_probability(count) for count in (1, 2, 10)] == [0.0, 0.75, 0.55]


def test_regions_and_repeated_codes_are_dropped() -> None:
    assert check_languages(["de-AT", "DE", "pt_BR"]) == ("de", "pt")


def test_an_unknown_code_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CatalogError, match="'klingon', which is no known code; give some of ace, af, "):
        check_languages(["de", "klingon"])


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from firstsight.understanding.language import language_identifier

    language_identifier._load_model.cache_clear()
    language_identifier._restrict.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(OptionalDependencyError, match=r"firstsight\[language\]"):
        identify_languages(["Rote Schuhe"])
    language_identifier._load_model.cache_clear()
    language_identifier._restrict.cache_clear()


def test_other_languages_make_stored_facts_outdated() -> None:
    assert version_of(LanguageFacts(["de"])) != version_of(LanguageFacts(["de", "en"]))
    assert version_of(LanguageFacts(["en", "de"])) == version_of(LanguageFacts(["de", "en"]))


def test_settings_store_the_codes_of_the_model() -> None:
    assert FactSettings().changed({"languages": ["de-AT", "en"]}).languages == ("de", "en")
    with pytest.raises(CatalogError, match="klingon"):
        FactSettings().changed({"languages": ["klingon"]})


def test_asking_for_the_language_without_the_extra_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(OptionalDependencyError, match=r"firstsight\[language\]"):
        FactSettings().changed({"detect_language": True})
    assert FactSettings().changed({"detect_language": False}).language is False
