"""Sources derived from other sources: subsets, splits, other labels, joined rows and joined fields."""
