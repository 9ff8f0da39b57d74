"""Bodies and answers of the routes of facts and tags; the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from firstsight.service.routes.search_schemas import StrictModel

TagValue = Annotated[str, Field(max_length=200)]


class TagCorrection(StrictModel):
    """The right values of a tag; an empty list if the item has none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"values": ["shoes"]}, {"values": [], "by": "ana"}]})

    values: list[TagValue] = Field(max_length=64)
    by: Annotated[str, Field(min_length=1, max_length=200, description="the person that the key acts for")] | None = (
        None
    )


class TagAnswer(BaseModel):
    """The best known value of a tag, now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"item_id": "sneakers-red", "tag": "category", "values": ["shoes"], "p": 1.0, "by": "person"},
                    **{"multi": False, "known_values": ["bags", "shoes"]},
                }
            ]
        }
    )

    item_id: str
    tag: str
    values: list[str] = Field(description="empty: not known, or none")
    p: float | None = Field(description="probability, 0 to 1; 1 for given values")
    by: Literal["person", "catalogue", "predicted"] | None
    multi: bool = Field(description="whether an item may have several values")
    known_values: list[str] = Field(description="values of the tag, at most 500")


class FactEvidenceAnswer(BaseModel):
    """The facts of an item with their evidence, as FactEvidence.to_dict."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "sneakers-red",
                    "facts": {"colour": "red", "colours": {"red": 0.71, "white": 0.2}, "language": "en"},
                    "unknown": ["tags.category"],
                    "colours": [{"view_id": "sneakers-red#image-0", "hex": "#c22f35", "share": 0.7}],
                    "problems": [
                        {
                            **{"view_id": "sneakers-red#image-0", "problem": "blurred", "measure": "blur"},
                            **{"value": 0.9, "threshold": 0.68, "is_high": True, "shown": "0.90 px"},
                            **{"shown_threshold": "0.68 px", "advice": "Take the picture again."},
                        }
                    ],
                    "texts": [{"view_id": "sneakers-red#image-0", "text": "SALE", "score": 0.98, "box": []}],
                    "detections": [],
                    "tags": [],
                }
            ]
        }
    )

    item_id: str
    facts: dict[str, Any] = Field(description="as `facts` of GET /items/{item_id}")
    unknown: list[str] = Field(description="facts that are on, but of which the item has no value")
    colours: list[dict[str, Any]] = Field(description="groups of similar pixels: view_id, hex, share")
    problems: list[dict[str, Any]] = Field(description="problems of pictures with their value, threshold and advice")
    texts: list[dict[str, Any]] = Field(description="lines of text in pictures: view_id, text, score, box")
    detections: list[dict[str, Any]] = Field(description="labels of detectors: view_id, detector, label, score")
    tags: list[dict[str, Any]] = Field(description="tags with values, probability, source and known values")


class FactStateAnswer(BaseModel):
    """How many pictures or items have a fact."""

    name: str
    version: str
    of: Literal["pictures", "items"]
    total: int
    found: int
    outdated: int
    missing: int
    failed: int


class FactStatusAnswer(BaseModel):
    """The facts that are on, with the number of pictures or items that have them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "settings": {
                        "colours": True,
                        "language": True,
                        "languages": ["en"],
                        "quality": False,
                        "ocr": False,
                    },
                    "facts": [
                        {
                            **{"name": "colours", "version": "1", "of": "pictures", "total": 73, "found": 73},
                            **{"outdated": 0, "missing": 0, "failed": 0},
                        }
                    ],
                    "filters": ["colour", "colours.red", "language"],
                }
            ]
        }
    )

    settings: dict[str, Any]
    facts: list[FactStateAnswer]
    filters: list[str] = Field(description="names of facts for filters")


class FacetCount(BaseModel):
    """Number of items with a value."""

    value: str | None = Field(
        description="null: not known; of `ocr_text`: yes or no; of `quality.problems`: '' for none"
    )
    count: int


class Facet(BaseModel):
    """A fact or tag with its values, most frequent first."""

    name: str = Field(description="for filters")
    several: bool = Field(description="whether an item may have several values")
    values: list[FacetCount]


class FacetsAnswer(BaseModel):
    """Numbers of items for each value of facts and tags."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"items": 75, "complete": True},
                    "facets": [
                        {
                            "name": "colour",
                            "several": False,
                            "values": [{"value": "red", "count": 9}, {"value": None, "count": 2}],
                        }
                    ],
                }
            ]
        }
    )

    items: int = Field(description="counted items with all selections")
    complete: bool = Field(description="false: only the first 100,000 items were counted")
    facets: list[Facet]
