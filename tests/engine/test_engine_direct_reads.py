"""Rows that are read and cast in one step, against rows that are read first; and what happens to files meanwhile."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.pipeline.arrays import ArrayRenderer


def epoch(source, **options):
    settings = {"batch_size": 7, "memory": "32 MiB", "shuffle": True, "threads": 2} | options
    with bs.Loader(source, **settings) as loader:
        return [(batch["x"].copy(), batch.get("y", batch.rows).copy(), batch.rows.copy()) for batch in loader]


@pytest.fixture(params=[True, False], ids=["in one step", "read, then cast"])
def one_step(request, monkeypatch):
    """Whether compiled code for one step counts as loaded; it is loaded on the spot."""

    def fetches(self, located):
        if request.param and self._one_step:
            for _, job in self.warm(keeps_rows=True):
                job()
        return request.param and self._one_step

    monkeypatch.setattr(ArrayRenderer, "fetches", fetches)
    return request.param


@pytest.mark.parametrize("shape", [(), (5,), (4001,), (20, 30, 1), (61, 47, 3), (20, 20, 4), (200, 300, 3)])
@pytest.mark.parametrize("types", ["u1 f4", "f8 f4", "i2 f2", "f4 f4"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_rows_are_the_same_in_one_step(tmp_path, one_step, shape, types, layout):
    before, after = types.split()
    x = (np.random.default_rng(0).random((23, *shape)) * 200).astype(before)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "files").mkdir()
    for i, row in enumerate(x):
        np.save(tmp_path / "files" / f"{i:02}.npy", row)
    expected = (x * 0.5 + 1).astype(after)
    if len(shape) == 3 and before == "u1":  # alpha; four channels of other types are bands
        expected[..., 3:] = (x[..., 3:] * 0.5).astype(after)
    if layout == "CHW" and len(shape) == 3:
        expected = expected.transpose(0, 3, 1, 2)
    for source in (
        bs.open(tmp_path / "x.npy", np.arange(23)),
        bs.open(np.load(tmp_path / "x.npy", mmap_mode="r+"), np.arange(23)),  # read from the file each time
        bs.open(tmp_path / "files", np.arange(23)).subset(np.arange(23)),
        bs.open(x, np.arange(23)),
    ):
        for out, labels, rows in epoch(source, transforms=[bs.Scale(0.5, 1)], dtype=after, layout=layout):
            assert out.dtype == after
            assert labels.tolist() == rows.tolist()
            np.testing.assert_allclose(out, expected[rows], rtol=2e-3 if after == "f2" else 1e-6)


def test_random_brightness_of_each_row_is_its_own(tmp_path, one_step):
    np.save(tmp_path / "x.npy", np.ones((20, 3000), np.float32))
    first = np.concatenate([out for out, _, _ in epoch(bs.open(tmp_path / "x.npy"), transforms=[bs.Brightness(0.5)])])
    assert (first == first[:, :1]).all()
    assert np.unique(first[:, 0]).size == 20


def test_files_that_differ_are_read_as_before_or_named(tmp_path, one_step):
    good = np.arange(12.0).reshape(3, 4)
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", good + i)
    np.save(tmp_path / "1.npy", np.asfortranarray(good + 1))  # another header, the same content
    np.save(tmp_path / "2.npy", (good + 2).astype(">f8"))
    (tmp_path / "3.npy").write_bytes((tmp_path / "3.npy").read_bytes()[:-1])
    np.save(tmp_path / "4.npy", np.zeros((3, 5)))
    source = bs.open(tmp_path)
    with bs.Loader(
        source, batch_size=6, memory="8 MiB", shuffle=False, dtype="float32", on_error="skip", max_bad=0.9
    ) as loader:
        batch = next(iter(loader))
        assert batch.mask.tolist() == [True, True, True, False, False, True]
        for i in (0, 1, 2, 5):
            assert np.array_equal(batch["x"][i], (good + i).astype(np.float32))
        assert not batch["x"][3:5].any()
        assert [(bad.row, "3.npy" in bad.path or "4.npy" in bad.path) for bad in loader.bad] == [(3, True), (4, True)]


def test_a_file_that_is_cut_off_or_gone_in_mid_epoch_is_an_error_that_names_it(tmp_path, one_step):
    path = tmp_path / "x.npy"
    for spoil, error in ((lambda: path.write_bytes(path.read_bytes()[:50_000]), bs.BadFile), (path.unlink, bs.FileChanged)):
        np.save(path, np.random.default_rng(0).random((40, 1000)))  # rows too large to be kept in memory
        with bs.Loader(bs.open(path), batch_size=4, memory="8 MiB", shuffle=False, dtype="float32", threads=1) as loader:
            iterator = iter(loader)
            next(iterator)
            spoil()
            with pytest.raises(error, match=r"x\.npy"):
                for _ in iterator:
                    pass
