"""Compiled kernels, each with its NumPy reference beside it. They import nothing of ours."""
