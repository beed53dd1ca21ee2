"""The cases of the contract: what is loaded, how, and within what budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

How = Literal[
    "epochs",
    "slow",
    "keeps",
    "breaks",
    "two loaders",
    "many epochs",
    "window",
    "train",
    "concat",
    "to_torch",
    "to_jax",
    "to_tensorflow",
    "partial_fit",
]
Kind = Literal[
    "jpeg",
    "npy",
    "large npy",
    "volumes",
    "small rows",
    "mixed, baseline",
    "mixed, progressive",
    "float64 parts",
    "npz",
    "hdf5",
    "zarr",
    "parquet",
    "tar",
    "remote jpeg",
    "remote npy",
    "remote large npy",
]
LimitKind = Literal["nothing", "cgroup", "RLIMIT_AS"]


@dataclass(frozen=True)
class Case:
    """One thing that a loader must do within its budget.

    Parameters
    ----------
    kind
        What is loaded.
    rows
        How many.
    budget
        MiB.
    batch_size, threads, size
        As of the loader; ``size`` is what images are resized to.
    how
        What the consumer does.
    quick
        Whether it is a part of the usual tests.
    """

    kind: Kind
    rows: int
    budget: int
    batch_size: int = 8
    threads: int = 2
    size: int = 112
    how: How = "epochs"
    quick: bool = False

    @property
    def decoded_mib(self) -> float:
        """The data as float32, in MiB."""
        if self.kind == "volumes":
            return self.rows * 64 * 96 * 96 * 4 / 2**20
        side = (
            32
            if self.kind == "small rows"
            else 64
            if self.kind in ("large npy", "remote large npy", "npz", "hdf5", "zarr", "parquet")
            else self.size
        )
        return self.rows * side * side * 3 * 4 / 2**20

    def __str__(self) -> str:
        return f"{self.kind}, batch {self.batch_size}, {self.threads} threads, {self.how}"


# Outputs, and the packages that they need; Keras is told by "train".
OUTPUTS: dict[How, str] = {"to_torch": "torch", "to_jax": "jax", "to_tensorflow": "tensorflow", "partial_fit": "sklearn"}
CASES = [
    Case("jpeg", 2400, 16, quick=True),
    Case("jpeg", 2400, 16, batch_size=1, threads=1),
    Case("jpeg", 2400, 16, batch_size=1, threads=8),
    Case("jpeg", 8000, 48, batch_size=64, threads=8),
    Case("jpeg", 20_000, 128, batch_size=256, threads=8),
    Case("npy", 2400, 12, quick=True),
    Case("npy", 2400, 12, batch_size=1, threads=1),
    Case("npy", 2400, 12, batch_size=1, threads=8),
    Case("npy", 20000, 128, batch_size=256, threads=8),
    Case("large npy", 4000, 9),
    Case("large npy", 4000, 9, batch_size=1, threads=8),
    Case("large npy", 4000, 9, batch_size=32, threads=1),
    Case("volumes", 400, 24, batch_size=4, size=64, quick=True),
    Case("mixed, baseline", 9000, 64),
    Case("mixed, baseline", 9000, 64, threads=8),
    Case("mixed, progressive", 25_000, 700, batch_size=64, size=224),
    Case("mixed, progressive", 9000, 64, threads=8, quick=True),
    Case("remote jpeg", 9000, 64, batch_size=32, quick=True),
    Case("remote jpeg", 4800, 32, how="slow"),
    Case("remote jpeg", 20_000, 128, batch_size=64, threads=8),  # 64 requests in flight and more
    Case("remote npy", 9000, 64, batch_size=32, threads=8),
    Case("remote large npy", 16_000, 24, batch_size=32),
    Case("jpeg", 2400, 16, how="slow"),
    Case("npy", 2400, 14, how="slow", threads=8),
    Case("jpeg", 2400, 16, how="keeps", quick=True),
    Case("jpeg", 2400, 16, how="breaks", threads=8),
    Case("large npy", 4000, 9, how="breaks", threads=8, quick=True),
    Case("jpeg", 4800, 32, how="two loaders"),
    Case("jpeg", 480, 16, how="many epochs", size=32),
    Case("large npy", 4000, 9, how="many epochs"),
    Case("small rows", 16_000, 128, batch_size=64, threads=4, how="many epochs"),  # rows are kept in memory: 47 MiB
    Case("large npy", 13_000, 30, threads=8, how="window", quick=True),
    Case("jpeg", 4800, 32, how="train"),
    Case("float64 parts", 9000, 128, how="concat"),
    Case("npz", 16_000, 36),
    Case("hdf5", 16_000, 36, threads=8),
    Case("zarr", 16_000, 36, threads=4),
    Case("parquet", 16_000, 36),
    Case("tar", 6000, 40),
    *(Case("jpeg", 6000, 40, batch_size=16, how=how) for how in OUTPUTS),
]
LIMITS: list[LimitKind] = ["nothing", "cgroup", "RLIMIT_AS"]
