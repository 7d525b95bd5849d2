"""Zip several networks into one (ZipIt: Stoica et al. 2023)."""

from weightspace.merge.zipping.stage import groups_after
from weightspace.merge.zipping.zipit import Zipped, ZippedGroup, zipit

__all__ = ["Zipped", "ZippedGroup", "groups_after", "zipit"]
