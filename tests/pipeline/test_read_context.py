"""A windowed loader passes its cache of chunks to the pipeline, and leaves the source as it is for everyone else."""

import threading

import numpy as np

import bitesize as bs
from bitesize.engine.window.cache import ChunkCache
from bitesize.engine.window.source import CachedSource, ChunkStarts
from bitesize.pipeline.rendering import RowRenderer


def test_rows_are_read_from_the_cache_of_their_loader(monkeypatch):
    readers = []
    render = RowRenderer.render

    def noted(self, rows, random_numbers, out, context):
        readers.append(context.reader)
        return render(self, rows, random_numbers, out, context)

    monkeypatch.setattr(RowRenderer, "render", noted)
    source = bs.open(np.arange(200.0))
    order = bs.Order(200, window=40, streams=2, chunks=range(0, 200, 10))
    with bs.Loader(source, batch_size=20, memory="16 MiB", threads=2, order=order) as windowed:
        rows = np.concatenate([batch["x"].copy() for batch in windowed])
    caches = set(map(id, readers))
    assert all(isinstance(reader, ChunkCache) for reader in readers)
    assert len(caches) <= 2  # of the first epoch, and of the second, which may have begun
    readers.clear()
    with bs.Loader(source, batch_size=20, memory="16 MiB", threads=2) as plain:
        plain_rows = np.concatenate([batch["x"].copy() for batch in plain])
    assert all(reader is source for reader in readers)
    assert sorted(rows) == sorted(plain_rows) == list(range(200))


def test_a_cached_source_reads_from_its_base_in_any_thread():
    base = bs.open(np.arange(30.0))
    source = CachedSource(base, ChunkStarts(np.array([0, 10, 20, 30])))
    out = [np.empty(3) for _ in range(4)]
    threads = [threading.Thread(target=source.read, args=(np.array([4, 15, 29]), {"x": array})) for array in out]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(array.tolist() == [4, 15, 29] for array in out)
    assert source.locate(np.array([4])) is None
