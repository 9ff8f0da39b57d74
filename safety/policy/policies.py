"""Policies: kinds of unwanted content, read from one YAML file.

    policies:
      - id: weapons                    # never changes, because scores, heads and decisions store it
        name: Weapons                  # may change at any time
        severity: 5                    # 1 to 5; 5 is the most severe
        parts: [title, image, frame]   # views to score
        prompts: [a photo of a gun]    # texts that describe the content
        neutral_prompts: [a photo of a toy]   # texts that describe similar, allowed content
        cuts: {default: {review: 0.3, block: 0.95}, de: {review: 0.2, block: 0.9}}
        words: [ammo, "gun for sale"]  # words in a title or text that send an item to review
        block_words: []                # words in a title or text that block an item
        detectors: {nudity: {label: EXPOSED, review: 0.6}}   # installed detectors, with a label and its cut
      - id: weapons-knives
        parent: weapons                # gives the missing keys, except prompts, words, detectors and name

A file's version is the digest of the settings that can change a decision. A new name, description or parent of a policy
does not change the version.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from firstsight.errors import SafetyError
from firstsight.records import Record
from firstsight.storage.tables import HEAD_PARTS, PICTURE_PARTS

DEFAULT_REGION = "default"
"""Key of the cuts for all regions without cuts of their own."""

DEFAULT_CUTS = (0.5, 0.95)
"""(review, block) of a policy without cuts, if its parents have none either."""

REVIEW_BUDGET = 0.01
"""Default share of the items that a policy without labels may send to review."""

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_INHERITED = ("severity", "parts", "neutral_prompts", "cuts", "min_age", "blocked_regions")
_DETECTOR_KEYS = {"label", "review"}
_KEYS = ("id", "name", "description", "parent", "prompts", "words", "block_words", "detectors", "retired", *_INHERITED)


@dataclass(frozen=True)
class DetectorRule(Record):
    """A label of an installed detector that sends items to review."""

    detector: str  # name of its entry point
    label: str
    review: float  # score from which an item goes to review, 0 to 1


@dataclass(frozen=True)
class Policy(Record):
    """One kind of unwanted content. The id never changes; the name may."""

    id: str  # lower-case words joined by - ; immutable
    name: str
    severity: int  # 1 to 5; 5 is the most severe
    parts: frozenset[str]  # parts of the views to score
    prompts: tuple[str, ...]  # texts that describe the content
    neutral_prompts: tuple[str, ...]  # texts that describe similar, allowed content
    cuts: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # region or "default" -> (review, block)
    parent: str | None = None  # id of the more general policy
    min_age: int | None = None  # years: matching items are hidden from younger people instead of blocked
    blocked_regions: tuple[str, ...] = ()  # regions where the review cut blocks
    retired: bool = False  # no longer scored; the id stays reserved
    words: tuple[str, ...] = ()  # words in a title or text that send an item to review
    block_words: tuple[str, ...] = ()  # words in a title or text that block an item
    description: str = ""
    detectors: tuple[DetectorRule, ...] = ()

    @property
    def has_rules(self) -> bool:
        """Whether words or detectors flag items, which needs neither a head nor prompts."""
        return bool(self.words or self.block_words or self.detectors)

    @property
    def prompt_parts(self) -> frozenset[str]:
        """Parts that the prompts score: pictures and frames, since prompts describe them; else all of `parts`."""
        return self.parts & frozenset(PICTURE_PARTS) or self.parts

    def cuts_in(self, region: str | None = None) -> tuple[float, float]:
        """Return `(review, block)`, scores from 0 to 1, for a region; the default cuts if the region has none."""
        cuts = {DEFAULT_REGION: DEFAULT_CUTS, **self.cuts}
        return cuts.get(region or DEFAULT_REGION, cuts[DEFAULT_REGION])

    def decision_settings(self) -> dict[str, Any]:
        """Return the settings that can change a decision, as plain values."""
        return {
            "id": self.id,
            "severity": self.severity,
            "parts": sorted(self.parts),
            "prompts": list(self.prompts),
            "neutral_prompts": list(self.neutral_prompts),
            "cuts": {region: list(cuts) for region, cuts in sorted(self.cuts.items())},
            "min_age": self.min_age,
            "blocked_regions": sorted(self.blocked_regions),
            "retired": self.retired,
            "words": sorted(self.words),
            "block_words": sorted(self.block_words),
            # left out if there are none, so that the versions of files without detectors stay
            **({"detectors": [rule.to_dict() for rule in self.detectors]} if self.detectors else {}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that can change a decision, the name and the parent, as plain values."""
        return self.decision_settings() | {"name": self.name, "parent": self.parent}


