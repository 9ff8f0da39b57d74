"""Options of `firstsight index` about facts that are found in pictures and texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import panels

if TYPE_CHECKING:
    from firstsight.understanding.facts.fact_settings import FactOptions


@dataclass(frozen=True)
class FactFlags:
    """Which facts to find, in this run and all later ones; a flag that is left out keeps the stored setting."""

    colours: Annotated[
        bool | None,
        panels.facts("--colours/--no-colours", help="Find the colours of pictures; on in a new database."),
    ] = None
    detect_language: Annotated[
        bool | None,
        panels.facts(
            "--detect-language/--no-detect-language",
            help='Find the language of each title and text, with the extra "language"; on in a new database.',
        ),
    ] = None
    languages: Annotated[
        str | None,
        panels.facts(
            "--languages",
            metavar="CODE,…",
            help='Languages that titles and texts may have, such as de,en; "" for any.',
        ),
    ] = None
    quality: Annotated[
        bool | None,
        panels.facts("--quality/--no-quality", help="Measure the quality of pictures, such as blur."),
    ] = None
    ocr: Annotated[
        bool | None,
        panels.facts("--ocr/--no-ocr", help='Read the text in pictures and frames, with the extra "ocr".'),
    ] = None
    ocr_models: Annotated[
        str | None,
        panels.facts(
            "--ocr-models",
            metavar="FOLDER",
            help="Folder with models for the text of other scripts, or packaged for the models of the package.",
        ),
    ] = None
    detector: Annotated[
        list[str] | None,
        panels.facts(
            "--detector",
            metavar="NAME",
            help="Run an installed detector on pictures (repeatable); the list replaces the stored one.",
        ),
    ] = None
    no_detector: Annotated[bool, panels.facts("--no-detector", help="Run no detector any more.")] = False

    def options(self) -> FactOptions:
        """The settings to change."""
        if self.no_detector and self.detector:
            raise typer.BadParameter("give --detector or --no-detector, not both", param_hint="--no-detector")
        languages = None if self.languages is None else [code for code in self.languages.split(",") if code.strip()]
        return {
            "colours": self.colours,
            "detect_language": self.detect_language,
            "languages": languages,
            "quality": self.quality,
            "ocr": self.ocr,
            "ocr_models": self.ocr_models,
            "detectors": [] if self.no_detector else self.detector or None,
        }
