"""Saving: the file that NumPy would write, whole or not at all."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tests.lazy.making import KINDS, make_part

import bitesize as bs


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_file_is_numpys_byte_for_byte(tmp_path, axis, monkeypatch):
    monkeypatch.setattr(sys.modules["bitesize.lazy.save"], "_MOST", 2000)  # many blocks
    random = np.random.default_rng(0)
    arrays = [random.random((4, 5, 6)) for _ in KINDS]
    parts = [make_part(kind, tmp_path, i, array) for i, (kind, array) in enumerate(zip(KINDS, arrays, strict=True))]
    seen = []
    path = bs.concatenate(parts, axis).save(tmp_path / "all", progress=lambda done, total: seen.append((done, total)))
    np.save(tmp_path / "expected.npy", np.concatenate(arrays, axis))
    assert path.name == "all.npy"
    assert path.read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (seen[-1][1], 4 * 5 * 6 * 8 * len(KINDS))


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.array(5.0), np.arange(3).astype("M8[s]"), np.array(["a", "bcd"])])
def test_odd_arrays_are_saved_too(tmp_path, array):
    lazy = bs.concatenate([array]) if array.ndim else bs.stack([array]).reshape(())
    np.save(tmp_path / "expected.npy", array)
    np.save(tmp_path / "all.npy", lazy)
    assert (tmp_path / "all.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_nothing_is_lost_when_it_fails(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(10**6))
    (tmp_path / "all.npy").write_text("before")
    lazy = bs.concatenate([tmp_path / "a.npy"] * 3)
    os.truncate(tmp_path / "a.npy", 5_000_000)
    with pytest.raises(bs.FileChanged, match=r"a\.npy has changed"):
        lazy.save(tmp_path / "all.npy")
    assert (tmp_path / "all.npy").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "all.npy"]


def test_a_killed_save_leaves_no_file_and_the_next_one_clears_up(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(10**6))
    program = (
        "import sys, time, bitesize as bs\n"
        f"bs.concatenate([{str(tmp_path / 'a.npy')!r}] * 3).save({str(tmp_path / 'all.npy')!r}, memory='5 MiB',"
        " progress=lambda done, total: (print(done, flush=True), time.sleep(0.2)))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.stdout.readline()
    child.kill()
    child.communicate()
    assert not (tmp_path / "all.npy").exists()
    assert len(list(tmp_path.iterdir())) == 2  # what was killed could not clear up
    bs.concatenate([tmp_path / "a.npy"]).save(tmp_path / "all.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "all.npy"]


def test_too_little_disk_is_told_before_anything_is_written(tmp_path):
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
        file.truncate(file.tell() + 8 * 10**12)
    with pytest.raises(bs.DiskFull, match=r"all\.npy needs 7\.\d+ TiB, but the disk has .* free"):
        bs.concatenate([tmp_path / "huge.npy"]).save(tmp_path / "all.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["huge.npy"]


def test_a_part_is_not_overwritten_by_the_whole(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(bs.BadSetting, match="is one of the parts of the array to save"):
        (bs.concatenate([tmp_path / "a.npy"]) * 2).save(tmp_path / "a.npy")
    with pytest.raises(bs.NotFound, match="does not exist"):
        bs.concatenate([tmp_path / "a.npy"]).save(tmp_path / "nowhere" / "b.npy")
