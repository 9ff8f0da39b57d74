"""Policies: the rules of a policy file, and changes of its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import DEFAULT_CUTS, load_policies, parse_policies

TREE = """
policies:
  - {id: weapons, name: Weapons, severity: 4, parts: [image, frame], prompts: [a gun], neutral_prompts: [a toy],
     cuts: {default: {review: 0.3, block: 0.9}, de: {review: 0.2, block: 0.8}}}
  - {id: knives, parent: weapons, name: Knives, severity: 5, prompts: [a knife]}
"""


def test_the_shipped_policies_are_read_and_have_prompts_for_a_start() -> None:
    shipped = load_policies()
    assert {"weapons", "drugs", "alcohol", "tobacco", "adult", "gore", "counterfeit", "misleading-claims"} <= {
        policy.id for policy in shipped.all
    }
    assert all(policy.prompts and policy.neutral_prompts for policy in shipped.all)
    assert shipped["counterfeit"].parts == {"title"}
    assert shipped["weapons-firearms"].parent == "weapons"
    assert shipped["drugs"].cuts_in("anywhere") == DEFAULT_CUTS


def test_a_policy_inherits_missing_keys_from_its_parent() -> None:
    knives = parse_policies(TREE, "p.yaml")["knives"]
    assert (knives.severity, knives.prompts) == (5, ("a knife",))
    assert knives.parts == {"image", "frame"}
    assert knives.neutral_prompts == ("a toy",)
    assert knives.cuts_in("de") == (0.2, 0.8)
    assert knives.cuts_in("fr") == knives.cuts_in() == (0.3, 0.9)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: Knives", "name: Blades"),
        ("name: Weapons", "name: Arms, description: all of them"),
        ("\n  - {id: k", "\n\n  - {id: k"),
    ],
)
def test_renaming_and_describing_change_no_version(old: str, new: str) -> None:
    changed = TREE.replace(old, new)
    assert changed != TREE
    assert parse_policies(changed, "p.yaml").version == parse_policies(TREE, "p.yaml").version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a gun", "a pistol"),
        ("a toy", "a tool"),
        ("block: 0.8", "block: 0.7"),
        ("[image, frame]", "[image]"),
        ("severity: 5", "severity: 3"),
        ("id: knives,", "id: knives, retired: true,"),
        ("id: knives,", "id: knives, min_age: 18,"),
    ],
)
def test_settings_that_can_change_a_decision_change_the_version(old: str, new: str) -> None:
    assert parse_policies(TREE.replace(old, new), "p.yaml").version != parse_policies(TREE, "p.yaml").version


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("policies: [", "p.yaml is not valid YAML"),
        ("- a", "one key, policies"),
        ("policies: [{id: Guns}]", "id 'Guns' must be lower-case"),
        ("policies: [{id: a}, {id: a}]", "id 'a' occurs twice"),
        ("policies: [{id: a, sevrity: 3}]", "policy a: unknown key 'sevrity'; the keys are id"),
        ("policies: [{id: a, severity: 9}]", "policy a: severity must be a whole number, 1 to 5, not 9"),
        ("policies: [{id: a, parts: [sound]}]", "parts ['sound'] must be some of title, image, frame"),
        ("policies: [{id: a, prompts: [a gun]}]", "prompts need neutral_prompts"),
        ("policies: [{id: a, parent: b}]", "parent 'b' is not in this file"),
        ("policies: [{id: a, parent: b}, {id: b, parent: a}]", "form a circle (a > b > a)"),
        ("policies: [{id: a, blocked_regions: [no]}]", "put words such as no in quotes"),
        ("policies: [{id: a, cuts: {de: {review: 0.9, block: 0.5}}}]", "review 0.9 must not be above block 0.5"),
        ("policies: [{id: a, cuts: {de: {review: 0.9, block: 1.5}}}]", "between 0 and 1"),
        ("policies: [!!python/object/apply:os.getcwd []]", "is not valid YAML"),
    ],
)
def test_a_broken_rule_is_reported_with_its_place(text: str, says: str) -> None:
    with pytest.raises(SafetyError) as raised:
        parse_policies(text, "p.yaml")
    assert says in str(raised.value)


def test_a_missing_file_and_a_missing_policy_are_named(tmp_path: Path) -> None:
    with pytest.raises(SafetyError, match=r"none.yaml cannot be read"):
        load_policies(tmp_path / "none.yaml")
    with pytest.raises(SafetyError, match="no policy 'spoons'; the policies are weapons, knives"):
        parse_policies(TREE, "p.yaml")["spoons"]
