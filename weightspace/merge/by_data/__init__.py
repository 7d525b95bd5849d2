"""Merges of any number of networks that go by data: soups that are scored, RegMean, and means by Fisher information."""

from weightspace.merge.by_data.fisher import fisher_information, fisher_mean
from weightspace.merge.by_data.regmean import RegMean, regmean
from weightspace.merge.by_data.soup import Soup, Tried, greedy_soup

__all__ = ["RegMean", "Soup", "Tried", "fisher_information", "fisher_mean", "greedy_soup", "regmean"]
