"""`bitesize check` as people run it."""

import json
import os
import shutil

import numpy as np
import pytest
from tests.cli.running import run
from tests.conftest import noise, write_jpeg


@pytest.fixture
def data(tmp_path):
    """Photographs for training and validation, with one of everything that is wrong."""
    for part, first, count in (("train", 0, 30), ("val", 100, 10)):
        for i in range(first, first + count):
            write_jpeg(tmp_path / "data" / part / "ab"[i % 2] / f"{i}.jpg", noise(20, 30, seed=i))
    top = tmp_path / "data"
    (top / "train" / "a" / "text.jpg").write_text("I am no image")
    (top / "val" / "b" / "cut.jpg").write_bytes((top / "val" / "b" / "101.jpg").read_bytes()[:-100])
    shutil.copy(top / "train" / "a" / "0.jpg", top / "val" / "a" / "seen.jpg")
    shutil.copy(top / "train" / "a" / "2.jpg", top / "train" / "b" / "2 again.jpg")
    return top


def test_all_that_is_wrong_is_told_at_once_and_by_the_exit_code(data):
    told = run("check", data, code=3).stdout
    for line in ("train 32, val 12 rows read", "2 bad", "text.jpg", "1 in several parts", "seen.jpg", "1 group of duplicates",
                 "2 again.jpg", "(with other labels)"):  # fmt: skip
        assert line in " ".join(told.split()), line
    found = json.loads(run("check", data, "--json", code=3).stdout)
    assert (found["well"], found["rows"]) == (False, {"train": 32, "val": 12})
    assert sorted(place["path"].rpartition("/")[2].rpartition("\\")[2] for place in found["bad"]) == ["cut.jpg", "text.jpg"]
    assert [[place["part"] for place in group] for group in found["leaks"]] == [["train", "val"]]


def test_damaged_files_are_moved_and_then_all_the_rest_is_well(data, tmp_path):
    for name in ("val/a/seen.jpg", "train/b/2 again.jpg"):
        (data / name).unlink()
    found = json.loads(run("check", data, "--json", "--move-bad", tmp_path / "bad", code=3).stdout)
    assert len(found["moved"]) == 2
    assert (tmp_path / "bad" / "train" / "a" / "text.jpg").read_text() == "I am no image"
    assert (tmp_path / "bad" / "val" / "b" / "cut.jpg").exists()
    assert "no problems found" in run("check", data).stdout


@pytest.mark.parametrize("where", ["data/bad", "file"])
def test_a_place_that_files_cannot_be_moved_to_is_refused_before_anything_is_read(data, tmp_path, where):
    (tmp_path / "file").write_text("")
    assert "--move-bad" in run("check", data, "--move-bad", tmp_path / where, code=1).stderr
    assert (data / "train" / "a" / "text.jpg").exists()


def test_nothing_is_moved_over_a_file_that_is_there(data, tmp_path):
    (tmp_path / "bad" / "train" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "train" / "a" / "text.jpg").write_text("mine")
    assert "exists already" in run("check", data, "--move-bad", tmp_path / "bad", code=1).stderr
    assert (tmp_path / "bad" / "train" / "a" / "text.jpg").read_text() == "mine"


def test_rows_of_one_file_cannot_be_moved(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((9, 4)))
    assert "many rows per file" in run("check", tmp_path / "a.npy", "--move-bad", tmp_path / "bad", code=1).stderr
    assert "no problems found" in run("check", tmp_path / "a.npy").stdout


def test_a_first_file_that_is_damaged_is_one_of_the_bad_ones(tmp_path):
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", np.random.default_rng(i).random((3, 2)))
    (tmp_path / "0.npy").write_bytes(b"no array")
    found = json.loads(run("check", tmp_path, "--json", code=3).stdout)
    assert [place["row"] for place in found["bad"]] == [0]


def test_a_file_that_cannot_be_opened_at_all_is_found_and_not_a_wrong_call(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar file at all" * 100)
    assert "cannot be read as a tar file" in run("check", tmp_path / "a.tar", code=3).stdout
    told = json.loads(run("check", tmp_path / "a.tar", "--json", code=3).stdout)
    assert not told["well"]
    assert "a.tar" in told["unopened"]["data"]


def test_a_part_that_cannot_be_opened_hides_nothing_of_the_others(data):
    shutil.rmtree(data / "val")
    (data / "val").mkdir()
    for i in range(3):
        (data / "val" / f"{i}.npy").write_bytes(b"no array")
    said = run("check", data, code=3).stdout
    assert "val cannot be opened" in said
    assert "text.jpg" in said
    found = json.loads(run("check", data, "--json", code=3).stdout)
    assert (found["well"], found["rows"], list(found["unopened"])) == (False, {"train": 32}, ["val"])


def test_rows_of_a_damaged_chunk_are_told_in_one_line(tmp_path):
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(0).random((40, 9))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        place = file.create_dataset("x", data=x, chunks=(10, 9), compression="gzip").id.get_chunk_info(1).byte_offset
    with (tmp_path / "a.h5").open("r+b") as file:
        file.seek(place + 20)
        file.write(b"damaged")
    said = " ".join(run("check", tmp_path / "a.h5", code=3).stdout.split())
    assert "10 bad" in said
    assert "(and 9 more rows, to row 19)" in said
    assert [place["row"] for place in json.loads(run("check", tmp_path / "a.h5", "--json", code=3).stdout)["bad"]] == [
        *range(10, 20)
    ]


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be there")
def test_names_cannot_give_commands_to_a_terminal(tmp_path):
    for i, name in enumerate(("a\x1b[31m.jpg", "b\nc.jpg")):
        (tmp_path / "data" / str(i)).mkdir(parents=True)
        (tmp_path / "data" / str(i) / name).write_bytes(b"nothing")
    said = run("check", tmp_path / "data", code=3).stdout
    assert r"a\x1b[31m.jpg" in said
    assert r"b\nc.jpg" in said
    assert "\x1b" not in said


def test_a_page_of_findings_says_what_its_pictures_leave_out(tmp_path):
    for i in range(4):
        values = np.random.default_rng(i).random((5, 8, 8)).astype(np.float32)
        if i == 3:
            values[0, 0, 0] = np.nan
        (tmp_path / "scans" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "scans" / "ab"[i % 2] / f"{i}.npy", values)
    run("check", tmp_path / "scans", "--axes", "DHW", "--html", tmp_path / "check.html", code=3)
    text = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "the slice in the middle of the depth is shown" in text
    assert "b/3.npy" in text
    assert text.count("data:image/jpeg") == 1
