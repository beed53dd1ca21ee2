"""Checks for what users write themselves: sources of data, and storages."""

from bitesize.testing.sources import check_bad_rows, check_source
from bitesize.testing.sources import read_rows as read_rows
from bitesize.testing.storages import check_storage

__all__ = ["check_bad_rows", "check_source", "check_storage"]
