"""A folder of the disk whose files are also in a bucket, and batches of both."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import bitesize as bs
from bitesize.sources.base import Source
from bitesize.storage import stores
from bitesize.storage.stores import configure
from tests.servers.s3 import S3Server
from tests.storage.test_reading import Place

Rows = list[tuple[list[int], dict[str, np.ndarray]]]


class InBucket(Place):
    """A folder of the disk that is also in a bucket: files are put there when an address is asked for.

    Parameters
    ----------
    folder
        The folder.
    server, bucket
        Where its files go.
    address
        Host and port of a proxy in front of the server.
    options
        Options of the storage, beside those of the server.
    """

    def __init__(self, folder: Path, server: S3Server, bucket: str, address: str | None = None, **options: object) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.root = folder, f"s3://{bucket}"
        self.server, self.bucket = server, bucket
        # Connections that are kept open would count as left behind.
        self.options = {**server.options(address), "pool_idle_timeout": "100ms", **options}
        self._put: dict[Path, tuple[int, int]] = {}
        configure(self.root, self.options)

    def at(self, value: object) -> object:
        """Return the same with addresses in place of paths, and put new and changed files into the bucket."""
        self.put()
        return super().at(value)

    def put(self) -> None:
        """Put new and changed files into the bucket."""
        for path in sorted(each for each in self.folder.rglob("*") if each.is_file()):
            state = path.stat()
            if self._put.get(path) != (state.st_size, state.st_mtime_ns):
                self.server.put(self.bucket, path.relative_to(self.folder).as_posix(), path.read_bytes())
                self._put[path] = (state.st_size, state.st_mtime_ns)

    def close(self) -> None:
        """Forget the storage, which closes its connections."""
        stores._storages.pop(self.root, None)


def batches(source: Source, epochs: int = 2, **settings: object) -> Rows:
    """Return rows and values of all batches of some epochs."""
    with bs.Loader(source, **{"batch_size": 4, "memory": "256 MiB", **settings}) as loader:
        return [
            (batch.rows.tolist(), {name: np.array(batch[name]) for name in batch}) for _ in range(epochs) for batch in loader
        ]


def same(ours: Rows, others: Rows) -> None:
    """Check that batches have the same rows and the same values, bit for bit."""
    for (rows, values), (their_rows, their_values) in itertools.zip_longest(ours, others, fillvalue=([], {})):
        assert rows == their_rows
        assert values.keys() == their_values.keys()
        for name, value in values.items():
            assert value.dtype == their_values[name].dtype
            assert value.shape == their_values[name].shape
            assert value.tobytes() == their_values[name].tobytes() or value.dtype.kind == "O", name
            if value.dtype.kind == "O":
                assert value.tolist() == their_values[name].tolist(), name


def run_until_closed(loader: bs.Loader) -> None:
    """Loop over a loader that another thread closes."""
    with pytest.raises(bs.LoaderClosed):
        list(loader)
