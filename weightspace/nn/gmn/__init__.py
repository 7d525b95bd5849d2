"""Graph metanetworks: message passing on parameter graphs (Lim et al. 2024, Graph metanetworks)."""

from weightspace.nn.gmn.editor import GraphEditor
from weightspace.nn.gmn.encoder import GraphEncoder
from weightspace.nn.gmn.predictor import GraphPredictor
from weightspace.nn.gmn.stacked import Stacked

__all__ = ["GraphEditor", "GraphEncoder", "GraphPredictor", "Stacked"]
