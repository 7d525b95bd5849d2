"""Pairs of real, independently trained checkpoints, and how good a network between them is."""

from trained.pairs import PAIRS, Pair
from trained.present import present
from trained.subject import Subject

__all__ = ["PAIRS", "Pair", "Subject", "present"]
