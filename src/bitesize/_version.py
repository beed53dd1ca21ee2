"""The version, apart from the package, so that modules of it can name it."""

__version__ = "0.2.0"
