"""Lazy arrays: arrays that stay on disk until they are read."""

from bitesize.lazy import numpy_functions as numpy_functions  # adds NumPy's functions to `array.FUNCTIONS`
