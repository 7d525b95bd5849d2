"""What is neither timm nor transformers: torchvision's classifiers, torch's own layers, PyG's convolutions."""

from __future__ import annotations

from suites import Case, graphs, layers, torchvision_models


def cases() -> list[Case]:
    return [*layers.cases(), *graphs.cases(), *torchvision_models.cases()]
