"""Recipes: what is merged, how, and into what. mergekit's documented fields, and those of ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from weightspace.merge.recipe.setting import Setting

Parameters = dict[str, Setting]
Range = Annotated[list[int], Field(min_length=2, max_length=2)]


class Part(BaseModel):
    """Every part of a recipe: fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Part):
    """Examples for what goes by data."""

    path: str
    mean: list[float] | None = None
    std: list[float] | None = None
    samples: Annotated[int, Field(ge=1)] = 2500


class InputModel(Part):
    """A model, whole; some methods take data of its own."""

    model: str
    parameters: Parameters | None = None
    data: Data | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        return _long_form(given, "data", "path")


def _long_form(given: Any, name: str, field: str) -> Any:
    """A text in place of a part stands for one field of it."""
    if isinstance(given, dict) and isinstance(given.get(name), str):
        return {**given, name: {field: given[name]}}
    return given


class InputSlice(Part):
    """Some layers of a model: from the first to before the second."""

    model: str
    layer_range: Range
    parameters: Parameters | None = None


class OutputSlice(Part):
    """Layers that are merged from those of some models, to stand one after another."""

    sources: Annotated[list[InputSlice], Field(min_length=1)]
    base_model: str | None = None
    parameters: Parameters | None = None


class Module(Part):
    """A part of the network with layers of its own, such as an encoder."""

    slices: list[OutputSlice] | None = None
    models: list[InputModel] | None = None
    parameters: Parameters | None = None


class ModelToken(Part):
    """The embedding of a token in a model, by its text or its number there."""

    kind: Literal["model_token"]
    model: str
    token: str | None = None
    token_id: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_token(self) -> ModelToken:
        if (self.token is None) == (self.token_id is None):
            raise ValueError(f"expected token or token_id, found {'neither' if self.token is None else 'both'}")
        return self


class Zero(Part):
    """An embedding of zeros."""

    kind: Literal["zero"]


class TokenSource(Part):
    """Where the embedding of a token comes from: a model, or one of its tokens, or zeros.

    Attributes:
        source: Where it comes from.
        force: Also for models that have the token.
    """

    source: str | Annotated[ModelToken | Zero, Field(discriminator="kind")] | None = None
    force: bool = False


class Tokenizer(Part):
    """The vocabulary of the merged model.

    Attributes:
        source: `union`, `base`, `intersection` or the folder of a tokenizer.
        tokens: Where embeddings of some tokens come from; those that are new are added.
        pad_to_multiple_of: The number of rows is rounded up to a multiple of it.
    """

    source: str = "union"
    tokens: dict[str, TokenSource] | None = None
    pad_to_multiple_of: Annotated[int, Field(ge=1)] | None = None


class Alignment(Part):
    """How the models are aligned to the base (without one to the first) before they are merged."""

    method: str = "weights"
    kinds: list[str] = ["permutation"]
    restarts: Annotated[int, Field(ge=1)] = 1
    samples: Annotated[int, Field(ge=1)] = 2500


class Recipe(Part):
    """A merge.

    Attributes:
        merge_method: Name of a merge method.
        models: Whole models; or
        slices: layers of models; or
        modules: either of these for every part of a network that has several.
        base_model: What task vectors start from, and whose configuration and tokenizer the merged model gets.
        parameters: Options of the method.
        dtype: Type of the merged weights; by default that of the base, or of the first model.
        out_dtype: The same, if `dtype` is given too.
        tokenizer_source: Vocabulary of the merged model: `union`, `base`, `intersection`, or that of a folder.
        tokenizer: The same in detail.
        chat_template: Chat template of the merged model: `auto` or a text.
        align: How the models are aligned first; not at all by default.
        data: Examples for what goes by data.
        arch: Where the network comes from, for alignments and data, as `--arch` takes it.
        activation: What stands between the layers of an architecture that is read off the tensors.
        input_shape: Shape of one input, where the source leaves it open.
        seed: Seed of everything random.
    """

    merge_method: str
    models: Annotated[list[InputModel], Field(min_length=1)] | None = None
    slices: Annotated[list[OutputSlice], Field(min_length=1)] | None = None
    modules: Annotated[dict[str, Module], Field(min_length=1)] | None = None
    base_model: str | None = None
    parameters: Parameters | None = None
    dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None
    out_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None
    tokenizer_source: str | None = None
    tokenizer: Tokenizer | None = None
    chat_template: str | None = None
    align: Alignment | None = None
    data: Data | None = None
    arch: str | None = None
    activation: str | None = None
    input_shape: list[Annotated[int, Field(ge=1)]] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        """`align: weights` and `data: PATH` stand for what has more fields."""
        return _long_form(_long_form(given, "align", "method"), "data", "path")

    @model_validator(mode="after")
    def _one_list(self) -> Recipe:
        given = [name for name in ("models", "slices", "modules") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"expected one of models, slices and modules, found {' and '.join(given) or 'none'}")
        if self.tokenizer_source is not None and self.tokenizer is not None:
            raise ValueError("expected tokenizer_source or tokenizer, found both")
        return self

    @property
    def vocabulary(self) -> Tokenizer | None:
        """What it says of the vocabulary, in detail."""
        return self.tokenizer if self.tokenizer_source is None else Tokenizer(source=self.tokenizer_source)

    @property
    def aligns(self) -> bool:
        """Whether models are aligned first; `align: none` says that they are not."""
        return self.align is not None and self.align.method != "none"

    @property
    def referenced(self) -> tuple[str, ...]:
        """Every model that is named, the base first, in the order in which they come."""
        found = [] if self.base_model is None else [self.base_model]
        modules = [Module(slices=self.slices, models=self.models), *(self.modules or {}).values()]
        for module in modules:
            found += [each.model for each in module.models or ()]
            for output in module.slices or ():
                found += [] if output.base_model is None else [output.base_model]
                found += [each.model for each in output.sources]
        return tuple(dict.fromkeys(found))
