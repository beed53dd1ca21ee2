"""What is sent to workers on Ray: sources and settings, but no data of any size."""

from __future__ import annotations

from typing import Any

from bitesize.errors import DoesNotFit
from bitesize.memory.sizes import format_size

# Names of tens of millions of files are below.
MOST = 2 << 30


def check_sendable(value: Any, most: int = MOST) -> int:
    """Return the bytes that a value takes when it is pickled, for which no memory is allocated; raise if there are more than ``most``.

    Parameters
    ----------
    value
        Value that Ray can pickle.
    most
        Largest number of bytes.

    Returns
    -------
    int
        The number of bytes.

    Raises
    ------
    DoesNotFit
        If it takes more, because data that is in memory would be sent.
    """
    from ray import cloudpickle

    counter = _Counter(most)
    pickler: Any = cloudpickle.CloudPickler
    pickler(counter, 5, counter.add).dump(value)
    return counter.nbytes


class _Counter:
    """A file that counts what is written."""

    def __init__(self, most: int) -> None:
        self._most, self.nbytes = most, 0

    def write(self, data: Any) -> int:
        """Count the bytes."""
        nbytes = memoryview(data).nbytes
        self.nbytes += nbytes
        if self.nbytes > self._most:
            raise DoesNotFit(
                f"the data has more than {format_size(self._most)} in the memory of this program, which would be sent to each worker: "
                "save it to files that all machines see, and open these"
            )
        return nbytes

    def add(self, buffer: Any) -> None:
        """Count the bytes of an array; None leaves them where they are."""
        self.write(buffer.raw())