@dataclass(frozen=True)
class Policies(Record):
    """The policies of one file, in its order."""

    all: tuple[Policy, ...]
    text: str  # the file, to keep with the decisions made under it

    @cached_property
    def version(self) -> str:
        """Digest of the settings that can change a decision, 16 hex digits."""
        settings = sorted((policy.decision_settings() for policy in self.all), key=lambda plain: str(plain["id"]))
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def in_force(self) -> tuple[Policy, ...]:
        """The policies that are not retired."""
        return tuple(policy for policy in self.all if not policy.retired)

    def __getitem__(self, policy_id: str) -> Policy:
        """Return a policy by its id.

        Raises:
            SafetyError: there is no such policy.
        """
        match = next((policy for policy in self.all if policy.id == policy_id), None)
        if match is None:
            raise SafetyError(
                f"there is no policy {policy_id!r}; the policies are {', '.join(policy.id for policy in self.all)}"
            )
        return match

    def __contains__(self, policy_id: object) -> bool:
        return any(policy.id == policy_id for policy in self.all)


def load_policies(path: str | os.PathLike[str] | None = None) -> Policies:
    """Read and check a policy file.

    Args:
        path: a YAML file; by default the policies that ship with firstsight.

    Raises:
        SafetyError: the file cannot be read, or a policy is invalid; the message names the policy and the key.
    """
    if path is None:
        text = resources.files("firstsight.safety.policy").joinpath("policies.yaml").read_text(encoding="utf-8")
        return parse_policies(text, "policies.yaml")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SafetyError(f"policies {os.fspath(path)} cannot be read ({error}); give a YAML file") from None
    return parse_policies(text, os.fspath(path))


def parse_policies(text: str, name: str) -> Policies:
    """Parse and check policies.

    Args:
        text: the YAML text.
        name: name of the file in messages.

    Raises:
        SafetyError: the text is not YAML, or a policy is invalid; the message names the policy and the key.
    """
    import yaml

    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SafetyError(f"{name} is not valid YAML ({' '.join(str(error).split())[:200]}); fix it there") from None
    rows = loaded.get("policies") if isinstance(loaded, Mapping) and set(loaded) == {"policies"} else None
    if not isinstance(rows, list) or not rows:
        raise SafetyError(f"{name} must have one key, policies, with a list under it; see: firstsight safety policies")
    plain: dict[str, Mapping[str, Any]] = {}
    for n, row in enumerate(rows, 1):
        policy_id = _checked_id(row, f"{name}, policy {n}")
        if policy_id in plain:
            raise SafetyError(f"{name}: policy id {policy_id!r} occurs twice; give one of the policies another id")
        plain[policy_id] = row
    return Policies(tuple(_policy(policy_id, plain, name) for policy_id in plain), text)


def _checked_id(row: object, place: str) -> str:
    if not isinstance(row, Mapping):
        raise SafetyError(f"{place} must be a mapping with an id, not {row!r:.80}")
    policy_id = row.get("id")
    if not isinstance(policy_id, str) or not _ID.fullmatch(policy_id):
        raise SafetyError(f"{place}: id {policy_id!r} must be lower-case words joined by -, such as weapons-knives")
    return policy_id


