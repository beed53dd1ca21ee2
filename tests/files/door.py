"""The three ways in which bytes are read."""

from bitesize.files import pread
from bitesize.kernels.warm import readers


def choose_door(kind, monkeypatch):
    """Read by compiled code, with preadv from Python, or as on Windows."""
    readers()[1]()
    from bitesize.kernels import libc

    monkeypatch.setattr(libc, "LOADED", kind == "compiled")
    if kind == "seek and read":
        monkeypatch.setattr(pread, "HAS_PREADV", False)
