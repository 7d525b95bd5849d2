"""Data for evaluation and for statistics of activations, from files, in batches."""

from weightspace.data.dataset import Dataset
from weightspace.data.normalization import Normalization
from weightspace.data.open import open_data
from weightspace.data.split import Batch, Split

__all__ = ["Batch", "Dataset", "Normalization", "Split", "open_data"]
