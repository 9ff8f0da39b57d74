"""The package works without the packages of its extras, and names the extra that a feature needs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.project.test_dependencies import EXTRAS, HARD, ROOT, normal

SAMPLE = ROOT / "sample_media" / "catalogue.csv"

NEED_AN_EXTRA = (
    "firstsight.retrieval.evaluation.catalogue_queries",
    "firstsight.retrieval.evaluation.search_evaluation",
    "firstsight.retrieval.pages.search_evaluation_page",
    "firstsight.retrieval.rerank.lambdamart",
    "firstsight.retrieval.rerank.reranker_fitting",
    "firstsight.service",
)
"""Modules that raise OptionalDependencyError at import without the extras."""

RUN_HIDDEN = """
import json, runpy, sys
from importlib.machinery import PathFinder

HIDDEN = json.loads(sys.argv.pop(1))


class WithoutExtras(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN or name in HIDDEN else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras
sys.argv.pop(0)
exec(sys.argv[0])
"""
