"""A team measures and checks data as one process does."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

import bitesize as bs
from bitesize.cluster import scanning
from bitesize.errors import BadFile, BadSetting, FileChanged
from tests.cluster.teams import WITHOUT_RAY, KillsOnce, team_of
from tests.conftest import noise, write_jpeg

pytest.importorskip("ray", reason=WITHOUT_RAY)


@pytest.fixture(scope="module")
def team():
    with team_of(2) as team:
        yield team


@pytest.fixture
def folder(tmp_path):
    """Photographs of two classes and two splits, with one of everything that is wrong."""
    for part, count in (("train", 60), ("val", 30)):
        for i in range(count):
            write_jpeg(
                tmp_path / "photos" / part / "ab"[i % 2] / f"{i:02}.jpg", noise(20, 30, seed=i + 100 * (part == "val"))
            )
    train, val = tmp_path / "photos" / "train", tmp_path / "photos" / "val"
    shutil.copy(
        train / "a" / "00.jpg", train / "b" / "zz.jpg"
    )  # the first row of the first worker, and the last of the last
    shutil.copy(train / "a" / "02.jpg", val / "b" / "zz.jpg")
    (train / "a" / "text.jpg").write_text("I am no image")
    (val / "a" / "cut.jpg").write_bytes((val / "a" / "00.jpg").read_bytes()[:-100])
    write_jpeg(train / "b" / "gray.jpg", np.full((20, 30, 3), 90, np.uint8))
    return tmp_path / "photos"


def parts(folder):
    return {name: bs.open(folder / name) for name in ("train", "val")}


def test_images_have_the_same_statistics(team, folder):
    source = bs.open(folder / "train")
    seen = []
    found = scanning.statistics(team, source, on_error="skip", progress=lambda rows, total: seen.append((rows, total)))
    assert found == bs.statistics(source, on_error="skip")
    assert (found.bad, seen[-1]) == (1, (len(source), len(source)))


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_arrays_have_the_same_statistics_to_the_last_bit(team, tmp_path, dtype):
    x = np.random.default_rng(0).normal(60, 20, (3000, 40, 30)).astype(dtype)
    if dtype == "f4":
        x[7, 3], x[2990, 5] = np.nan, np.inf
    np.save(tmp_path / "x.npy", x)
    source = bs.open(tmp_path / "x.npy", np.arange(3000) % 3)
    assert scanning.statistics(team, source) == bs.statistics(source)


def test_all_of_a_check_is_found_also_between_workers(team, folder):
    read = []
    found = scanning.check(team, parts(folder), progress=read.append)
    assert found == bs.check(parts(folder))
    assert [[os.path.basename(row.path) for row in group] for group in found.duplicates] == [["00.jpg", "zz.jpg"]]
    assert [[row.part for row in group] for group in found.leaks] == [["train", "val"]]
    assert {os.path.basename(row.path) for row in found.damaged} == {"text.jpg", "cut.jpg"}
    assert [os.path.basename(row.path) for row in found.suspicious] == ["gray.jpg"]
    assert sum(read) == sum(found.rows.values())


def test_compressed_chunks_are_checked_and_measured_alike(team, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        x = np.random.default_rng(0).normal(size=(2000, 50))
        x[1999] = x[0]
        file.create_dataset("x", data=x, chunks=(300, 50), compression="gzip")
        file["y"] = np.arange(2000) % 2
    source = bs.open(tmp_path / "x.h5")
    assert scanning.check(team, source) == bs.check(source)
    assert [[row.row for row in group] for group in scanning.check(team, source).duplicates] == [[0, 1999]]
    assert scanning.statistics(team, source) == bs.statistics(source)


def test_a_worker_that_is_killed_changes_nothing(team, folder):
    kills = KillsOnce()
    assert scanning.check(team, parts(folder), progress=kills) == bs.check(parts(folder))
    assert kills.killed


def test_an_error_is_that_of_one_process(team, folder, tmp_path):
    source = bs.open(folder / "train")
    with pytest.raises(BadFile) as alone:
        bs.statistics(source)
    with pytest.raises(BadFile) as shared:
        scanning.statistics(team, source)
    assert str(shared.value) == str(alone.value)
    np.save(tmp_path / "x.npy", np.zeros((100, 8), np.complex64))
    with pytest.raises(BadSetting, match="statistics need numbers"):
        scanning.statistics(team, bs.open(tmp_path / "x.npy"))
    with pytest.raises(BadSetting, match="mapping of names"):
        scanning.check(team, {})


def test_a_file_that_was_replaced_is_an_error(team, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100, 8)))
    source = bs.open(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.zeros((100, 9)))
    with pytest.raises(FileChanged):
        scanning.statistics(team, source)


def test_more_memory_than_the_budget_of_a_worker_is_refused_as_in_one_process(team, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 1 << 17)))
    source = bs.open(tmp_path / "x.npy")
    with pytest.raises(bs.DoesNotFit):
        scanning.statistics(team, source, "512 KiB", budget=bs.Budget("64 MiB"))


def test_paths_mean_the_same_in_another_folder(team, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert scanning.check(team, bs.open("photos/train")) == bs.check(bs.open("photos/train"))
