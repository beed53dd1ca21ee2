"""Settings of `pack`, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.memory.limits import check_threads
from bitesize.memory.sizes import parse_size
from bitesize.transforms.base import Transform

Kind = Literal["auto", "bytes", "pixels", "jpeg"]
QUALITY = 90


@dataclass(frozen=True)
class PackSettings:
    """How data is packed; see `bitesize.pack`.

    Parameters
    ----------
    kind
        What is stored of encoded images.
    transforms
        Transforms without random numbers, applied before pixels are stored.
    max_side
        Longest side of stored images in pixels, or None.
    quality
        JPEG quality, for ``kind="jpeg"``.
    shard_size
        Bytes of a shard, or None: up to 256 MiB.
    on_error
        What to do when a row cannot be read.
    max_bad
        Largest share of rows that may be skipped.
    threads
        Number of threads, or None: one per processor.

    Raises
    ------
    BadSetting
        If a setting is not valid, or two settings contradict each other.
    """

    kind: Kind = "auto"
    transforms: Sequence[Any] = ()
    max_side: int | None = None
    quality: int | None = None
    shard_size: int | str | None = None
    on_error: Literal["raise", "skip"] = "raise"
    max_bad: float = 0.01
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise BadSetting(f"kind must be {', '.join(map(repr, get_args(Kind)))}, not {self.kind!r}")
        object.__setattr__(self, "transforms", _checked(self.transforms))
        if self.max_side is not None and not is_whole(self.max_side, 1, 65_535):
            raise BadSetting(f"max_side must be a whole number of 1 to 65535 pixels, or None, not {self.max_side!r}")
        if self.quality is not None and not is_whole(self.quality, 1, 100):
            raise BadSetting(f"quality must be a whole number of 1 to 100, or None, not {self.quality!r}")
        if self.on_error not in ("raise", "skip"):
            raise BadSetting(f'on_error must be "raise" or "skip", not {self.on_error!r}')
        if isinstance(self.max_bad, bool) or not isinstance(self.max_bad, int | float) or not 0 <= self.max_bad <= 1:
            raise BadSetting(f"max_bad must be a share of 0 to 1, not {self.max_bad!r}")
        if self.shard_size is not None:
            object.__setattr__(self, "shard_size", parse_size(self.shard_size))
        check_threads(self.threads)
        self._check_together()

    def _check_together(self) -> None:
        if self.transforms and self.kind in ("bytes", "jpeg"):
            raise BadSetting(f'transforms= change pixels: they need kind="pixels", not {self.kind!r}')
        if self.max_side is not None and self.kind == "bytes":
            raise BadSetting('max_side= needs kind="pixels" or "jpeg": "bytes" stores files unchanged')
        if self.max_side is not None and self.transforms:
            raise BadSetting("max_side= and transforms= both set the size of images: choose one")
        if self.quality is not None and self.kind != "jpeg":
            raise BadSetting(f'quality= is for kind="jpeg", not {self.kind!r}')

    def recorded(self) -> dict[str, Any]:
        """Return the settings that decide what is stored, as values of JSON."""
        return {
            "kind": self.kind,
            "transforms": [step.to_dict() for step in self.transforms],
            "max_side": self.max_side,
            "quality": QUALITY if self.kind == "jpeg" and self.quality is None else self.quality,
            "shard_size": self.shard_size,
        }


def _checked(transforms: Any) -> tuple[Any, ...]:
    """Return transforms, or raise `BadSetting` for those whose result cannot be stored once for all epochs."""
    if not isinstance(transforms, Sequence) or isinstance(transforms, str | Mapping):
        raise BadSetting(f"transforms must be a list, not {transforms!r}")
    for step in transforms:
        name = type(step).__name__
        if not isinstance(step, Transform):
            raise BadSetting(f"{name} cannot be packed: only transforms such as bs.Resize can; keep {name} for the Loader")
        if step.random_count:
            raise BadSetting(
                f"{step!r} is random, so it must run in each epoch: keep it for the Loader, and pack what precedes it"
            )
    return tuple(transforms)
