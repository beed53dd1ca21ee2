"""Lazy arrays: concatenated, sliced and calculated with, but read only on access."""
