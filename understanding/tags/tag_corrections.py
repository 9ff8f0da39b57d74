"""Corrections of people: they win over the catalogue and predictions, survive re-indexing, and are labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firstsight.errors import QueryError, TagError
from firstsight.storage.facts.fact_columns import add_fact_columns
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_reading import MAX_VALUE, normalise
from firstsight.understanding.tags.labels.label_table import (
    GivenTag,
    delete_given_tags,
    read_given_tags,
    write_corrections,
)
from firstsight.understanding.tags.labels.tag_names import VALUES, require_tag_name, tag_fields
from firstsight.understanding.tags.models.tag_model import TagModel
from firstsight.understanding.tags.tag_scoring import source_columns, vectors_by_tag, write_columns
from firstsight.understanding.tags.tag_values import TagState, best_tags, tag_columns


def correct_item(
    store: Store, item_id: str, values: Mapping[str, str | Sequence[str]], *, by: str = ""
) -> list[GivenTag]:
    """Give an item its right values; the caller holds the writer lock.

    Args:
        store: the database.
        item_id: id of the item.
        values: value or values by tag; none if the item has no value of the tag.
        by: who corrects.

    Raises:
        QueryError: there is no such item.
        TagError: a tag or value cannot be used, or there are several values for a single-label tag.
        StoreError: the database cannot be written.
    """
    _require_item(store, item_id)
    state = TagState.read(store)
    corrections = []
    for tag, given in values.items():
        require_tag_name(tag)
        texts = [given] if isinstance(given, str) else list(given)
        distinct = tuple(dict.fromkeys(value for value in map(normalise, texts) if value))
        model = state.models.get(tag)
        chosen = tuple(_known_value(model, tag, value) for value in distinct)
        if len(chosen) > 1 and model is not None and not model.multi:
            raise TagError(
                f"an item has one value of the tag {tag}, not {len(chosen)}; give one of {', '.join(chosen)}"
            )
        corrections.append(GivenTag(tag, item_id, chosen, by=by))
    write_corrections(store, corrections)
    _write_best(store, item_id, list(values))
    return corrections


def withdraw_corrections(store: Store, item_id: str, tags: Sequence[str]) -> list[GivenTag]:
    """Remove people's values of an item; the caller holds the writer lock.

    Returns:
        The removed values.

    Raises:
        TagError: a person gave no value of this tag to the item.
        StoreError: the database cannot be written.
    """
    given = read_given_tags(store, item_ids=[item_id])
    for tag in tags:
        if (tag, item_id) not in given:
            raise TagError(f"nobody gave the item {item_id!r} a value of the tag {tag!r}")
    for tag in tags:
        delete_given_tags(store, tag, [item_id])
    _write_best(store, item_id, tags)
    return [given[tag, item_id] for tag in tags]


def _write_best(store: Store, item_id: str, tags: Sequence[str]) -> None:
    """Write the best known values of one item."""
    add_fact_columns(store, [one for tag in tags for one in tag_fields(tag)])
    state = TagState.read(store)
    row = store.column_values([item_id], source_columns(store, state, tags)).get(item_id)
    if row is None:  # the item was removed; its corrections go as well
        return
    (found,) = best_tags(store, state, [item_id], [row], vectors_by_tag(store, state, tags, [item_id]), tags)
    write_columns(store, {item_id: tag_columns(found)})


def _known_value(model: TagModel | None, tag: str, value: str) -> str:
    """Spell a value as the tag's version does; a new value is taken as it is."""
    if len(value) > MAX_VALUE:
        raise TagError(f"the value {value[:40]!r} of the tag {tag} has over {MAX_VALUE} characters; give a shorter one")
    if model is None:
        return value
    if model.multi and VALUES.strip() in value:
        raise TagError(
            f"the value {value!r} of the tag {tag} has a comma, which separates values; give several instead"
        )
    names = {name.casefold(): name for name in model.tree.names}
    last: dict[str, list[str]] = {}
    for place, name in enumerate(model.tree.names):
        last.setdefault(model.tree.leaf_name(place).casefold(), []).append(name)
    if value.casefold() in names:
        return names[value.casefold()]
    same = last.get(value.casefold(), [])
    if len(same) > 1:
        raise TagError(f"{value!r} is the last level of {len(same)} values of {tag}; give one of {'; '.join(same[:5])}")
    return same[0] if same else value


def _require_item(store: Store, item_id: str) -> None:
    if not store.digests([item_id]):
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
