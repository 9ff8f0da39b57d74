"""Measure how much of the retrieval of an encoder remains when pictures or texts are damaged.

Four tasks: a corrupted picture finds its own product among intact pictures; a title finds its product among corrupted
pictures; a title with typos, or a paraphrase of it, finds its product among intact pictures. Each figure is relative to
the same queries without the change. All comparisons are exact, and no picture of a query is left out of the index: the
intact picture itself is what a corrupted one should find.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from firstsight.encoders.base import Encoder, Vectors
from firstsight.errors import MediaError, QueryError
from firstsight.media.corruptions.picture_corruptions import corrupt
from firstsight.retrieval.evaluation.judgements import read_judgements
from firstsight.retrieval.evaluation.robustness.paraphrases import RULES, paraphrase, read_paraphrases
from firstsight.retrieval.evaluation.robustness.product_ranks import ProductIndex, read_index
from firstsight.retrieval.evaluation.robustness.robustness_report import (
    Outcome,
    QueryTable,
    RobustnessFigure,
    RobustnessReport,
    make_figures,
)
from firstsight.retrieval.evaluation.robustness.robustness_settings import RobustnessSettings
from firstsight.retrieval.evaluation.robustness.sampled_items import WORKING_SIDE, ItemSample, SampledItem
from firstsight.retrieval.evaluation.robustness.slice_columns import choose_columns, language_column, slice_values
from firstsight.retrieval.evaluation.robustness.text_typos import TYPO_STRENGTHS, add_typos
from firstsight.storage.store import Store

CHUNK = 16
"""Pictures in memory at once; the others are vectors."""

EXAMPLE_SIDE = 112
"""Longer side of the example pictures of a report, in pixels."""


@dataclass(frozen=True)
class TextQuery:
    """A text whose relevant products are known."""

    text: str
    products: frozenset[str]
    cluster: str  # product that the bootstrap draws it with
    item: SampledItem | None = None  # the item whose title it is; None for a judged query


def judged_items(settings: RobustnessSettings) -> list[str]:
    """Ids of the relevant items of the judged queries, to be sampled before others; empty without judgements.

    Raises:
        QueryError: the file of judgements cannot be used.
    """
    if settings.judgements is None:
        return []
    queries = read_judgements(settings.judgements)  # type: ignore[arg-type]  # any path
    return list(dict.fromkeys(item for query in queries if query.text for item in query.relevant_items))


def measure_robustness(
    encoder: Encoder,
    sample: ItemSample,
    settings: RobustnessSettings,
    *,
    store: Store | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
    on_encoded: Callable[[int, int], None] = lambda done, total: None,
) -> RobustnessReport:
    """Measure the robustness of an encoder on sampled items.

    Args:
        encoder: the encoder.
        sample: from `sample_store` or `sample_catalogue`.
        settings: corruptions, strengths, slices and sizes.
        store: the database whose vectors are the index; None, or vectors of another encoder: the intact pictures of the
            sample are the index.
        on_progress: called with one line about the cost before the first encoding, and with notes.
        on_encoded: called with the number of encoded pictures, and of all pictures to encode.

    Raises:
        QueryError: no picture can be opened, a column does not exist, or a file of the settings cannot be used.
        EncoderError: the encoder fails.
    """
    columns = choose_columns(sample.column_names, settings.by)
    own_words = None if settings.paraphrases is None else read_paraphrases(settings.paraphrases)
    versions = 1 + len(settings.changes)
    total = len(sample.items) * versions
    on_progress(
        f"{sample.source}: {len(sample.items):,} of {sample.population:,} items with a picture; up to {total:,} "
        f"pictures ({versions} versions of each) and about {_texts_per_item(own_words) * len(sample.items):,} texts "
        "are encoded"
    )
    items, vectors, unreadable, examples = _encode_pictures(encoder, sample, settings, on_encoded)
    if not items:
        first = unreadable[0] if unreadable else "there are none"
        raise QueryError(f"{sample.source}: none of {len(sample.items)} sampled pictures can be opened ({first})")
    products = [item.product for item in items]
    own = ProductIndex.of(vectors[:, 0], products)
    same_vectors = store is not None and store.spec.fingerprint == encoder.spec.fingerprint
    index = read_index(store, settings.candidates, [i.item_id for i in items]) if store and same_vectors else own
    notes = [_index_note(index, sample, same_vectors)]
    relevance = index.relevance([frozenset([product]) for product in products])
    clean = index.ranks(vectors[:, 0], relevance)
    everything = np.arange(len(items))
    table = QueryTable(np.array(products, dtype=object), _slices(items, columns))
    outcomes = [
        Outcome(name, strength, everything, clean, index.ranks(vectors[:, 1 + place], relevance))
        for place, (name, strength) in enumerate(settings.changes)
    ]
    figures = _figures("picture to product", table, outcomes, settings)
    queries = _text_queries(items, sample, settings, notes)
    texts_encoded = 0
    if queries:
        on_progress(f"encoding the texts of {len(queries):,} queries")
        more, texts_encoded = _text_figures(
            encoder, queries, vectors, products, index, settings, own_words, columns, language_column(columns), notes
        )
        figures += more
    measured = [one.products for one in figures if one.column is not None]
    return RobustnessReport(
        figures=tuple(figures),
        encoder=encoder.spec.name,
        source=sample.source,
        population=sample.population,
        sampled=len(items),
        unreadable=tuple(unreadable),
        candidates=len(index.products),
        pictures_encoded=len(items) * versions,
        texts_encoded=texts_encoded,
        smallest_slice=min(measured, default=None),
        notes=tuple(notes),
        examples=examples,
    )


def _encode_pictures(
    encoder: Encoder, sample: ItemSample, settings: RobustnessSettings, on_encoded: Callable[[int, int], None]
) -> tuple[list[SampledItem], Vectors, list[str], dict[str, list[bytes]]]:
    """Return the readable items, their (items, versions, dim) vectors, messages of the others, and example pictures."""
    items: list[SampledItem] = []
    vectors: list[Vectors] = []
    unreadable: list[str] = []
    examples: dict[str, list[bytes]] = {}
    total = len(sample.items) * (1 + len(settings.changes))
    side = max(WORKING_SIDE, 2 * encoder.spec.image_size)
    for start in range(0, len(sample.items), CHUNK):
        batch = sample.items[start : start + CHUNK]
        opened: list[tuple[SampledItem, Image.Image]] = []
        for item, picture in zip(batch, sample.pictures(batch, side), strict=True):
            if isinstance(picture, MediaError):
                unreadable.append(f"{item.item_id}: {picture}")
            else:
                opened.append((item, picture))
        if not opened:
            continue
        pictures = [picture for _, picture in opened]
        if not examples:
            examples = _examples(pictures[0], settings)
        encoded = [encoder.encode_images(pictures)]
        done = start * (1 + len(settings.changes))
        for name, strength in settings.changes:
            changed = [
                corrupt(p, name, strength, seed=settings.seed, key=i.item_id, others=_others(pictures, n))
                for n, (i, p) in enumerate(opened)
            ]
            encoded.append(encoder.encode_images(changed))
            done += len(batch)
            on_encoded(done, total)
        items += [item for item, _ in opened]
        vectors.append(np.stack(encoded, axis=1))
    dim = encoder.spec.dim
    stacked = np.concatenate(vectors) if vectors else np.empty((0, 1 + len(settings.changes), dim), np.float32)
    return items, stacked, unreadable, examples


def _others(pictures: Sequence[Image.Image], place: int) -> list[Image.Image]:
    """The next pictures of the batch, for a collage."""
    return [pictures[(place + step) % len(pictures)] for step in range(1, min(4, len(pictures)))]


def _examples(picture: Image.Image, settings: RobustnessSettings) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for name, strength in settings.changes:
        shown = found.setdefault(name, [_small_jpeg(picture)])
        shown.append(_small_jpeg(corrupt(picture, name, strength, seed=settings.seed)))
    return found


def _small_jpeg(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _text_queries(
    items: Sequence[SampledItem], sample: ItemSample, settings: RobustnessSettings, notes: list[str]
) -> list[TextQuery]:
    """Judged queries with a relevant item in the sample; without judgements, the different titles of the sample."""
    if settings.judgements is not None:
        of_item = {item.item_id: item.product for item in items}
        judged = [query for query in read_judgements(settings.judgements) if query.text]  # type: ignore[arg-type]
        known = [
            TextQuery(
                query.text or "", frozenset(of_item[i] for i in query.relevant_items if i in of_item), query.query_id
            )
            for query in judged
        ]
        queries = [query for query in known if query.products]
        notes.append(f"{len(queries):,} of {len(judged):,} judged texts have a relevant item in the sample")
        return queries
    products: dict[str, set[str]] = {}
    first: dict[str, SampledItem] = {}
    for item in items:
        if item.title:
            products.setdefault(item.title.casefold(), set()).add(item.product)
            first.setdefault(item.title.casefold(), item)
    if not products:
        notes.append("no sampled item has a title, so texts are not measured")
    return [TextQuery(first[t].title, frozenset(found), first[t].product, first[t]) for t, found in products.items()]


def _text_figures(
    encoder: Encoder,
    queries: Sequence[TextQuery],
    vectors: Vectors,
    products: Sequence[str],
    index: ProductIndex,
    settings: RobustnessSettings,
    own_words: dict[str, tuple[str, ...]] | None,
    columns: Sequence[str],
    language: str | None,
    notes: list[str],
) -> tuple[list[RobustnessFigure], int]:
    """Figures of the three tasks with texts, and the number of encoded texts."""
    items = [query.item for query in queries if query.item is not None]
    table = QueryTable(
        np.array([query.cluster for query in queries], dtype=object),
        _slices(items, columns) if len(items) == len(queries) else {},
    )
    everything = np.arange(len(queries))
    relevant = [query.products for query in queries]
    encoded = encoder.encode_texts([query.text for query in queries])
    intact = ProductIndex.of(vectors[:, 0], products)
    own_relevance = intact.relevance(relevant)
    clean = intact.ranks(encoded, own_relevance)
    outcomes = [
        Outcome(
            *(name, strength, everything, clean),
            ProductIndex.of(vectors[:, 1 + place], products).ranks(encoded, own_relevance),
        )
        for place, (name, strength) in enumerate(settings.changes)
    ]
    figures = _figures("text to picture", table, outcomes, settings)
    relevance = index.relevance(relevant)
    clean = index.ranks(encoded, relevance)
    changed = _changed_texts(queries, settings, own_words, language)
    distinct = list(dict.fromkeys(text for _, _, texts in changed for _, text in texts))
    places = {text: n for n, text in enumerate(distinct)}
    changed_vectors = encoder.encode_texts(distinct) if distinct else encoded[:0]
    for task in ("typos", "paraphrases"):
        outcomes = []
        for change, strength, texts in changed:
            if (change == "typos") != (task == "typos"):
                continue
            if not texts:
                notes.append(f"{change}: changes no title")
                continue
            rows = np.array([row for row, _ in texts])
            found = index.ranks(changed_vectors[[places[text] for _, text in texts]], relevance[rows])
            outcomes.append(Outcome(change, strength, rows, clean[rows], found))
        figures += _figures("typos" if task == "typos" else "paraphrases", table, outcomes, settings)
    return figures, len(queries) + len(distinct)


def _changed_texts(
    queries: Sequence[TextQuery],
    settings: RobustnessSettings,
    own_words: dict[str, tuple[str, ...]] | None,
    language: str | None,
) -> list[tuple[str, int, list[tuple[int, str]]]]:
    """Return (change, strength, [(query, text)]); a text that a change leaves as it is counts for typos only."""
    changed: list[tuple[str, int, list[tuple[int, str]]]] = []
    for strength in settings.strengths or TYPO_STRENGTHS:
        typed = [(n, add_typos(query.text, strength, seed=settings.seed)) for n, query in enumerate(queries)]
        changed.append(("typos", strength, typed))
    if own_words is not None:
        rows = [(n, other) for n, query in enumerate(queries) for other in own_words.get(query.text, ())[:1]]
        return [*changed, ("file", 1, rows)]
    for rule in RULES:
        found: list[tuple[int, str]] = []
        for n, query in enumerate(queries):
            named = query.item.columns.get(language) if query.item is not None and language else None
            other = paraphrase(query.text, rule, language=None if named is None else str(named))
            if other is not None:
                found.append((n, other))
        changed.append((rule, 1, found))
    return changed


def _figures(
    task: str, table: QueryTable, outcomes: Sequence[Outcome], settings: RobustnessSettings
) -> list[RobustnessFigure]:
    return list(
        make_figures(
            task,  # type: ignore[arg-type]  # one of the four names
            table,
            outcomes,
            smallest_slice=settings.smallest_slice,
            draws=settings.draws,
            seed=settings.seed,
        )
    )


def _slices(items: Sequence[SampledItem], columns: Sequence[str]) -> dict[str, list[str | None]]:
    return {column: slice_values([item.columns for item in items], column) for column in columns}


def _texts_per_item(own_words: dict[str, tuple[str, ...]] | None) -> int:
    return 1 + len(TYPO_STRENGTHS) + (1 if own_words is not None else len(RULES))


def _index_note(index: ProductIndex, sample: ItemSample, same_vectors: bool) -> str:
    among = f"corrupted pictures and changed texts are searched among {len(index.products):,} products"
    return f"{among} of the database" if same_vectors else f"{among}: the intact pictures of the sample"