def _policy(policy_id: str, plain: Mapping[str, Mapping[str, Any]], name: str) -> Policy:
    own, place = plain[policy_id], f"{name}, policy {policy_id}"
    for key in own:
        if key not in _KEYS:
            raise SafetyError(f"{place}: unknown key {key!r}; the keys are {', '.join(_KEYS)}")
    values: dict[str, Any] = {}
    for ancestor in _ancestry(policy_id, plain, place):
        values = {key: plain[ancestor][key] for key in _INHERITED if key in plain[ancestor]} | values
    prompts = _texts(own.get("prompts", []), "prompts", place)
    neutral = _texts(values.get("neutral_prompts", []), "neutral_prompts", place)
    if prompts and not neutral:
        raise SafetyError(f"{place}: prompts need neutral_prompts, which describe similar, allowed content")
    parts = _texts(values.get("parts", list(HEAD_PARTS)), "parts", place)
    if not parts or not set(parts) <= set(HEAD_PARTS):
        raise SafetyError(f"{place}: parts {list(parts)} must be some of {', '.join(HEAD_PARTS)}")
    words, block_words = (_texts(own.get(key, []), key, place) for key in ("words", "block_words"))
    if (words or block_words) and "title" not in parts:
        raise SafetyError(f"{place}: words are searched in titles; add title to its parts")
    return Policy(
        id=policy_id,
        name=_text(own.get("name", policy_id), "name", place),
        severity=_whole_number(values.get("severity", 3), "severity", 1, 5, place),
        parts=frozenset(part for part in HEAD_PARTS if part in parts),
        prompts=prompts,
        neutral_prompts=neutral,
        cuts=_cuts(values.get("cuts", {}), place),
        parent=own.get("parent"),
        min_age=None if values.get("min_age") is None else _whole_number(values["min_age"], "min_age", 1, 99, place),
        blocked_regions=_texts(values.get("blocked_regions", []), "blocked_regions", place),
        retired=_flag(own.get("retired", False), "retired", place),
        words=words,
        block_words=block_words,
        description=_text(own.get("description", ""), "description", place),
        detectors=_detectors(own.get("detectors", {}), place),
    )


def _ancestry(policy_id: str, plain: Mapping[str, Mapping[str, Any]], place: str) -> list[str]:
    """Return the policy, its parent, the parent's parent, …"""
    line = [policy_id]
    while (parent := plain[line[-1]].get("parent")) is not None:
        if parent not in plain:
            raise SafetyError(f"{place}: parent {parent!r} is not in this file")
        if parent in line:
            raise SafetyError(f"{place}: its parents form a circle ({' > '.join([*line, parent])})")
        line.append(parent)
    return line


def _text(value: object, key: str, place: str) -> str:
    if not isinstance(value, str):
        raise SafetyError(f"{place}: {key} must be a text, not {value!r:.80}; put it in quotes")
    return value


def _texts(value: object, key: str, place: str) -> tuple[str, ...]:
    # YAML reads no, on and 007 as other types than text: region NO is false
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise SafetyError(f"{place}: {key} must be a list of texts, not {value!r:.80}; put words such as no in quotes")
    return tuple(value)


def _whole_number(value: object, key: str, low: int, high: int, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SafetyError(f"{place}: {key} must be a whole number, {low} to {high}, not {value!r:.80}")
    return value


def _flag(value: object, key: str, place: str) -> bool:
    if not isinstance(value, bool):
        raise SafetyError(f"{place}: {key} must be true or false, not {value!r:.80}")
    return value


def _detectors(value: object, place: str) -> tuple[DetectorRule, ...]:
    if not isinstance(value, Mapping):
        raise SafetyError(f"{place}: detectors must be names with their label and cut, not {value!r:.80}")
    rules = []
    for name, rule in value.items():
        where = f"{place}: detector {name!r}"
        if not isinstance(name, str) or not isinstance(rule, Mapping) or set(rule) != _DETECTOR_KEYS:
            raise SafetyError(
                f"{where} must be {{label: …, review: …}}, not {rule!r:.80}; a cut for blocks is chosen on labels by "
                "firstsight safety train --detectors"
            )
        cut = rule["review"]
        if isinstance(cut, bool) or not isinstance(cut, int | float) or not 0 < cut <= 1:
            raise SafetyError(f"{where}: review must be a number above 0, at most 1, not {cut!r:.80}")
        rules.append(DetectorRule(name, _text(rule["label"], "label", where), float(cut)))
    return tuple(rules)


def _cuts(value: object, place: str) -> dict[str, tuple[float, float]]:
    if not isinstance(value, Mapping):
        raise SafetyError(f"{place}: cuts must be regions with their cuts, not {value!r:.80}")
    cuts = {}
    for region, pair in value.items():
        where = f"{place}: cuts of region {region!r}"
        if not isinstance(region, str):
            raise SafetyError(f"{where}: a region is a text; put words such as no in quotes")
        if not isinstance(pair, Mapping) or set(pair) != {"review", "block"}:
            raise SafetyError(f"{where} must be {{review: …, block: …}}, not {pair!r:.80}")
        numbers = [pair["review"], pair["block"]]
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not 0 <= n <= 1 for n in numbers):
            raise SafetyError(f"{where} must be between 0 and 1, not {numbers}")
        if numbers[0] > numbers[1]:
            raise SafetyError(f"{where}: review {numbers[0]} must not be above block {numbers[1]}")
        cuts[region] = (float(numbers[0]), float(numbers[1]))
    return cuts
