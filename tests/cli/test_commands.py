"""The command line, called as its users call it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import Run, call_process_on_a_terminal, parse_json_lines
from tests.conftest import SAMPLE_CATALOGUE

SAMPLE = Path(__file__).parents[2] / "sample_media"


def test_a_text_search_in_a_pipe_prints_json_lines(run: Run) -> None:
    code, out, err = run("search", "red running shoes", "-k", "3")
    assert (code, err) == (0, "")
    results = parse_json_lines(out)
    assert len(results) == 3
    assert results[0]["item_id"] == "sneakers-red"
    assert list(results[0]) == [
        "item_id",
        "kind",
        "title",
        "score",
        "relevance",
        "colour_boost",
        "view",
        "picture",
        "columns",
        "snapshot",
        "understood",
    ]
    assert {"price", "category", "text"} <= set(results[0]["columns"])


def test_a_picture_search_finds_what_it_shows(run: Run) -> None:
    _, out, _ = run("search", "--image", str(SAMPLE / "queries" / "guitar.jpg"), "-k", "3")
    assert all("guitar" in str(result["title"]).lower() for result in parse_json_lines(out))


@pytest.mark.slow
def test_a_video_search_names_the_second_that_matched(run: Run) -> None:
    _, out, _ = run("search", "--video", str(SAMPLE / "queries" / "tea-time.mp4"), "--kind", "video", "-k", "1")
    (result,) = parse_json_lines(out)
    view = result["picture"]
    assert view["part"] == "frame"
    assert view["time_s"] >= 0


def test_more_like_an_item_leaves_it_out(run: Run) -> None:
    _, out, _ = run("search", "--item", "guitar-acoustic")
    ids = [result["item_id"] for result in parse_json_lines(out)]
    assert "guitar-acoustic" not in ids
    assert len(ids) == len(set(ids)) == 10


@pytest.mark.slow
def test_a_filter_holds_for_every_result(run: Run) -> None:
    _, out, _ = run("search", "music", "--where", "price < 100 AND category = 'music'")
    results = parse_json_lines(out)
    assert results
    assert all(r["columns"]["category"] == "music" and r["columns"]["price"] < 100 for r in results)


@pytest.mark.slow
def test_parts_weights_and_what_to_avoid_are_options(run: Run) -> None:
    guitar = str(SAMPLE / "queries" / "guitar.jpg")
    _, out, _ = run("search", "electric", "--image", guitar, "--image-weight", "0.5", "--minus", "acoustic", "-k", "3")
    assert "electric" in str(parse_json_lines(out)[0]["title"]).lower()
    _, out, _ = run("search", "cat", "--part", "frame", "-k", "1")
    assert parse_json_lines(out)[0]["view"]["part"] == "frame"


@pytest.mark.slow
def test_words_collapse_and_a_least_relevance_are_options(run: Run) -> None:
    assert parse_json_lines(run("search", "laces", "--mode", "words")[1])
    shoes = parse_json_lines(run("search", "running shoes with black laces", "--collapse", "parent", "-k", "5")[1])
    assert [shoe["columns"]["parent"] for shoe in shoes].count("sneakers") == 1
    assert shoes[0]["others"] == 2
    code, out, err = run("search", "mortgage refinancing rates", "--min-relevance", "0.5")
    assert (code, out, err) == (0, "", "")


@pytest.mark.slow
def test_pages_follow_one_another_by_offset_and_snapshot(run: Run) -> None:
    whole = [result["item_id"] for result in parse_json_lines(run("search", "shoe", "--limit", "12")[1])]
    first = parse_json_lines(run("search", "shoe", "--limit", "6")[1])
    second = parse_json_lines(
        run("search", "shoe", "--limit", "6", "--offset", "6", "--snapshot", first[0]["snapshot"])[1]
    )
    assert [result["item_id"] for result in [*first, *second]] == whole


def test_a_file_of_queries_is_answered_line_by_line(run: Run, tmp_path: Path) -> None:
    asked = [
        '{"id": "q1", "text": "red running shoes", "k": 2}',
        "not json",
        "",
        '{"id": 7, "txt": "shoes"}',
        '{"items": ["nobody"]}',
        '{"text": "cat", "part": "frame", "k": 1}',
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(asked))
    code, out, err = run("search", "--queries", str(tmp_path / "q.jsonl"))
    assert (code, err) == (0, "")
    answers = parse_json_lines(out)
    assert [(answer["line"], answer.get("id")) for answer in answers] == [
        (1, "q1"),
        (2, None),
        (4, 7),
        (5, None),
        (6, None),
    ]
    assert answers[0]["results"][0]["item_id"] == "sneakers-red"
    assert len(answers[0]["results"]) == 2
    assert "line 2 is no JSON" in answers[1]["error"]
    assert "did you mean text" in answers[2]["error"]
    assert "there is no item 'nobody'" in answers[3]["error"]
    assert answers[4]["results"][0]["view"]["part"] == "frame"


def test_kinds_can_be_combined(run: Run) -> None:
    _, out, _ = run("search", "guitar", "--kind", "video", "--kind", "live")
    assert {str(r["kind"]) for r in parse_json_lines(out)} == {"video", "live"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", ""], "the query is empty"),
        (["search"], "there is nothing to search by; give a text, a picture, a video, an item or a vector"),
        (["search", "shoe", "--image-weight", "2"], "there are 1 image weights for 0 images"),
        (["search", "shoe", "--mode", "magic"], "mode must be one of vector, words, hybrid, not 'magic'"),
        (["search", "shoe", "--collapse", "parrent"], "no column 'parrent' to collapse by; the columns are item_id"),
        (["search", "shoe", "--min-relevance", "7"], "min_relevance must be between 0 and 1, not 7"),
        (["search", "shoe", "--snapshot", "x"], "snapshot 'x' is not a token"),
        (["search", "--queries", "none.jsonl"], "none.jsonl cannot be read"),
        (["search", "shoe", "--queries", "none.jsonl"], "cannot be used with a query or --html"),
        (["search", "--item", "nobody"], "there is no item 'nobody'"),
        (
            ["search", "shoe", "--where", "colr = 'red'"],
            "'colr', which is no column; the columns are item_id, kind",
        ),
        (["search", "shoe", "--where", "price <"], "cannot be read"),
        (["search", "shoe", "--where", "price = 'cheap"], "cannot be read"),
        (["search", "shoe", "--kind", "film"], "kind 'film' is not one of product, video, live"),
        (["search", "shoe", "-k", "0"], "k must be between 1 and"),
        (["get", "nobody"], "there is no item 'nobody'"),
        (["index"], "name a catalogue, or use --retry"),
        (["index", "x.csv", "--map", "name"], "is not of the form OURS=THEIRS"),
        (["search", "shoe", "--where", "CAST(title AS INT) > 3"], "cannot be read"),
    ],
)
@pytest.mark.slow
def test_wrong_usage_is_one_sentence_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert said in " ".join(err.split())


def test_a_database_that_is_not_there_is_exit_code_2_and_is_not_made(run: Run, tmp_path: Path) -> None:
    code, _, err = run("search", "shoe", "--db", str(tmp_path / "none"))
    assert code == 2
    assert "make one with: firstsight index" in err
    assert not (tmp_path / "none").exists()


def test_an_empty_database_says_so(run: Run, tmp_path: Path) -> None:
    from firstsight.storage.store import Store

    Store.create(tmp_path / "empty", firstsight.load_encoder("starter").spec)
    code, _, err = run("search", "shoe", "--db", str(tmp_path / "empty"))
    assert code == 2
    assert "has no items yet" in err


def test_a_catalogue_that_cannot_be_used_is_exit_code_1_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text("item_id,title\na,One\na,Two\n")
    code, _, err = run("index", str(catalogue), "--db", str(tmp_path / "db"))
    assert code == 1
    assert "line 3: item_id 'a' is already in line 2" in err
    assert not (tmp_path / "db").exists()


def test_a_picture_that_cannot_be_searched_by_is_exit_code_1(run: Run) -> None:
    code, _, err = run("search", "--image", str(SAMPLE / "pictures" / "broken-teapot.jpg"))
    assert code == 1
    assert err.startswith("firstsight: ")
    assert "truncated" in err


@pytest.mark.slow
def test_more_failures_than_allowed_is_exit_code_3_and_the_items_are_there(run: Run, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text("item_id,title,images\na,A red shoe,gone.jpg\n")
    code, out, err = run("index", str(catalogue), "--db", str(tmp_path / "db"))
    assert code == 3
    assert parse_json_lines(out)[0]["counts"]["encoded"] == 1
    assert "1 of 1 media could not be used (1 missing)" in err
    assert "1 of 1 media" in run("index", str(catalogue), "--db", str(tmp_path / "db3"), "--quiet")[2]
    assert run("index", str(catalogue), "--db", str(tmp_path / "db2"), "--max-failures", "1")[0] == 0


@pytest.mark.slow
def test_pictures_that_are_not_used_are_exit_code_3_until_they_are_used_or_dropped(run: Run, tmp_path: Path) -> None:
    shutil.copy(SAMPLE / "pictures" / "sneakers-red.jpg", tmp_path / "a.jpg")
    catalogue = tmp_path / "catalogue.csv"
    catalogue.write_text("item_id,title,image,more_images\na,A red shoe,a.jpg,a.jpg|a.jpg\n")
    index = ("index", str(catalogue), "--db", str(tmp_path / "db"))
    code, out, err = run(*index, "--map", "images=title", "--json", "--quiet")
    assert code == 3  # the title is no picture that can be read
    (report,) = parse_json_lines(out)
    assert (report["counts"]["encoded"], report["counts"]["pictures"]) == (1, 0)
    assert [one["column"] for one in report["unused_media"]] == ["image", "more_images"]
    assert "column 'image' looks like pictures (such as 'a.jpg') and is not used" in err
    option, value = report["unused_media"][0]["option"].split()
    assert f"use it with {option} {value}" in err
    code, out, err = run(*index)
    assert (code, parse_json_lines(out)[0]["counts"]["pictures"], "is not used" in err) == (0, 1, False)
    assert run(*index, "--drop", "image,more_images")[0] == 0
    code, out, err = run(*index, "--map", "images=image")
    assert (code, parse_json_lines(out)[0]["no_media_used"]) == (0, False)
    assert "column 'more_images' looks like pictures" in err
    catalogue.write_text('item_id,title,image\na,A red shoe,"data:image/png;base64,iVBORw0KGgo="\n')
    code, out, err = run(*index)
    assert (code, parse_json_lines(out)[0]["no_media_used"]) == (3, True)
    assert "no picture and no video was read from the catalogue, but these columns look like media: image" in err


def test_failures_names_medium_stage_reason_and_what_happened(run: Run) -> None:
    code, out, _ = run("failures")
    assert code == 0
    (failure,) = parse_json_lines(out)
    assert (failure["item_id"], failure["stage"], failure["reason"]) == ("teapot-blue", "decode", "corrupt")


def test_status_tells_what_is_there(run: Run) -> None:
    _, out, _ = run("status")
    (state,) = parse_json_lines(out)
    assert (state["items"], state["failures"]) == (75, 1)
    assert state["encoder"]["name"] == "starter"
    assert "colours" in state["facts"]
    assert state["runs"][-1]["outcome"] == "finished"


def test_get_shows_facts_in_words_and_status_names_those_that_are_on(
    run_on_terminal: Run, sample_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTSIGHT_DB", str(sample_db))
    out = run_on_terminal("get", "sneakers-red")[1]
    assert re.search(r"colour +red\b", out)
    assert re.search(r"colours +red \d\d%, black \d+%.*; pattern", out)
    assert re.search("language +en", out)
    assert re.search("colour +don't know", run_on_terminal("get", "teapot-blue")[1])
    assert re.search("facts +colours, language", run_on_terminal("status")[1])


def test_get_shows_views_and_vectors_when_asked(run: Run) -> None:
    _, out, _ = run("get", "video-cat", "--vectors")
    (item,) = parse_json_lines(out)
    views = item["views"]
    assert {view["part"] for view in views[:-1]} == {"frame"}
    assert all(view["start_s"] <= view["time_s"] < view["end_s"] for view in views[:-1])
    assert views[-1]["part"] == "title"
    assert len(views[0]["vector"]) == 384
    assert "vector" not in parse_json_lines(run("get", "video-cat")[1])[0]


def test_the_page_holds_its_pictures_titles_and_the_second_of_a_video(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, _, err = run("search", "a cat <b>", "-k", "4", "--html", str(page))
    assert (code, err) == (0, f"wrote {page}\n")
    html = page.read_text()
    assert html.count("data:image/jpeg;base64,") == 4
    assert "a cat &lt;b&gt;" in html
    assert "<b>" not in html
    assert "video · 0:0" in html
    assert "http" not in html.replace("http-equiv", "")


@pytest.mark.slow
def test_the_page_says_why_a_picture_is_missing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes((SAMPLE / "pictures" / "sneakers-red.jpg").read_bytes())
    (tmp_path / "catalogue.csv").write_text("item_id,title,images\na,A red shoe,shoe.jpg\n")
    run("index", str(tmp_path / "catalogue.csv"), "--db", str(tmp_path / "db"))
    (tmp_path / "shoe.jpg").unlink()
    run("search", "shoe", "--db", str(tmp_path / "db"), "--html", str(tmp_path / "page.html"))
    assert "shoe.jpg" in (tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_written_is_one_sentence(run: Run, tmp_path: Path) -> None:
    code, _, err = run("search", "shoe", "--html", str(tmp_path / "none" / "page.html"))
    assert code == 2
    assert "cannot be written" in " ".join(err.split())


@pytest.mark.slow
def test_on_a_terminal_results_are_a_table(sample_db: Path) -> None:
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    code, table, _ = call_process_on_a_terminal(["search", "a cat", "-k", "2", "--db", str(sample_db)], environment)
    assert code == 0
    assert "score" in table
    assert "video-cat" in table
    assert "{" not in table


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(sample_db: Path) -> None:
    command = f"{sys.executable} -m firstsight search shoe -k 75 --db {sample_db} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_quiet_run_that_went_well_says_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_text("item_id,title\na,A red shoe\n")
    code, _, err = run("index", str(tmp_path / "catalogue.csv"), "--db", str(tmp_path / "db"), "--quiet")
    assert (code, err) == (0, "")


def test_an_item_with_nothing_in_it_is_no_failed_medium(run: Run, tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_text("item_id,title\na,A red shoe\nb,\n")
    code, out, err = run("index", str(tmp_path / "catalogue.csv"), "--db", str(tmp_path / "db"))
    assert code == 0
    assert (parse_json_lines(out)[0]["counts"]["empty"], parse_json_lines(out)[0]["counts"]["failed_media"]) == (1, 0)
    assert "1 items have no title, no text and no media" in err


@pytest.mark.slow
def test_trying_again_keeps_what_was_allowed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes((SAMPLE / "pictures" / "sneakers-red.jpg").read_bytes())
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "catalogue.csv").write_text("item_id,title,images\na,A shoe,../shoe.jpg|gone.jpg\n")
    db = ["--db", str(tmp_path / "db"), "--max-failures", "1"]
    run("index", str(tmp_path / "shop" / "catalogue.csv"), "--allow-anywhere", *db)
    code, out, _ = run("index", "--retry", *db)
    assert code == 0
    assert parse_json_lines(out)[0]["reasons"] == {"missing": 1}
    assert [view["part"] for view in parse_json_lines(run("get", "a", "--db", db[1])[1])[0]["views"]] == [
        "image",
        "title",
    ]


def test_trying_again_from_a_catalogue_without_the_items_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("item_id,title,images\na,A shoe,gone.jpg\n")
    (tmp_path / "other.csv").write_text("item_id,title\nb,A hat\n")
    db = ["--db", str(tmp_path / "db"), "--max-failures", "1"]
    run("index", str(tmp_path / "one.csv"), *db)
    assert (
        "1 items with failed media are not in this catalogue"
        in run("index", str(tmp_path / "other.csv"), "--retry", *db)[2]
    )


def test_a_title_cannot_steer_the_terminal() -> None:
    from firstsight.cli.output import replace_control_characters

    assert replace_control_characters("a\x1b]0;owned\x07b\u202ec") == "a\ufffd]0;owned\ufffdb\ufffdc"
    assert replace_control_characters("two\nlines\tand ünïcödé 漢字 👟") == "two\nlines\tand ünïcödé 漢字 👟"


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version")[1] == f"firstsight {firstsight.__version__}\n"


@pytest.mark.parametrize("command", ["index", "search", "get", "status", "failures"])
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"firstsight {command}" in " ".join(out.split())
    assert "xample" in out


@pytest.mark.parametrize("command", ["index", "search", "get", "status", "failures"])
def test_help_says_which_database_is_the_default(run: Run, command: str) -> None:
    text = " ".join(run(command, "--help")[1].replace("│", " ").split())
    assert "By default $FIRSTSIGHT_DB, else ./firstsight-db." in text


def test_another_format_of_vectors_is_refused_and_status_names_the_stored_one(run: Run) -> None:
    code, _, err = run("index", str(SAMPLE_CATALOGUE), "--vectors", "float64")
    assert (code, "float32 or" in " ".join(err.replace("│", "").split())) == (2, True)
    code, _, err = run("index", str(SAMPLE_CATALOGUE), "--vectors", "float16")
    assert code != 0
    assert "stores vectors as float32, not as float16" in " ".join(err.split())
    assert json.loads(run("status", "--json")[1])["vectors"] == "float32"
