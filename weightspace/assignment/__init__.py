"""Linear assignment: permutations that maximise the sum of the scores they pick, with the proof that they do."""

from weightspace.assignment.duality import assigned_score, certificate
from weightspace.assignment.matching import Matching
from weightspace.assignment.solve import assign, solve

__all__ = ["Matching", "assign", "assigned_score", "certificate", "solve"]
