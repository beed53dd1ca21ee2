"""Sources joined so that every epoch has exact shares of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting
from bitesize.order.mixture import Mixture
from bitesize.sources.base import Source
from bitesize.sources.combine.chained import Chained, check_alike


def mix(sources: Sequence[Source], shares: Sequence[float]) -> Source:
    """Join sources so that every epoch has exact shares of each, whatever their sizes.

    A `Loader` takes rows from the sources, evenly interleaved, in the given shares. When all rows of a source have been
    used, it starts again with a new shuffle. An epoch has as many rows as all sources together.

    Parameters
    ----------
    sources
        Two or more sources with the same fields and the same classes.
    shares
        One number above 0 per source, such as ``[0.7, 0.3]``; only their proportion matters. Shares are exact in every
        thousand rows (or the smallest multiple for which they can be).

    Returns
    -------
    Source
        The rows of the first source, then of the second, and so on, with its own order.

    Raises
    ------
    BadSetting
        If the sources differ in fields or classes, or the shares do not fit them.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> many, few = bs.open(np.zeros(900)), bs.open(np.ones(100))
    >>> loader = bs.Loader(bs.mix([many, few], shares=[0.5, 0.5]), batch_size=100, memory="16 MiB")
    >>> sum(int(batch["x"].sum()) for batch in loader)
    500
    >>> loader.close()
    """
    sources = list(sources) if isinstance(sources, Iterable) else []
    check_alike(sources, "mix")
    refuse_endless(shares, "shares")
    try:
        wanted = tuple(float(share) for share in shares)
    except (TypeError, ValueError) as error:
        raise BadSetting(f"shares must be a number for each source, not {shares!r:.100}") from error
    mixture = Mixture(tuple(map(len, sources)), wanted)
    return Mixed(sources, mixture)


class Mixed(Chained):
    """Rows of several concatenated sources, read in exact shares."""

    def __init__(self, parts: Sequence[Source], mixture: Mixture) -> None:
        super().__init__(parts)
        self.mixture = mixture
