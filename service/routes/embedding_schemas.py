"""Bodies and answers of the embedding routes, as clients of OpenAI, Jina, Infinity and Cohere use them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

MAX_INPUTS = 2048
"""Maximum texts of one request; OpenAI has the same limit."""

MAX_PICTURES = 128
"""Maximum pictures of one request."""

MAX_CHARACTERS = 65_536
"""Maximum characters of one text; encoders read a few hundred words at most."""


class JinaTextInput(BaseModel):
    """A text in the format of Jina's API."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=MAX_CHARACTERS)


class JinaImageInput(BaseModel):
    """A picture in the format of Jina's API."""

    model_config = ConfigDict(extra="forbid")
    image: str = Field(min_length=1, description="an http(s) address, a data URI, or a file in base64")


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
"""Schema of `input` for clients; a validator turns it into a list before the fields are checked."""


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings: OpenAI's body, with Jina's items and `embedding_type`, and Infinity's `modality`.

    Other fields of these services (`user`, `task`, `normalized`) are accepted but have no effect: all vectors have unit
    length.
    """

    model: str = Field("", description="any name; the service has one encoder, and the answer names it")
    input: Annotated[list[JinaTextInput | JinaImageInput], WithJsonSchema(_INPUT_SCHEMA)] = Field(
        description="a text, or a list of texts, {text} and {image}; token ids are refused"
    )
    modality: Literal["text", "image"] = Field("text", description="type of the strings in `input` (Infinity)")
    encoding_format: Literal["float", "base64"] | None = None
    embedding_type: Literal["float", "base64", "binary", "ubinary"] | None = Field(
        None, description="Jina's name for `encoding_format`, with two more values"
    )
    dimensions: int | None = Field(None, description="must equal the encoder's dimensions: vectors cannot be shortened")
    late_chunking: Literal[False] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_list(cls, body: Any) -> Any:
        if not isinstance(body, dict) or "input" not in body:
            return body
        entries = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if not entries:
            raise ValueError("input is empty; give at least one text or picture")
        if len(entries) > MAX_INPUTS:
            raise ValueError(f"input has {len(entries)} entries; send at most {MAX_INPUTS} at once")
        name = "image" if body.get("modality") == "image" else "text"
        return {**body, "input": [_as_item(entry, index, name) for index, entry in enumerate(entries)]}

    @field_validator("embedding_type", mode="before")
    @classmethod
    def _one_type(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_item(given: Any, index: int, name: str) -> JinaTextInput | JinaImageInput:
    """Parse one entry of `input`; errors give its index."""
    if isinstance(given, int) or (isinstance(given, list) and all(isinstance(token, int) for token in given)):
        raise ValueError(
            f"input[{index}] has token ids, and their vocabulary is unknown; send the text "
            "(langchain: check_embedding_ctx_length=False)"
        )
    if isinstance(given, str):
        given = {name: given}
    if not isinstance(given, dict) or len(given) != 1 or not isinstance(next(iter(given.values())), str):
        raise ValueError(f'input[{index}] is not a text; give a string, {{"text": ...}} or {{"image": ...}}')
    ((key, value),) = given.items()
    if key not in ("text", "image"):
        raise ValueError(f"input[{index}] has {str(key)[:40]!r}, which is not supported; give text or image")
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
        raise ValueError(f"{where} is not valid Unicode: it has half of a surrogate pair; send it in UTF-8") from None


class CohereImageUrl(BaseModel):
    """The address of a picture of a mixed input."""

    url: str = Field(min_length=1)


class CohereContent(BaseModel):
    """A part of a mixed input."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: CohereImageUrl | None = None

    @model_validator(mode="after")
    def _complete(self) -> CohereContent:
        required, other = (self.text, self.image_url) if self.type == "text" else (self.image_url, self.text)
        if required is None or other is not None:
            raise ValueError(f"content of type {self.type} must have {self.type} and no other content")
        if self.type == "text":
            _check_text(self.text or "", "text")
        return self


class CohereInput(BaseModel):
    """Texts and pictures that share one vector."""

    content: list[CohereContent] = Field(min_length=1, max_length=MAX_PICTURES)


class CohereRequest(BaseModel):
    """POST /v2/embed: Cohere's body. `input_type` has no effect: queries and documents are encoded the same way."""

    model: str = ""
    input_type: str | None = None
    texts: list[str] | None = Field(None, min_length=1, max_length=MAX_INPUTS)
    images: list[str] | None = Field(None, min_length=1, max_length=MAX_PICTURES)
    inputs: list[CohereInput] | None = Field(None, min_length=1, max_length=MAX_INPUTS)
    embedding_types: list[Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]] = Field(
        default=["float"], min_length=1
    )
    output_dimension: int | None = None
    truncate: Literal["END"] | None = Field(None, description="only END: the encoder ignores text beyond its context")

    @field_validator("embedding_types", mode="before")
    @classmethod
    def _floats_by_default(cls, value: Any) -> Any:
        return ["float"] if value is None else value

    @model_validator(mode="after")
    def _one_kind(self) -> CohereRequest:
        if sum(given is not None for given in (self.texts, self.images, self.inputs)) != 1:
            raise ValueError("give exactly one of texts, images and inputs")
        for index, text in enumerate(self.texts or ()):
            _check_text(text, f"texts[{index}]")
        return self


class Embedding(BaseModel):
    """One vector of an answer."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | list[int] | str


class Usage(BaseModel):
    """Always zero: token counts differ between encoders, and nothing is billed."""

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
    """The encoder, as an entry of the model list."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "firstsight"
    dimensions: int
    image_size: int
    fingerprint: str


class ModelList(BaseModel):
    """A list with the one encoder of the service."""

    object: Literal["list"] = "list"
    data: list[Model]
