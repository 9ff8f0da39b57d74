"""firstsight understands an item at first sight: embeddings of products and videos before anyone has clicked.

import firstsight

db = firstsight.open("shop-db")
db.index("catalogue.csv")
for result in db.search("red running shoes", k=5, where="price < 50"):
    print(result.score, result.title, result.view)

help(firstsight.Database)                    # all methods, and the parts: db.events, db.safety, ...
encoder = firstsight.load_encoder("starter")
encoder.encode_texts(["a red shoe"])         # (1, 384) float32, unit rows
encoder.encode_images(["shoe.jpg"])          # paths, PIL pictures, arrays or bytes
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from firstsight.errors import (
    AuditLogError,
    CatalogError,
    DatabaseBusyError,
    EncoderError,
    EncoderMismatchError,
    FirstsightError,
    MediaError,
    MissingDatabaseError,
    OptionalDependencyError,
    QueryError,
    SafetyError,
    StoreError,
    TagError,
)
from firstsight.public_names import MODULES

if TYPE_CHECKING:
    from firstsight.api.duplicates import Duplicates
    from firstsight.api.encoders.distillation import DistilOptions, distil
    from firstsight.api.encoders.encoder_sets import Encoders, EncoderState, SwitchReport
    from firstsight.api.encoders.tuning import TuneOptions, tune
    from firstsight.api.evaluation import Evaluation
    from firstsight.api.events import EventLog
    from firstsight.api.facts.facts import Facts, FactStatus
    from firstsight.api.index_options import IndexOptions, RunOptions
    from firstsight.api.indexing import Indexing
    from firstsight.api.items import Failure, Item, View
    from firstsight.api.maintenance import Maintenance
    from firstsight.api.models.cold_start import ColdStart
    from firstsight.api.models.dependent_models import DependentModel
    from firstsight.api.models.personal_search import PersonalSearch
    from firstsight.api.models.ranking import RankingModels
    from firstsight.api.models.rerankers import Rerankers
    from firstsight.api.models.semantic_ids import SemanticIds
    from firstsight.api.models.sequence import SequenceModels
    from firstsight.api.quality import Quality
    from firstsight.api.recommend_options import RecommendOptions, SimilarOptions
    from firstsight.api.safety.safety import Safety
    from firstsight.api.safety.safety_audit import AuditTrail
    from firstsight.api.safety.safety_hashes import HashLists, HashReport
    from firstsight.api.safety.safety_heads import SafetyHeads
    from firstsight.api.status import ColumnStatus, RunRecord, Status
    from firstsight.api.timed_products import ProposalReport, TimedProducts
    from firstsight.api.understanding.tags import Tags
    from firstsight.database import Database
    from firstsight.duplicates.groups import DuplicateGroup
    from firstsight.duplicates.item_pairs import DuplicateEvidence, DuplicateOptions, DuplicatePair, DuplicateSettings
    from firstsight.encoders.base import Encoder
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.export.export_model import ExportReport, export_model
    from firstsight.encoders.registry import load_encoder
    from firstsight.heads.augmented_fit import Augmentation
    from firstsight.heads.calibrated_fit import HeldOutUnits, TrainSettings
    from firstsight.heads.calibration import HeadCalibration
    from firstsight.heads.curves import PrecisionRecall, Reliability
    from firstsight.heads.drift import Drift
    from firstsight.heads.head_comparison import HeadComparison
    from firstsight.heads.key_cache import KeyCache
    from firstsight.heads.slices import SliceRate
    from firstsight.heads.thresholds import Threshold
    from firstsight.indexer.catalog_report import CatalogPreview
    from firstsight.indexer.columns.catalog_options import CatalogOptions
    from firstsight.indexer.columns.column_plan import ColumnUse
    from firstsight.indexer.columns.column_types import TypeChange
    from firstsight.indexer.columns.subtitle_cells import SubtitleSource
    from firstsight.indexer.columns.timed_products import TimedProductCell
    from firstsight.indexer.columns.unused_media import UnusedMedia
    from firstsight.indexer.index_report import Counts, IndexReport
    from firstsight.indexer.index_settings import IndexSettings
    from firstsight.indexer.reindex.reindex_settings import ReindexCounts, ReindexReport, ReindexSettings
    from firstsight.indexer.row_reader import CatalogItem
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport, WatchSettings
    from firstsight.media.policy import MediaPolicy
    from firstsight.media.subtitles import TimedLine
    from firstsight.media.transcribers import Transcriber
    from firstsight.recommend.evaluation.exposure import Exposure, GroupExposure
    from firstsight.recommend.evaluation.link_evaluation import LinkEvaluation, LinkFigures, LinkReport
    from firstsight.recommend.evaluation.measures import Difference
    from firstsight.recommend.evaluation.next_item_evaluation import NextItemFigures, NextItemReport
    from firstsight.recommend.evaluation.recommender_evaluation import ModelFigures, ProtocolReport
    from firstsight.recommend.events.event_columns import EventColumns
    from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview, EventsStatus
    from firstsight.recommend.events.event_rows import Event
    from firstsight.recommend.events.wide_rows import WideColumns
    from firstsight.recommend.models.blend_scoring import BlendSettings
    from firstsight.recommend.models.cold_start_model import ColdStartVersion
    from firstsight.recommend.off_policy.estimators import PolicyEstimate
    from firstsight.recommend.off_policy.slate_evaluation import SlateEvaluation, SlatePolicyReport
    from firstsight.recommend.personal_search.interest_boost import BoostSettings
    from firstsight.recommend.personal_search.personal_search_store import PersonalSearchVersion
    from firstsight.recommend.ranking.ranking_explanation import ItemExplanation, RankingExplanation, TermContribution
    from firstsight.recommend.ranking.ranking_store import RankingVersion
    from firstsight.recommend.ranking.ranking_weights import RankingWeights, TermWeight
    from firstsight.recommend.semantic_ids.semantic_id_export import SemanticId
    from firstsight.recommend.semantic_ids.semantic_id_store import AssignedIds, SemanticIdVersion
    from firstsight.recommend.sequence.item_projection import ProjectedItems
    from firstsight.recommend.sequence.sequence_settings import SequenceSettings
    from firstsight.recommend.sequence.sequence_store import SequenceVersion
    from firstsight.recommend.sequence.user_export import ExportedUsers
    from firstsight.recommend.slates.rules.slate_settings import SlateOptions, SlateSettings
    from firstsight.recommend.slates.slate_results import (
        InterestedUser,
        InterestedUsers,
        Recommendation,
        SimilarItem,
        SimilarItems,
        Slate,
        UserInterest,
    )
    from firstsight.records import Record, RecordList
    from firstsight.retrieval.evaluation.encoder_comparison import ComparedQuery, EncoderComparison
    from firstsight.retrieval.evaluation.judgements import JudgedQuery
    from firstsight.retrieval.evaluation.robustness.robustness_report import RobustnessFigure, RobustnessReport
    from firstsight.retrieval.evaluation.robustness.robustness_settings import RobustnessSettings
    from firstsight.retrieval.evaluation.search_evaluation import ModeComparison, ModeReport, QueryOutcome, SearchTask
    from firstsight.retrieval.export.vector_matrix import VectorMatrix
    from firstsight.retrieval.moments import Moment
    from firstsight.retrieval.pages.map_colouring import Colouring
    from firstsight.retrieval.pages.space_map import MapPoint, SpaceMap
    from firstsight.retrieval.query import Query
    from firstsight.retrieval.query_settings import QuerySettings
    from firstsight.retrieval.reranker_store import RerankerVersion
    from firstsight.retrieval.results import ClipMatch, PictureTextMatch, SearchResult, SearchResults, ViewMatch
    from firstsight.retrieval.timed_product import ProductEvidence, TimedProduct
    from firstsight.safety.audit.adoption import Adoption
    from firstsight.safety.audit.audit_entries import LogProblem, Verification
    from firstsight.safety.audit.human_decisions import DecisionLabel, HumanDecision
    from firstsight.safety.hashes.hash_lists import KnownHash
    from firstsight.safety.hashes.hash_matching import HashMatch
    from firstsight.safety.hashes.known_videos import KnownVideo, VideoMatch
    from firstsight.safety.policy.decisions import Evidence
    from firstsight.safety.policy.detector_scores import DetectorCut
    from firstsight.safety.policy.policies import DetectorRule, Policies, Policy
    from firstsight.safety.policy.policy_heads import Head
    from firstsight.safety.report.policy_report import LabelSuspect, PolicyReport, SafetyReport
    from firstsight.safety.review.explanation import Explanation, PolicyScore
    from firstsight.safety.review.history import EntryDescription
    from firstsight.safety.review.replay import Replay
    from firstsight.safety.review.review_queue import QueueEntry
    from firstsight.safety.robustness.head_robustness import HeadRobustness, SafetyRobustnessReport
    from firstsight.safety.scoring.score_report import ScoreReport
    from firstsight.safety.training.head_training import TrainedHead
    from firstsight.safety.training.training_run import TrainReport
    from firstsight.storage.indexes.upkeep import TableState, TableUpkeep, UpkeepReport
    from firstsight.storage.indexes.vector_index import IndexTuning
    from firstsight.storage.upgrade import UpgradeChange, UpgradeReport
    from firstsight.tuning.distillation.distil_report import DistilFigure, DistilReport
    from firstsight.tuning.distillation.distil_settings import DistilSettings
    from firstsight.tuning.evaluation.figures import CurvePoint, TuneFigure
    from firstsight.tuning.reading.catalogue_data import ReadReport
    from firstsight.tuning.tune_report import TuneReport
    from firstsight.tuning.tune_settings import TuneSettings
    from firstsight.understanding.fact_evidence import (
        ColourGroup,
        Detection,
        FactEvidence,
        ItemProblem,
        TagOfItem,
        TextInPicture,
    )
    from firstsight.understanding.facts.fact_settings import FactOptions, FactSettings
    from firstsight.understanding.facts.fact_status import FactState
    from firstsight.understanding.facts.fact_update import FactUpdateCounts, FactUpdateReport
    from firstsight.understanding.quality.quality_list import PictureProblem, QualityReport
    from firstsight.understanding.tags.labels.label_table import GivenTag
    from firstsight.understanding.tags.labels.tag_tree import TagTree
    from firstsight.understanding.tags.models.tag_decisions import TagCut
    from firstsight.understanding.tags.models.tag_model import TagModel, TagSource
    from firstsight.understanding.tags.tag_explanation import LabelledNeighbour, TagExplanation, ValueProbability
    from firstsight.understanding.tags.tag_scoring import TagScoreReport
    from firstsight.understanding.tags.training.tag_report import (
        TagLabelSuspect,
        TagReport,
        ValueConfusion,
        ValueFigures,
    )
    from firstsight.understanding.tags.training.tag_runs import TagTrainReport
    from firstsight.understanding.tags.training.tag_training import TrainedTag
    from firstsight.understanding.tags.training.version_comparison import TagComparison
    from firstsight.vectors import EncoderSpec

__version__ = "0.1.0"

__all__ = [
    "AddedEvents",
    "Adoption",
    "AssignedIds",
    "AuditLogError",
    "AuditTrail",
    "Augmentation",
    "BlendSettings",
    "BoostSettings",
    "CatalogError",
    "CatalogItem",
    "CatalogOptions",
    "CatalogPreview",
    "ClipMatch",
    "ColdStart",
    "ColdStartVersion",
    "ColourGroup",
    "Colouring",
    "ColumnStatus",
    "ColumnUse",
    "ComparedQuery",
    "Counts",
    "CurvePoint",
    "Database",
    "DatabaseBusyError",
    "DecisionLabel",
    "DependentModel",
    "Detection",
    "DetectorCut",
    "DetectorRule",
    "Difference",
    "DistilFigure",
    "DistilOptions",
    "DistilReport",
    "DistilSettings",
    "Drift",
    "DuplicateEvidence",
    "DuplicateGroup",
    "DuplicateOptions",
    "DuplicatePair",
    "DuplicateSettings",
    "Duplicates",
    "Encoder",
    "EncoderComparison",
    "EncoderError",
    "EncoderMismatchError",
    "EncoderOptions",
    "EncoderSpec",
    "EncoderState",
    "Encoders",
    "EntryDescription",
    "Evaluation",
    "Event",
    "EventColumns",
    "EventLog",
    "EventsPreview",
    "EventsStatus",
    "Evidence",
    "Explanation",
    "ExportReport",
    "ExportedUsers",
    "Exposure",
    "FactEvidence",
    "FactOptions",
    "FactSettings",
    "FactState",
    "FactStatus",
    "FactUpdateCounts",
    "FactUpdateReport",
    "Facts",
    "Failure",
    "FirstsightError",
    "GivenTag",
    "GroupExposure",
    "HashLists",
    "HashMatch",
    "HashReport",
    "Head",
    "HeadCalibration",
    "HeadComparison",
    "HeadRobustness",
    "HeldOutUnits",
    "HumanDecision",
    "IndexOptions",
    "IndexReport",
    "IndexSettings",
    "IndexTuning",
    "Indexing",
    "InterestedUser",
    "InterestedUsers",
    "Item",
    "ItemExplanation",
    "ItemProblem",
    "JudgedQuery",
    "KeyCache",
    "KnownHash",
    "KnownVideo",
    "LabelSuspect",
    "LabelledNeighbour",
    "LinkEvaluation",
    "LinkFigures",
    "LinkReport",
    "LogProblem",
    "Maintenance",
    "MapPoint",
    "MediaError",
    "MediaPolicy",
    "MissingDatabaseError",
    "ModeComparison",
    "ModeReport",
    "ModelFigures",
    "Moment",
    "NextItemFigures",
    "NextItemReport",
    "OptionalDependencyError",
    "PersonalSearch",
    "PersonalSearchVersion",
    "PictureProblem",
    "PictureTextMatch",
    "Policies",
    "Policy",
    "PolicyEstimate",
    "PolicyReport",
    "PolicyScore",
    "PrecisionRecall",
    "ProductEvidence",
    "ProjectedItems",
    "ProposalReport",
    "ProtocolReport",
    "Quality",
    "QualityReport",
    "Query",
    "QueryError",
    "QueryOutcome",
    "QuerySettings",
    "QueueEntry",
    "RankingExplanation",
    "RankingModels",
    "RankingVersion",
    "RankingWeights",
    "ReadReport",
    "RecommendOptions",
    "Recommendation",
    "Record",
    "RecordList",
    "ReindexCounts",
    "ReindexReport",
    "ReindexSettings",
    "Reliability",
    "Replay",
    "RerankerVersion",
    "Rerankers",
    "RobustnessFigure",
    "RobustnessReport",
    "RobustnessSettings",
    "RunOptions",
    "RunRecord",
    "Safety",
    "SafetyError",
    "SafetyHeads",
    "SafetyReport",
    "SafetyRobustnessReport",
    "ScoreReport",
    "SearchResult",
    "SearchResults",
    "SearchTask",
    "SemanticId",
    "SemanticIdVersion",
    "SemanticIds",
    "SequenceModels",
    "SequenceSettings",
    "SequenceVersion",
    "SimilarItem",
    "SimilarItems",
    "SimilarOptions",
    "Slate",
    "SlateEvaluation",
    "SlateOptions",
    "SlatePolicyReport",
    "SlateSettings",
    "SliceRate",
    "SpaceMap",
    "Status",
    "StoreError",
    "SubtitleSource",
    "SwitchReport",
    "TableState",
    "TableUpkeep",
    "TagComparison",
    "TagCut",
    "TagError",
    "TagExplanation",
    "TagLabelSuspect",
    "TagModel",
    "TagOfItem",
    "TagReport",
    "TagScoreReport",
    "TagSource",
    "TagTrainReport",
    "TagTree",
    "Tags",
    "TermContribution",
    "TermWeight",
    "TextInPicture",
    "Threshold",
    "TimedLine",
    "TimedProduct",
    "TimedProductCell",
    "TimedProducts",
    "TrainReport",
    "TrainSettings",
    "TrainedHead",
    "TrainedTag",
    "Transcriber",
    "TuneFigure",
    "TuneOptions",
    "TuneReport",
    "TuneSettings",
    "TypeChange",
    "UnusedMedia",
    "UpgradeChange",
    "UpgradeReport",
    "UpkeepReport",
    "UserInterest",
    "ValueConfusion",
    "ValueFigures",
    "ValueProbability",
    "VectorMatrix",
    "Verification",
    "VideoMatch",
    "View",
    "ViewMatch",
    "WatchCounts",
    "WatchReport",
    "WatchSettings",
    "WideColumns",
    "__version__",
    "distil",
    "export_model",
    "load_encoder",
    "open",
    "tune",
]


def open(
    db: str | os.PathLike[str] | None = None,
    *,
    encoder: str | Encoder | None = None,
    encoder_options: EncoderOptions | None = None,
    policy: MediaPolicy | None = None,
) -> Database:
    """Open a database; the first `index` creates a new one.

    Args:
        db: a folder, or an s3://, gs:// or az:// address; by default `$FIRSTSIGHT_DB`, else `./firstsight-db`.
        encoder: a name for `load_encoder`, or an encoder; by default the database's own, else `starter`.
        encoder_options: runtime, device and threads of the encoder; the database does not store them.
        policy: allowed sources and maximum sizes of media; each index run sets `root` to the catalogue's folder.
    """
    from firstsight.config import default_db
    from firstsight.database import Database
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.media.policy import MediaPolicy

    uri = os.fspath(db) if db is not None else default_db()
    return Database(uri, encoder, encoder_options or EncoderOptions(), policy or MediaPolicy())


if not TYPE_CHECKING:  # a type checker reads the imports above

    class _LazyName:
        """A public name, imported at its first use."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __get__(self, package: object, owner: type) -> object:
            return getattr(importlib.import_module(MODULES[self._name]), self._name)

    class _Package(ModuleType):
        """The class of this module. Tab completion finds the public names in it; `help(firstsight)` leaves them out."""

    for _name in MODULES:
        setattr(_Package, _name, _LazyName(_name))
    sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    """Names to begin with: `help(firstsight)` would print each class in full."""
    return ["__version__", "load_encoder", "open", "tune"]
