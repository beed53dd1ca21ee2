"""Where bytes come from and go to: local files, and objects of S3, GCS, Azure and HTTP servers, behind one small interface."""

from bitesize.storage.base import Entry, Level, Storage
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage

__all__ = ["Entry", "Level", "LocalStorage", "Storage", "register_storage"]
