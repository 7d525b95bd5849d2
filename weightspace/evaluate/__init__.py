"""Loss and accuracy of networks, and the barrier on the straight path between two of them."""

from weightspace.evaluate.barrier import Batches, Curve, loss_curve
from weightspace.evaluate.plot import check_plot_path, plot_barrier
from weightspace.evaluate.report import BarrierReport, measure_barriers
from weightspace.evaluate.score import Score, evaluate
from weightspace.merge import interpolate

__all__ = [
    "BarrierReport",
    "Batches",
    "Curve",
    "Score",
    "check_plot_path",
    "evaluate",
    "interpolate",
    "loss_curve",
    "measure_barriers",
    "plot_barrier",
]
