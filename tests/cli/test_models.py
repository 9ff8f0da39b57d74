"""`firstsight models`, called as its users call it; the hub is a server in this process."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.cli.calling import Run, call_in_process, parse_json_lines
from tests.encoders import checkpoints

SAMPLE_PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks for: the list of a repository's files, and the files."""

    def __init__(self, root: Path, *arguments: Any) -> None:
        self._root = root
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        asked_list = parts[0] == "api"
        folder = self._root / "/".join(parts[2:4] if asked_list else parts[:2])
        if asked_list and len(parts) > 3 and folder.is_dir():
            self._send(self._list("/".join(parts[2:4]), folder, tree="tree" in parts), {}, with_body)
        elif not asked_list and (file := folder / "/".join(parts[4:])).is_file():
            content = file.read_bytes()
            tag = hashlib.sha1(content).hexdigest()
            self._send(content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, with_body)
        else:
            self._send(b"", {"X-Error-Code": "RepoNotFound" if asked_list else "EntryNotFound"}, with_body, status=404)

    def _list(self, repo: str, folder: Path, *, tree: bool) -> bytes:
        files = sorted(file for file in folder.iterdir() if file.is_file())
        if tree:
            oids = [hashlib.sha1(file.read_bytes()).hexdigest() for file in files]
            return json.dumps(
                [
                    {"type": "file", "oid": oid, "size": file.stat().st_size, "path": file.name}
                    for file, oid in zip(files, oids, strict=True)
                ]
            ).encode()
        siblings = [{"rfilename": file.name} for file in files]
        return json.dumps({"id": repo, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}).encode()

    def _send(self, content: bytes, headers: dict[str, str], with_body: bool, status: int = 200) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a hub, and the folder of its repositories."""
    root = tmp_path / "hub-server"
    root.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", root
        server.shutdown()


@pytest.fixture
def hub_cache(tmp_path: Path) -> Path:
    """The folder for downloaded models."""
    return tmp_path / "hub"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hub_cache: Path, tmp_path: Path) -> Run:
    """Call `firstsight models` in this process, offline; gives exit code, stdout and stderr."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub_cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("FIRSTSIGHT_CACHE", str(tmp_path / "cache"))
    return partial(call_in_process, monkeypatch, capsys, "models")


