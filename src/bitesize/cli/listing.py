"""Progress of listing the objects of a folder at an address."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

# Seconds until the first line, and between lines: most folders are listed sooner.
_FIRST, _PAUSE = 2.0, 5.0


@contextlib.contextmanager
def said_listing(listing: str | None, data: object) -> Iterator[None]:
    """Print a line on stderr from time to time while the objects of a folder are listed within this context.

    Parameters
    ----------
    listing
        Option ``--listing``.
    data
        Data of the command.

    Raises
    ------
    BadSetting
        If the option is given, and the data has no address.
    """
    from bitesize.cli.console import errors
    from bitesize.errors import BadSetting
    from bitesize.memory.sizes import format_size
    from bitesize.storage import lists, remote
    from bitesize.storage.url import is_url

    following, before = time.monotonic() + _FIRST, 0

    def progress(objects: int, nbytes: int) -> None:
        """Print how many objects there are so far, if it is time for another line."""
        nonlocal following, before
        now = time.monotonic()
        if objects < before:  # another folder
            following = now + _FIRST
        before = objects
        if now >= following:
            following = now + _PAUSE
            errors.print(f"listing: {objects:,} objects, {format_size(nbytes)} so far")

    if listing is not None and not is_url(data):
        raise BadSetting("--listing is for data at an address such as s3://bucket/photos/")
    with contextlib.ExitStack() as stack:
        stack.enter_context(remote.making(replace(remote.current_making(), progress=progress)))
        if listing is not None:
            stack.enter_context(lists.listing_as(listing, str(data)))
        yield
