"""Bodies of the embeddings endpoints: what the clients of OpenAI, Jina, Infinity and Cohere send and read."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

MAX_INPUTS = 2048
"""Texts of one request; OpenAI's own limit."""

MAX_PICTURES = 128
"""Pictures of one request."""

MAX_CHARACTERS = 65_536
"""Of one text; encoders read a few hundred words of it at most."""


class JinaTextInput(BaseModel):
    """A text, as Jina's API takes it."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=MAX_CHARACTERS)


class JinaImageInput(BaseModel):
    """A picture, as Jina's API takes it."""

    model_config = ConfigDict(extra="forbid")
    image: str = Field(min_length=1, description="An http(s) address, a data URI, or a file in base64")


_ITEM_SCHEMA: Final[list[dict[str, Any]]] = [
    {"type": "string", "minLength": 1},
    *(
        {
            "type": "object",
            "required": [name],
            "properties": {name: {"type": "string", "minLength": 1}},
            "additionalProperties": False,
        }
        for name in ("text", "image")
    ),
]
_INPUT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        *_ITEM_SCHEMA,
        {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": {"anyOf": _ITEM_SCHEMA}},
    ]
}
"""What clients may send; a validator makes one list of it before the fields are checked."""


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings: OpenAI's body, with Jina's items and `embedding_type`, and Infinity's `modality`.

    What other services offer beyond these (`user`, `task`, `normalized`) is read and changes nothing: there is one
    kind of vector, of unit length.
    """

    model: str = Field("", description="Any name: there is one encoder, and the answer says which")
    input: Annotated[list[JinaTextInput | JinaImageInput], WithJsonSchema(_INPUT_SCHEMA)] = Field(
        description="A text, or a list of texts, {text} and {image}; token ids are refused"
    )
    modality: Literal["text", "image"] = Field("text", description="What strings in `input` are (Infinity)")
    encoding_format: Literal["float", "base64"] | None = None
    embedding_type: Literal["float", "base64", "binary", "ubinary"] | None = Field(
        None, description="Jina's name for `encoding_format`, with two more"
    )
    dimensions: int | None = Field(None, description="Only the encoder's own: its vectors cannot be cut")
    late_chunking: Literal[False] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_list(cls, body: Any) -> Any:
        if not isinstance(body, dict) or "input" not in body:
            return body
        given = body["input"]
        given = given if isinstance(given, list) else [given]
        if not given:
            raise ValueError("input is empty; give at least one text or picture")
        if len(given) > MAX_INPUTS:
            raise ValueError(f"input has {len(given)} entries; send at most {MAX_INPUTS} at once")
        name = "image" if body.get("modality") == "image" else "text"
        return {**body, "input": [_as_item(one, index, name) for index, one in enumerate(given)]}

    @field_validator("embedding_type", mode="before")
    @classmethod
    def _one_type(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_item(given: Any, index: int, name: str) -> JinaTextInput | JinaImageInput:
    """One entry of `input`; errors name it by its index."""
    if isinstance(given, int) or (isinstance(given, list) and all(isinstance(token, int) for token in given)):
        raise ValueError(
            f"input[{index}] is made of token ids, whose vocabulary nobody knows here; send the text itself "
            "(langchain: check_embedding_ctx_length=False)"
        )
    if isinstance(given, str):
        given = {name: given}
    if not isinstance(given, dict) or len(given) != 1 or not isinstance(next(iter(given.values())), str):
        raise ValueError(f'input[{index}] is no text; give a string, {{"text": ...}} or {{"image": ...}}')
    ((key, value),) = given.items()
    if key not in ("text", "image"):
        raise ValueError(f"input[{index}] has {str(key)[:40]!r}, which is not read; give text or image")
    _check_text(value, f"input[{index}]", limit=MAX_CHARACTERS if key == "text" else None)
    return JinaTextInput(text=value) if key == "text" else JinaImageInput(image=value)


def _check_text(text: str, where: str, limit: int | None = MAX_CHARACTERS) -> None:
    if not text.strip():
        raise ValueError(f"{where} is empty; leave it out")
    if limit is not None and len(text) > limit:
        raise ValueError(f"{where} has {len(text):,} characters; send at most {limit:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} is not Unicode: it has half of a surrogate pair; send it in UTF-8") from None


class CohereImageUrl(BaseModel):
    """Where a picture of a mixed input is."""

    url: str = Field(min_length=1)


class CohereContent(BaseModel):
    """A part of a mixed input."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: CohereImageUrl | None = None

    @model_validator(mode="after")
    def _complete(self) -> CohereContent:
        wanted, other = (self.text, self.image_url) if self.type == "text" else (self.image_url, self.text)
        if wanted is None or other is not None:
            raise ValueError(f"content of type {self.type} has to have {self.type}, and that alone")
        if self.type == "text":
            _check_text(self.text or "", "text")
        return self


class CohereInput(BaseModel):
    """Texts and pictures that get one vector together."""

    content: list[CohereContent] = Field(min_length=1, max_length=MAX_PICTURES)


class CohereRequest(BaseModel):
    """POST /v2/embed: Cohere's body. `input_type` changes nothing: queries and documents are encoded alike."""

    model: str = ""
    input_type: str | None = None
    texts: list[str] | None = Field(None, min_length=1, max_length=MAX_INPUTS)
    images: list[str] | None = Field(None, min_length=1, max_length=MAX_PICTURES)
    inputs: list[CohereInput] | None = Field(None, min_length=1, max_length=MAX_INPUTS)
    embedding_types: list[Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]] = Field(
        default=["float"], min_length=1
    )
    output_dimension: int | None = None
    truncate: Literal["END"] | None = Field(
        None, description="Only END: what is past the encoder's context is not read, however long a text is"
    )

    @field_validator("embedding_types", mode="before")
    @classmethod
    def _floats_by_default(cls, value: Any) -> Any:
        return ["float"] if value is None else value

    @model_validator(mode="after")
    def _one_kind(self) -> CohereRequest:
        if sum(given is not None for given in (self.texts, self.images, self.inputs)) != 1:
            raise ValueError("give one of texts, images and inputs")
        for index, text in enumerate(self.texts or ()):
            _check_text(text, f"texts[{index}]")
        return self


class Embedding(BaseModel):
    """One vector of an answer."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | list[int] | str


class Usage(BaseModel):
    """Always zero: encoders of different families count tokens differently, and nothing is billed."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingAnswer(BaseModel):
    """OpenAI's answer."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: Usage


class CohereAnswer(BaseModel):
    """Cohere's answer."""

    id: str
    response_type: Literal["embeddings_by_type"] = "embeddings_by_type"
    embeddings: dict[str, list[Any]]
    texts: list[str] | None = None
    meta: dict[str, Any]


class Model(BaseModel):
    """The encoder, as a list of models shows it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "firstsight"
    dimensions: int
    image_size: int
    fingerprint: str


class ModelList(BaseModel):
    """The one encoder there is."""

    object: Literal["list"] = "list"
    data: list[Model]
