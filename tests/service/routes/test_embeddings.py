"""The embedding routes with the common client packages, a real server and the real encoder."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cohere
import httpx
import lancedb
import numpy as np
import openai
import pytest
from lancedb.embeddings import get_registry
from lancedb.pydantic import LanceModel
from lancedb.pydantic import Vector as VectorField

from firstsight.encoders.base import Encoder, Vectors, unit
from firstsight.service.app import make_app
from firstsight.service.json_responses import public_encoder_name
from firstsight.service.routes.embedding_formats import format_vectors
from firstsight.service.service_settings import ServiceSettings
from tests.service.live_server import LiveServer

MEDIA = Path(__file__).parents[3] / "sample_media" / "pictures"
PICTURES = [path for path in sorted(MEDIA.glob("*.jpg")) if "broken" not in path.name][:3]
BROKEN = MEDIA / "broken-teapot.jpg"
TEXTS = ["a red running shoe", "a teapot", "ein Stuhl aus Holz"]


def data_uri(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def base64_of(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def service(starter: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    db = tmp_path_factory.mktemp("embeddings") / "db"
    with LiveServer(make_app(ServiceSettings(str(db), encoder=starter))) as served:
        yield served


@pytest.fixture
def client(service: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none is needed", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def of_texts(starter: Encoder) -> Vectors:
    return starter.encode_texts(TEXTS)


@pytest.fixture(scope="module")
def of_pictures(starter: Encoder) -> Vectors:
    return starter.encode_images(PICTURES)


def post(service: LiveServer, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{service.url}{path}", json=body, timeout=60)


def close_to(found: object, wanted: Vectors) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float32), wanted, atol=2e-5)


# --- OpenAI ---------------------------------------------------------------------------------------------------------


def test_openai_gets_a_vector_for_a_string(client: openai.OpenAI, of_texts: Vectors) -> None:
    answer = client.embeddings.create(model="starter", input=TEXTS[0])  # asks for base64 by itself
    assert (answer.object, answer.model, answer.usage.total_tokens) == ("list", "starter", 0)
    close_to([one.embedding for one in answer.data], of_texts[:1])


@pytest.mark.parametrize("form", ["float", "base64"])
def test_openai_gets_vectors_for_a_list_in_order(
    client: openai.OpenAI, of_texts: Vectors, form: Literal["float", "base64"]
) -> None:
    answer = client.embeddings.create(model="any", input=TEXTS, encoding_format=form, dimensions=384)
    assert [one.index for one in answer.data] == [0, 1, 2]
    found = [
        np.frombuffer(base64.b64decode(str(one.embedding)), "<f4") if form == "base64" else one.embedding
        for one in answer.data
    ]
    close_to(found, of_texts)


def test_openai_lists_the_encoder(client: openai.OpenAI, starter: Encoder) -> None:
    (model,) = client.models.list()
    assert model == client.models.retrieve("starter")
    assert model.model_dump()["fingerprint"] == starter.spec.fingerprint
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        client.models.retrieve("gpt")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"input": [1, 2, 3]}, r"input\[0\] has token ids"),
        ({"input": [["a"]]}, r"input\[0\] is not a text"),
        ({"input": [[1, 2], [3]]}, r"input\[0\] has token ids"),
        ({"input": []}, "input is empty"),
        ({"input": ["a", " "]}, r"input\[1\] is empty"),
        ({"input": ["a"] * 2049}, "at most 2048"),
        ({"input": "a" * 70_000}, "65,536"),
        ({"input": "a", "dimensions": 256}, "always have 384"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": [{"video": "x"}]}, r"input\[0\] has 'video'"),
        ({"input": "a", "modality": "audio"}, "modality"),
        ({"input": "a", "late_chunking": True}, "late_chunking"),
        ({}, "input"),
        ({"input": [{"image": "x"}] * 129}, "at most 128"),
    ],
)
def test_what_cannot_be_answered_is_a_bad_request_that_says_why(service: LiveServer, body: Any, says: str) -> None:
    answer = post(service, "/v1/embeddings", **body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(told["detail"])
    assert told["error"]["message"] == told["message"] == told["detail"]


def test_openai_raises_its_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="always have 384") as refused:
        client.embeddings.create(model="starter", input="a", dimensions=5)
    assert refused.value.code == "invalid_request"
    assert refused.value.type == "invalid_request_error"


def test_half_a_surrogate_pair_is_a_bad_request(service: LiveServer) -> None:
    body = b'{"input": ["a", "\\ud800"], "texts": ["\\ud800"]}'
    for path in ("/v1/embeddings", "/v2/embed"):
        answer = httpx.post(service.url + path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400


# --- Jina and Infinity ----------------------------------------------------------------------------------------------


def test_jina_items_mix_texts_and_pictures_in_order(
    service: LiveServer, of_texts: Vectors, of_pictures: Vectors
) -> None:
    given = [{"image": base64_of(PICTURES[0])}, {"text": TEXTS[0]}, {"image": data_uri(PICTURES[1])}, TEXTS[1]]
    data = post(service, "/v1/embeddings", model="jina-clip-v2", input=given).json()["data"]
    wanted = np.stack([of_pictures[0], of_texts[0], of_pictures[1], of_texts[1]])
    close_to([one["embedding"] for one in data], wanted)


def test_jina_embedding_types(service: LiveServer, of_texts: Vectors) -> None:
    def ask(form: object) -> Any:
        answer = post(service, "/v1/embeddings", input=[{"text": TEXTS[0]}], embedding_type=form)
        return answer.json()["data"][0]["embedding"]

    close_to(ask("float"), of_texts[0])
    close_to(np.frombuffer(base64.b64decode(ask(["base64"])), "<f4"), of_texts[0])
    bits = np.unpackbits(np.array(ask("ubinary"), np.uint8))
    assert bits.tolist() == (of_texts[0] > 0).astype(int).tolist()
    assert [one + 128 for one in ask("binary")] == np.packbits(bits).tolist()


def test_infinity_modality_says_that_strings_are_pictures(client: openai.OpenAI, of_pictures: Vectors) -> None:
    answer = client.embeddings.create(
        model="starter", input=[data_uri(path) for path in PICTURES], extra_body={"modality": "image"}
    )
    close_to([one.embedding for one in answer.data], of_pictures)


def test_every_bad_picture_is_named_by_its_index(service: LiveServer, client: openai.OpenAI) -> None:
    given = [TEXTS[0], {"image": data_uri(PICTURES[0])}, {"image": data_uri(BROKEN)}, {"image": "/etc/passwd"}]
    with pytest.raises(openai.BadRequestError, match=r"input\[2\]: .*truncated JPEG") as refused:
        client.embeddings.create(model="starter", input=given)  # type: ignore[arg-type]
    assert refused.value.param == "input[2]"
    errors = post(service, "/v1/embeddings", input=given).json()["errors"]
    assert [(one["index"], one["code"]) for one in errors] == [(2, "media_corrupt"), (3, "media_corrupt")]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "media_forbidden"),
        ("http://127.0.0.1:1/", "media_forbidden"),
        ("file:///etc/passwd", "media_forbidden"),
    ],
)
def test_no_address_reaches_this_machine(service: LiveServer, address: str, code: str) -> None:
    answer = post(service, "/v1/embeddings", input=[{"image": address}])
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


# --- Cohere ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cohere_client(service: LiveServer) -> Iterator[cohere.ClientV2]:
    with httpx.Client(timeout=60) as connections:
        yield cohere.ClientV2(api_key="none is needed", base_url=service.url, httpx_client=connections)


def test_cohere_gets_texts_in_every_form(cohere_client: cohere.ClientV2, of_texts: Vectors) -> None:
    answer = cohere_client.embed(
        model="embed-v4.0",
        input_type="search_query",
        texts=TEXTS,
        embedding_types=["float", "int8", "uint8", "binary", "ubinary", "base64"],
    )
    found = answer.embeddings
    assert answer.texts == TEXTS
    close_to(found.float_, of_texts)
    close_to([np.frombuffer(base64.b64decode(one), "<f4") for one in found.base64 or []], of_texts)
    int8 = np.array(found.int8)
    assert (np.array(found.uint8) - 128 == int8).all()
    assert np.abs(int8).max(axis=1).tolist() == [127] * 3
    assert np.sum(unit(int8) * of_texts, axis=1).min() > 0.9995
    assert (np.array(found.ubinary) - 128 == np.array(found.binary)).all()
    assert np.unpackbits(np.array(found.ubinary, np.uint8), axis=1).tolist() == (of_texts > 0).astype(int).tolist()


def test_cohere_gets_pictures(cohere_client: cohere.ClientV2, of_pictures: Vectors) -> None:
    answer = cohere_client.embed(
        model="any", input_type="image", images=[data_uri(path) for path in PICTURES], embedding_types=["float"]
    )
    close_to(answer.embeddings.float_, of_pictures)


def test_cohere_gets_one_vector_for_mixed_content(
    cohere_client: cohere.ClientV2, of_texts: Vectors, of_pictures: Vectors
) -> None:
    text: Any = {"type": "text", "text": TEXTS[0]}
    picture: Any = {"type": "image_url", "image_url": {"url": data_uri(PICTURES[0])}}
    answer = cohere_client.embed(
        model="any",
        input_type="search_document",
        inputs=[cohere.EmbedInput(content=[picture]), cohere.EmbedInput(content=[text, picture])],
    )
    close_to(answer.embeddings.float_, np.stack([of_pictures[0], unit(of_texts[0] + of_pictures[0])]))


def test_cohere_is_told_which_input_is_bad(cohere_client: cohere.ClientV2) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": data_uri(BROKEN)}}]
    fine: Any = [{"type": "text", "text": "fine"}]
    inputs = [cohere.EmbedInput(content=fine), cohere.EmbedInput(content=content)]
    with pytest.raises(cohere.BadRequestError, match=r"inputs\[1\]: .*truncated JPEG"):
        cohere_client.embed(model="any", input_type="image", inputs=inputs)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "one of texts, images and inputs"),
        ({"texts": ["a"], "images": ["b"]}, "one of texts, images and inputs"),
        ({"texts": ["a", ""]}, r"texts[1] is empty"),
        ({"texts": ["a"], "output_dimension": 3}, "always have 384"),
        ({"texts": ["a"], "truncate": "START"}, "truncate"),
        ({"inputs": [{"content": [{"type": "text", "image_url": {"url": "x"}}]}]}, "must have text"),
    ],
)
def test_cohere_bad_requests_say_why(service: LiveServer, body: Any, says: str) -> None:
    answer = post(service, "/v2/embed", **body)
    assert answer.status_code == 400
    assert says in answer.json()["message"]


# --- LanceDB's own function -----------------------------------------------------------------------------------------


def test_lancedb_openai_function_indexes_and_searches(service: LiveServer, tmp_path: Path) -> None:
    registry = get_registry()
    registry.set_var("firstsight_key", "none is needed")
    function: Any = registry.get("openai").create(  # type: ignore[no-untyped-call]
        name="text-embedding-3-small", dim=384, base_url=f"{service.url}/v1", api_key="$var:firstsight_key"
    )

    class Row(LanceModel):
        text: str = function.SourceField()
        vector: VectorField(384) = function.VectorField()  # type: ignore[valid-type]

    table = lancedb.connect(tmp_path).create_table("rows", schema=Row)  # type: ignore[arg-type]
    table.add([{"text": text} for text in TEXTS])
    assert table.search("sneakers for running").limit(1).to_list()[0]["text"] == TEXTS[0]
    for one in table.embedding_functions.values():  # those that the table made for itself
        client = vars(one.function)["_openai_client"]
        client.close()


# --- Parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("starter", "starter"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32@/models/shop/ours.pt", "open_clip:ViT-B-32@ours.pt"),
        ("transformers:/models/siglip", "transformers:siglip"),
        ("transformers:google/siglip2-base-patch16-224", "transformers:google/siglip2-base-patch16-224"),
        ("open_clip:ViT-B-32@./ours.pt", "open_clip:ViT-B-32@ours.pt"),
        (r"transformers:C:\models\siglip", "transformers:siglip"),
    ],
)
def test_names_of_encoders_show_no_folder(name: str, shown: str) -> None:
    assert public_encoder_name(name) == shown


def test_an_outlier_dimension_costs_int8_little() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(100, 512))
    drawn[:, 7] = 12.0  # as CLIP ViT-B/32 has it
    vectors = unit(drawn)
    assert np.sum(unit(np.array(format_vectors(vectors, "int8"))) * vectors, axis=1).min() > 0.999


def test_nothing_is_logged_as_an_error(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="starter", input=[{"image": "x"}])  # type: ignore[arg-type]
    assert not [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio"))]
