"""`tags train` and `safety train` with the methods of docs/prompt-learning.md, through the command."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import pytest

import firstsight
from firstsight.heads.methods import class_fit, view_methods
from firstsight.heads.methods.learned_context import ContextSettings
from tests.cli.calling import Run, parse_json_lines

PAGE = Path(__file__).parents[2] / "docs" / "prompt-learning.md"
KINDS = {
    "fruit": ("lemon", "bananas", "grapes"),
    "shoes": ("sneakers-red", "sneakers-sky", "flip-flops"),
    "music": ("guitar-acoustic", "guitar-electric", "bass-guitar"),
}
POLICY = """
policies:
  - id: mixed
    name: Mixed
    severity: 3
    prompts: [a guitar, a bicycle, bananas]
    neutral_prompts: [shoes, a computer, furniture, a lamp, a hat, a clock]
"""
MIXED = ("guitar-acoustic", "bicycle", "bananas")
OTHERS = ("sneakers-red", "flip-flops", "laptop", "wooden-table", "desk-lamp", "fedora-red", "alarm-clock")


@pytest.fixture
def own(sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """The command in a folder of its own, on a copy of the sample index."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTSIGHT_DB", str(shutil.copytree(sample_db, tmp_path / "db")))
    return run


def test_tags_learn_the_context_of_their_prompts(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_fit, "ContextSettings", lambda: ContextSettings(steps=4))
    labels = [f"{item_id},{kind}" for kind, item_ids in KINDS.items() for item_id in item_ids]
    Path("labels.csv").write_text("\n".join(["item_id,label", *labels]), encoding="utf-8")
    code, out, err = own("tags", "train", "labels.csv", "--method", "coop", "--use", "--json")
    assert code == 0, err
    assert parse_json_lines(out)[0]["trained"][0]["methods"] == ["coop"]
    with firstsight.open() as db:
        (values,) = (explained.values for explained in db.tags.explain("guitar-acoustic"))
        assert values == ("music",)


def test_a_head_of_few_labels_that_share_nothing_is_stored_and_the_prompts_stay_in_use(own: Run) -> None:
    """The prompts name each of the three positives; a fit without one of them cannot know it."""
    Path("policies.yaml").write_text(POLICY, encoding="utf-8")
    labels = [f"mixed,{item_id},{int(item_id in MIXED)}" for item_id in (*MIXED, *OTHERS)]
    Path("labels.csv").write_text("\n".join(["policy,item_id,label", *labels]), encoding="utf-8")
    code, out, err = own("safety", "train", "labels.csv", "--policies", "policies.yaml", "--method", "linear")
    assert code == 0, err
    (head,) = parse_json_lines(out)
    assert (head["version"], head["promoted"], head["average_precision_zero_shot"]) == (1, False, 1.0)
    verdict = "not promoted: average precision of the prompts 1.0000, of the head 0."
    (line,) = (line for line in err.splitlines() if verdict in line)
    assert re.search(r"difference -0\.\d{4}, 90% interval -0\.\d{4} to [-+]0\.\d{4}; 0 or more is needed$", line)
    assert "to use it all the same: firstsight safety heads --promote 1" in err
    (listed,) = parse_json_lines(own("safety", "heads")[1])
    assert (listed["version"], listed["promoted"]) == (1, False)


def test_the_commands_of_the_page_on_prompt_learning_run(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("policies.yaml").write_text(POLICY, encoding="utf-8")
    monkeypatch.setenv("FIRSTSIGHT_POLICIES", "policies.yaml")
    recipe = partial(view_methods.ViewContextRecipe, settings=ContextSettings(steps=4))
    monkeypatch.setattr(view_methods, "ViewContextRecipe", recipe)
    labels = [f"mixed,{item_id},{int(item_id in MIXED)}" for item_id in (*MIXED, *OTHERS)]
    Path("labels.csv").write_text("\n".join(["policy,item_id,label", *labels]), encoding="utf-8")
    commands = re.findall(r"^    firstsight (safety train .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    heads = [parse_json_lines(own(*command.split())[1])[0] for command in commands]
    assert [head["method"] for head in heads] == ["prompt-offset", "coop"]
