"""Loss and accuracy of networks, the barrier between two of them, and what two networks have in common."""

from weightspace.evaluate.barrier import Batches, Curve, loss_curve
from weightspace.evaluate.comparison import Comparison, GroupDifference, compare, compare_stored
from weightspace.evaluate.comparison_picture import plot_comparison
from weightspace.evaluate.layer_barrier import LayerBarrier, LayerBarriers, layer_barriers
from weightspace.evaluate.lineage import Evidence, Verdict, judge
from weightspace.evaluate.nearest import Nearest, largest_distance, nearest
from weightspace.evaluate.plot import check_plot_path, plot_barrier
from weightspace.evaluate.report import BarrierReport, measure_barriers
from weightspace.evaluate.score import Score, evaluate
from weightspace.evaluate.singular import SingularDifference, singular_difference
from weightspace.evaluate.tensors import TensorDifference, difference
from weightspace.evaluate.units import Recognised, recognised
from weightspace.merge import interpolate

__all__ = [
    "BarrierReport",
    "Batches",
    "Comparison",
    "Curve",
    "Evidence",
    "GroupDifference",
    "LayerBarrier",
    "LayerBarriers",
    "Nearest",
    "Recognised",
    "Score",
    "SingularDifference",
    "TensorDifference",
    "Verdict",
    "check_plot_path",
    "compare",
    "compare_stored",
    "difference",
    "evaluate",
    "interpolate",
    "judge",
    "largest_distance",
    "layer_barriers",
    "loss_curve",
    "measure_barriers",
    "nearest",
    "plot_barrier",
    "plot_comparison",
    "recognised",
    "singular_difference",
]
