"""Orders that shuffle within windows of rows in memory, which are read chunk by chunk; see `Windows`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.order.coordinates import PassNumber, PassPosition
from bitesize.order.variant import block_nbytes
from bitesize.order.windows import Windows


@dataclass(frozen=True)
class Windowed:
    """Rows at random from windows of shuffled chunks.

    ``windows`` is None until chunks and batch size are set, which a `Loader` does. Such an order has no rows yet.
    """

    windows: Windows | None
    n: int
    window: int
    streams: int
    batch_size: int | None
    pass_length: int

    def rows(self, number: PassNumber, start: PassPosition, stop: PassPosition) -> list[NDArray[np.int64]]:
        """Return the rows at some positions of a pass."""
        if self.windows is None:
            raise BadSetting("an order with a window needs chunks= and batch_size=; a Loader sets both")
        return [self.windows.rows(number, start, stop)]

    def replacement(self, number: PassNumber, position: PassPosition, bits: int) -> int:
        """Return any row of the chunk that the position takes its row from: it is in memory."""
        if self.windows is None:
            return bits % self.n
        start, stop = self.windows.chunk(self.rows(number, position, PassPosition(position + 1))[0])
        return start + bits % (stop - start)

    @property
    def nbytes(self) -> int:
        """Bytes of the windows."""
        return block_nbytes(self.pass_length) if self.windows is None else self.windows.nbytes

    @property
    def detail(self) -> str:
        """Description of `nbytes`."""
        return "one block of the shuffle" if self.windows is None else "windows of the shuffle"

    @property
    def digest(self) -> str | None:
        """Hash of the chunks."""
        return None if self.windows is None else self.windows.digest

    def settings(self) -> dict[str, Any]:
        """Return the settings of the windows, and the hash of the chunks."""
        return {"window": self.window, "lanes": self.streams, "batch_size": self.batch_size, "runs": self.digest}
