"""The workers of a command: how many, where, and with how many GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from bitesize.checks import is_whole
from bitesize.errors import BadSetting

_RANGE = re.compile(r"(\d+)(?:\.\.(\d+))?")


@dataclass(frozen=True)
class Workers:
    """Workers on Ray, which share a piece of work.

    Parameters
    ----------
    most
        Number of workers, or the largest number of an elastic training.
    least
        Smallest number of an elastic training. Default: ``most``.
    address
        Address of a cluster: ``"auto"`` for the one on this machine, ``"host:port"`` or ``"ray://host:port"``. Default: the environment
        variable ``RAY_ADDRESS``; without it, Ray is started on this machine until the work is done.
    gpus_per_worker
        GPUs of each worker.

    Raises
    ------
    BadSetting
        If a number is out of range.

    Examples
    --------
    >>> Workers.parse("2..8")
    Workers(most=8, least=2, address=None, gpus_per_worker=0)
    """

    most: int
    least: int | None = None
    address: str | None = None
    gpus_per_worker: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.most, least=1) or not (self.least is None or is_whole(self.least, 1, self.most)):
            given = self.most if self.least is None else f"{self.least}..{self.most}"
            raise BadSetting(f"workers must be a number of at least 1, or a range such as 2..8, not {given}")
        if not is_whole(self.gpus_per_worker, least=0):
            raise BadSetting(f"gpus_per_worker must be a whole number of at least 0, not {self.gpus_per_worker!r}")

    @classmethod
    def parse(cls, text: str, address: str | None = None, gpus_per_worker: int = 0) -> Workers:
        """Parse a number such as ``"4"``, or a range such as ``"2..8"``.

        Raises
        ------
        BadSetting
            If the text is neither.
        """
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise BadSetting(f"--workers must be a number such as 4, or a range such as 2..8, not {text!r}")
        first, last = int(found[1]), found[2]
        return cls(first if last is None else int(last), None if last is None else first, address, gpus_per_worker)

    @classmethod
    def of(cls, workers: int | str | Workers, address: str | None = None) -> Workers:
        """Return the workers that a caller has given as a number, a range such as ``"2..8"``, or `Workers`.

        Raises
        ------
        BadSetting
            If they are anything else.
        """
        if isinstance(workers, Workers):
            return workers if address is None else replace(workers, address=address)
        return cls.parse(workers, address) if isinstance(workers, str) else cls(workers, address=address)

    def refuse_range(self, work: str) -> None:
        """Raise `BadSetting` if the number of workers is a range, which is for training."""
        if self.fewest != self.most:
            raise BadSetting(
                f"--workers {self}: a range is for training, which continues with fewer workers; {work} needs a number, such as {self.most}"
            )

    @property
    def fewest(self) -> int:
        """Smallest number of workers with which the work may start."""
        return self.most if self.least is None else self.least

    @property
    def resources(self) -> dict[str, Any]:
        """Resources that Ray reserves for one worker."""
        return {"CPU": 1, **({"GPU": self.gpus_per_worker} if self.gpus_per_worker else {})}

    def __str__(self) -> str:
        return str(self.most) if self.least is None else f"{self.least}..{self.most}"
