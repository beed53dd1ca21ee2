"""Which files are joined, in which order, and what is said about it."""

import json
import logging

import numpy as np
import pytest
from tests.cli.running import run

import bitesize as bs


def test_files_of_a_pattern_are_joined_in_natural_order(tmp_path):
    for i in range(12):
        np.save(tmp_path / f"x_{i}.npy", np.full((2, 3), i))
    expected = np.repeat(np.arange(12), 2).tolist()
    assert bs.concatenate(str(tmp_path / "x_*.npy"))[:, 0].tolist() == expected
    assert bs.stack(str(tmp_path / "x_*.npy"))[:, 0, 0].tolist() == list(range(12))
    done = run("concat", tmp_path / "x_*.npy", "--out", tmp_path / "all.npy")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "all.npy")[:, 0].tolist() == expected


def test_images_joined_along_their_height_are_noted(caplog, tmp_path):
    caplog.set_level(logging.INFO, "bitesize")
    images = [np.zeros((6, 5, 3), np.uint8)] * 4
    bs.concatenate(images)
    note = "4 parts of (6, 5, 3) look like single images but are joined along their height: (24, 5, 3)"
    assert [record.message for record in caplog.records] == [f"{note}; use bs.stack(parts) to make each part one row"]
    caplog.clear()
    bs.stack(images)
    bs.concatenate(images, axis=1)
    bs.concatenate(images[:1])
    bs.concatenate([np.zeros((6, 5, 3), np.uint8), np.zeros((7, 5, 3), np.uint8)])
    bs.concatenate([np.zeros((6, 5, 2), np.uint8)] * 2)
    bs.concatenate([np.zeros((6, 4, 5, 3), np.uint8)] * 2)
    bs.concatenate([np.zeros((6, 5, 3), np.int64)] * 2)
    assert not caplog.records


def test_the_command_stacks_images_and_notes_where_it_does_not(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), np.uint8)
    for i, image in enumerate(images):
        np.save(tmp_path / f"{i}.npy", image)
    done = run("concat", tmp_path / "?.npy", "--out", tmp_path / "all.npy")
    shown = " ".join(done.stdout.split())
    assert "3 parts of (6, 5, 3) look like single images but are joined along their height: (18, 5, 3); use --stack" in shown
    assert np.array_equal(np.load(tmp_path / "all.npy"), np.concatenate(images))
    done = run("concat", "--stack", tmp_path / "?.npy", "--out", tmp_path / "stacked.npy", "--json")
    made = json.loads(done.stdout)
    assert (made["shape"], made["note"]) == ([3, 6, 5, 3], None)
    assert np.array_equal(np.load(tmp_path / "stacked.npy"), images)
    done = run("concat", "--stack", "--axis", -1, tmp_path / "?.npy", "--out", tmp_path / "last.npy")
    assert "look like" not in done.stdout
    assert np.array_equal(np.load(tmp_path / "last.npy"), np.stack(images, -1))


def test_a_folder_is_refused_with_the_pattern_to_give(tmp_path):
    with pytest.raises(bs.NotFound, match=r'is a folder: pass its files, such as ".*\*\.npy"'):
        bs.concatenate([tmp_path])
