"""Transforms: arithmetic on a View, which maps output pixels to source pixels; one kernel then renders the pixels."""
