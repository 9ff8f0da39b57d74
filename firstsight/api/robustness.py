"""Robustness of search: sample a database or a catalogue, and measure an encoder on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from firstsight.api.connection import Connection
from firstsight.encoders.base import Encoder
from firstsight.indexer.catalog import check_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.inputs.input_kinds import CatalogueInput, open_input
from firstsight.retrieval.evaluation.robustness.robustness_evaluation import judged_items, measure_robustness
from firstsight.retrieval.evaluation.robustness.robustness_report import RobustnessReport
from firstsight.retrieval.evaluation.robustness.robustness_settings import RobustnessSettings
from firstsight.retrieval.evaluation.robustness.sampled_items import sample_catalogue, sample_store


def evaluate_robustness(
    connection: Connection,
    settings: RobustnessSettings | None,
    catalogue: CatalogueInput | None,
    options: CatalogOptions | None,
    encoder: Encoder | None,
    on_progress: Callable[[str], None],
    on_encoded: Callable[[int, int], None],
) -> RobustnessReport:
    """Measure robustness; arguments and errors as for `firstsight.api.evaluation.Evaluation.robustness`."""
    settings = settings or RobustnessSettings()
    drawn = (settings.sample, settings.seed, connection.policy, judged_items(settings))
    store = None
    if catalogue is None:
        store = connection.open()
        sample = sample_store(store, *drawn)
    else:
        source = open_input(catalogue, encoding=options.encoding if options else "utf-8")
        with closing(check_catalog(source, options)) as catalog:
            sample = sample_catalogue(catalog, *drawn)
    return measure_robustness(
        encoder or connection.encoder, sample, settings, store=store, on_progress=on_progress, on_encoded=on_encoded
    )
