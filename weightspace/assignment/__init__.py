"""Linear assignment: permutations that maximise the sum of the scores they pick."""

from weightspace.assignment.solve import assign, assigned_score

__all__ = ["assign", "assigned_score"]
