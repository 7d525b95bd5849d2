"""Merges that hold no more than some pieces of the models in memory."""

from weightspace.merge.streaming.execute import execute
from weightspace.merge.streaming.files import SHARD, Prepared, Written, locate, merge_files, prepare
from weightspace.merge.streaming.layers import Layers, layers_of
from weightspace.merge.streaming.lazily import Lazily
from weightspace.merge.streaming.model import Model
from weightspace.merge.streaming.plan import DTYPES, Plan, Task, plan_merge

__all__ = [
    "DTYPES",
    "SHARD",
    "Layers",
    "Lazily",
    "Model",
    "Plan",
    "Prepared",
    "Task",
    "Written",
    "execute",
    "layers_of",
    "locate",
    "merge_files",
    "plan_merge",
    "prepare",
]