@pytest.fixture
def run_with_hub(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same with a hub at the address `hub`, by default one that cannot be reached."""

    def call(*arguments: str, hub: str = "http://127.0.0.1:9") -> tuple[int, str, str]:
        # huggingface_hub reads its environment once, when it is imported
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", hub)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        return run(*arguments)

    return call


def test_alone_it_lists_models_as_json_lines_in_a_pipe(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    listed = parse_json_lines(out)
    assert len(listed) == 14
    assert list(listed[0]) == ["name", "dim", "image_size", "weights_bytes", "on_disk", "place", "note"]
    assert listed[0]["name"] == "starter"


def test_a_filter_may_stand_right_behind_models(run: Run) -> None:
    names = [row["name"] for row in parse_json_lines(run("eva02", "--all")[1])]
    assert len(names) == 5
    assert names == [row["name"] for row in parse_json_lines(run("list", "--all", "eva02", "--json")[1])]


def test_a_filter_that_finds_nothing_is_exit_code_1(run: Run) -> None:
    code, out, err = run("siglp")
    assert (code, out) == (1, "")
    assert err.startswith("firstsight: no model has 'siglp' in its name; near it are ")


@pytest.mark.slow
def test_on_a_terminal_the_list_is_a_table(run: Run, run_on_terminal: Run, hub_cache: Path) -> None:
    _, shown, said = run_on_terminal("models")
    (row,) = [line.split() for line in shown.splitlines() if "laion2b_s34b_b79k" in line]
    assert row[:6] == ["open_clip:ViT-B-32/laion2b_s34b_b79k", "512", "224", "605", "MB", "no"]
    assert f"downloaded models are in {hub_cache}" in said


@pytest.mark.slow
def test_what_is_downloaded_is_listed_and_passes_its_check_without_a_network(
    run_with_hub: Run, hub: tuple[str, Path], hub_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, root = hub
    repository = root / "me" / "clip"
    repository.mkdir(parents=True)
    checkpoints.clip(repository)
    (repository / "pytorch_model.bin").write_bytes(b"the same weights again")
    (repository / "code.py").write_text("raise SystemExit")
    name = "transformers:me/clip"
    capsys.readouterr()  # the progress bar of saving it

    code, out, err = run_with_hub("download", name, hub=address)
    assert (code, err) == (0, "")
    (done,) = parse_json_lines(out)
    (folder,) = map(Path, done["folders"])
    assert folder.is_relative_to(hub_cache)
    wanted = {
        file.name: file.stat().st_size for file in repository.iterdir() if file.suffix in {".json", ".safetensors"}
    }
    assert {file.name for file in folder.iterdir()} == set(wanted)
    assert (done["files"], done["bytes"]) == (len(wanted), sum(wanted.values()))
    assert parse_json_lines(run_with_hub("download", name)[1]) == [done]  # the hub is gone, the files are there

    (listed,) = parse_json_lines(run_with_hub("me/")[1])
    assert (listed["name"], listed["dim"], listed["on_disk"]) == (name, 32, True)
    assert listed["weights_bytes"] == wanted["model.safetensors"]

    chosen = ["--runtime", "torch", "--pictures", str(SAMPLE_PICTURES)]
    code, out, err = run_with_hub("check", name, *chosen)
    assert code == 0, err
    assert "Retrying" not in err  # nobody asked the hub, which is gone
    (found,) = parse_json_lines(out)
    assert (found["name"], found["dim"], found["image_size"], found["runtime"]) == (name, 32, 48, "torch:fp32")
    assert (found["pictures"] + found["unreadable"], found["texts"]) == (
        min(64, len(list(SAMPLE_PICTURES.iterdir()))),
        16,
    )
    assert found["min_cosine"] > 0.999
    assert found["texts_are_trimmed"] is True
    assert found["problem"] == ""


def test_a_model_that_the_hub_does_not_have_is_one_sentence(run_with_hub: Run, hub: tuple[str, Path]) -> None:
    code, out, err = run_with_hub("download", "transformers:me/none", hub=hub[0])
    assert (code, out) == (1, "")
    assert err.startswith("firstsight: the Hugging Face hub has no 'me/none'")
    assert len(err.splitlines()) == 1


def test_a_repository_without_weights_is_one_sentence(run_with_hub: Run, hub: tuple[str, Path]) -> None:
    (hub[1] / "me" / "words").mkdir(parents=True)
    (hub[1] / "me" / "words" / "tokenizer.json").write_text("{}")
    code, _, err = run_with_hub("download", "transformers:me/words", hub=hub[0])
    assert code == 1
    assert "me/words holds none of the weights that can be loaded here: model.safetensors" in err


@pytest.mark.slow
def test_without_a_network_downloading_says_so(run_with_hub: Run) -> None:
    code, out, err = run_with_hub("download", "open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K --local-dir FOLDER" in err
    assert "open_clip:FOLDER" in err


@pytest.mark.slow
def test_the_built_in_model_passes_its_check(run: Run) -> None:
    code, out, err = run("check", "starter", "--threads", "2")
    assert code == 0
    (found,) = parse_json_lines(out)
    assert (found["dim"], found["pictures"], found["reference"]) == (384, 16, "starter run by torch in float32")
    assert found["min_cosine"] > 0.9999
    assert min(found["pictures_per_second"], found["texts_per_second"], found["one_text_ms"]) > 0
    assert err.splitlines()[0] == "loading starter"


@pytest.mark.slow
def test_the_runtimes_that_were_refused_are_named_with_the_reason(run: Run, tmp_path: Path) -> None:
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.registry import load_dual_model
    from firstsight.encoders.runtimes import runtime_measurements
    from firstsight.encoders.runtimes.runtime_choice import candidate_runtimes, machine

    checkpoints.open_clip_folder(tmp_path, "tiny-clip", {})
    name = f"open_clip:{tmp_path}"
    fingerprint = load_dual_model(name, EncoderOptions()).spec.fingerprint
    first = next(candidate_runtimes("cpu"))
    verdict = {"mean_cosine": 0.9, "min_cosine": 0.8, "refused": "it was seen to fail"}
    runtime_measurements.write(fingerprint, machine(first, "cpu"), verdict)
    code, out, _ = run("check", name, "--device", "cpu")
    assert code == 0
    (found,) = parse_json_lines(out)
    assert found["refused"][str(first)] == "it was seen to fail"
    assert found["runtime"] != str(first)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "starter", "--pictures", "/none"], "there is no folder '/none'"),
        (["check", "starter", "--runtime", "abacus"], "no runtime 'abacus'"),
        (["check", "open_clip:ViT-B-33/x"], "no architecture 'ViT-B-33'"),
        (["calibrate", "starter", "/none"], "there is no folder '/none'"),
        (["calibrate", "starter", str(SAMPLE_PICTURES)], "neither an open_clip nor a transformers model"),
        (["download", "clip:x"], "no encoder family is called 'clip'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("firstsight: ")
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["", "list", "download", "check", "calibrate"])
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"firstsight models {command}".strip() in " ".join(out.split())
    assert "xample" in out
