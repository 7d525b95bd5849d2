"""Options of merge methods that need networks, as recipes name them under `parameters`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from weightspace.merge.recipe.recipe import Part


class OfModel(Part):
    """Options that every model has of its own: none."""


class Options(Part):
    """Options of all methods."""

    reset_samples: int = Field(5000, ge=1, description="examples to measure the statistics of batch norms on")

    @property
    def goes_by_data(self) -> bool:
        """Whether these options need examples, also where the method does not."""
        return False


class _OfTwo(Options):
    heads: Literal["both"] | None = Field(None, description="both: keep the classes of both networks, no labels")


class RebasinOptions(_OfTwo):
    """Of the mean of two aligned networks."""

    t: float = Field(0.5, ge=0.0, le=1.0, description="share of the second model")
    repair: bool = Field(False, description="whether units get back the mean and the spread that they had")

    @property
    def goes_by_data(self) -> bool:
        """REPAIR measures units."""
        return self.repair


class PleasOptions(_OfTwo):
    """Of PLeaS."""

    rounds: int = Field(8, ge=0, description="passes over the data that train all layers together")
    size: float | None = Field(None, gt=0.0, description="size of the merged network, from 1 to 2 of those merged")
    size_by: Literal["parameters", "flops"] = Field("parameters", description="what the size counts")
    apart: str | None = Field(None, description="in place of size: GROUP=SHARE,... kept apart")


class ZipitOptions(_OfTwo):
    """Of ZipIt."""

    until: str | None = Field(None, description="weight of the last layer that is zipped")


class RegmeanOptions(Options):
    """Of RegMean."""

    alpha: float = Field(0.9, ge=0.0, le=1.0, description="what products of different inputs are scaled by")
    ridge: float = Field(1e-6, ge=0.0, description="how much the mean of the weights counts, of a mean square input")


class FisherOptions(Options):
    """Of the mean by Fisher information."""

    floor: float = Field(1e-6, gt=0.0, description="the least information")
    draws: int = Field(1, ge=0, description="labels drawn for an example; 0: all classes by their probabilities")
    given_labels: bool = Field(False, description="whether labels are those of the data, not drawn from predictions")


class Weighted(OfModel):
    """How much a model counts."""

    weight: float = Field(1.0, ge=0.0, description="how much a model counts")
