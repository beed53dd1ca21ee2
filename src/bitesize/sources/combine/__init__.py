"""Sources derived from other sources: subsets, splits, other labels, joined rows and joined fields."""

from __future__ import annotations

from bitesize.sources.base import Combinators, Source
from bitesize.sources.combine.one_hot import OneHot
from bitesize.sources.combine.relabel import map_labels, renumber
from bitesize.sources.combine.split import folds, split
from bitesize.sources.combine.subset import subset

# Methods such as `Source.subset` call these functions.
Source.combinators = Combinators(
    subset=subset, split=split, folds=folds, one_hot=OneHot, renumber=renumber, map_labels=map_labels
)
