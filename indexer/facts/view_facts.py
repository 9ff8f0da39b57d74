"""What the functions have found in the pictures of a run: as views store it, and as failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from firstsight.errors import MediaError
from firstsight.media.picture_facts import FoundFacts, JsonValue, PictureFact
from firstsight.storage.facts.view_fact_table import StoredFact

FACTS_STAGE = "facts"
"""Stage of failures of functions; the medium itself is indexed."""


def stored_facts(found: FoundFacts | None, facts: Sequence[PictureFact]) -> dict[str, StoredFact]:
    """Values with the versions of their functions, by the names of the facts."""
    if found is None:
        return {}
    versions = {fact.name: fact.version for fact in facts}
    return {
        name: {"version": versions[name], "value": value} for name, value in found.values.items() if name in versions
    }


def current_values(stored: Mapping[str, StoredFact], facts: Sequence[PictureFact]) -> dict[str, JsonValue]:
    """Values of stored facts whose functions still have the same version."""
    return {
        fact.name: stored[fact.name]["value"]
        for fact in facts
        if fact.name in stored and stored[fact.name]["version"] == fact.version
    }


def facts_failure(found: Iterable[FoundFacts | None], facts: Sequence[PictureFact]) -> MediaError | None:
    """Describe the functions that failed on the pictures of one medium; None if none did."""
    pictures = [each for each in found if each is not None]
    failures = Counter(name for each in pictures for name in each.errors)
    if not failures:
        return None
    functions = {fact.name: fact.function for fact in facts}
    said = []
    for name, count in failures.items():
        error = next(each.errors[name] for each in pictures if name in each.errors)
        where = f" in {count} of {len(pictures)} frames" if len(pictures) > 1 else ""
        said.append(f"the fact {name} ({functions.get(name, 'unknown')}) failed{where}: {error}")
    return MediaError("crashed", "; ".join(said))
