"""Compiled kernels, each with a NumPy reference. They import no other part of bitesize."""
