"""`bitesize pack` as people run it."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.cli.running import COMMAND, run
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.cli.pack import pack


@pytest.fixture
def data(tmp_path):
    for part, count in (("train", 30), ("val", 10)):
        for i in range(count):
            write_jpeg(tmp_path / "data" / part / "ab"[i % 2] / f"{part}{i}.jpg", noise(20, 30 + i % 3, seed=i))
    return tmp_path / "data"


def test_all_splits_are_packed_and_shown(data, tmp_path):
    told = " ".join(run("pack", data, "--out", tmp_path / "packed", "--resize", "16").stdout.split())
    for text in (
        "rounded to uint8",
        "disk: about",
        "40 rows (train 30, val 10) as pixels",
        "2 shards",
        "rows/s",
        "peak memory",
    ):
        assert text in told, text
    assert bs.open(tmp_path / "packed", split="val").spec["x"].shape == (16, 16, 3)
    assert "nothing was packed" in run("pack", data, "--out", tmp_path / "packed", "--resize", "16").stdout


def test_a_chosen_split_is_a_store_without_splits(data, tmp_path):
    run("pack", data, "--split", "train", "--out", tmp_path / "packed", "--kind", "bytes", "--labels", "none")
    assert len(bs.open(tmp_path / "packed")) == 30
    assert bs.open(tmp_path / "packed").label_name is None


@pytest.mark.parametrize(
    ("options", "kind", "shape"),
    [
        (["--max-side", "24"], "pixels", (24, 3)),
        (["--kind", "jpeg", "--max-side", "24", "--quality", "50"], "jpeg", (24, 3)),
        (["--resize", "8x12"], "pixels", (12, 3)),
        (["--kind", "bytes", "--mode", "L"], "bytes", (30, 1)),
    ],
    ids=str,
)
def test_options_are_those_of_python(data, tmp_path, options, kind, shape):
    out = run(
        "pack", data / "train", "--out", tmp_path / "packed", "--json", "--verify", "--memory", "64MiB", *options
    ).stdout
    found = json.loads(out)
    assert (found["kind"], found["rows"], found["splits"], found["skipped"]) == (kind, 30, {}, [])
    assert found["nbytes"] > 0
    assert found["peak_bytes"] <= 64 << 20
    assert bs.open(tmp_path / "packed")[0]["x"].shape[1:] == shape


def test_every_setting_of_python_is_an_option():
    settings = set(inspect.signature(bs.pack).parameters) - {"data", "out", "transforms", "progress"}
    assert settings <= set(inspect.signature(pack).parameters)


def test_a_store_is_trained_on_planned_and_checked_like_any_data(data, tmp_path):
    run("pack", data, "--out", tmp_path / "packed", "--kind", "pixels")
    assert "packed from 30 rows" in " ".join(
        run("inspect", tmp_path / "packed", "--split", "train", "--out", tmp_path / "grid.png").stdout.split()
    )
    assert json.loads(run("check", tmp_path / "packed", "--json", code=3).stdout)["rows"] == {"train": 30, "val": 10}
    assert "30 rows: packed stores" in " ".join(run("plan", tmp_path / "packed", "--split", "train").stdout.split())
    assert "packed stores" in run("formats").stdout


def test_damaged_shards_are_listed(data, tmp_path):
    run("pack", data, "--out", tmp_path / "packed", "--kind", "bytes")
    assert "all checksums agree" in run("pack", tmp_path / "packed", "--verify").stdout
    assert json.loads(run("pack", tmp_path / "packed", "--verify", "--json").stdout)["damaged"] == []
    path = tmp_path / "packed" / "val" / "00000" / "x.bin"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    told = run("pack", tmp_path / "packed", "--verify", code=3).stdout
    assert "x.bin is damaged" in " ".join(told.split())
    assert len(json.loads(run("pack", tmp_path / "packed", "--verify", "--json", code=3).stdout)["damaged"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--out"),
        (["--out", "x", "--resize", "a"], "--resize"),
        (["--out", "x", "--resize", "1x2x3"], "--resize"),
        (["--out", "x", "--kind", "png"], "kind must be"),
        (["--out", "x", "--kind", "bytes", "--max-side", "9"], "--max-side"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_words_of_the_command_line(data, tmp_path, options, message):
    assert message in run("pack", data, *options, code=1, cwd=tmp_path).stderr
    assert "must be raise or skip" in run("pack", data, "--out", "x", "--on-error", "ignore", code=2, cwd=tmp_path).stderr
    assert not (tmp_path / "x").exists()


def test_a_bad_file_is_named_with_what_lists_all(data, tmp_path):
    (data / "train" / "a" / "text.jpg").write_text("I am no image")
    told = run("pack", data, "--out", tmp_path / "packed", "--kind", "pixels", code=1).stderr
    assert "text.jpg" in told
    assert "bitesize check" in told
    told = run("pack", data, "--out", tmp_path / "packed", "--kind", "pixels", "--on-error", "skip").stdout
    assert "1 row of train could not be read" in " ".join(told.split())


def test_verification_of_what_is_no_store_is_an_error(data):
    assert "manifest.json does not exist" in " ".join(run("pack", data, "--verify", code=1).stderr.split())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_it_and_the_next_run_continues(tmp_path):
    import signal

    np.save(tmp_path / "x.npy", np.zeros((4000, 5000)))
    store = tmp_path / "packed"
    command = [*COMMAND, "pack", str(tmp_path / "x.npy"), "--out", str(store), "--shard-size", "8MiB", "--memory", "32MiB"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (store / "00001").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert process.returncode == 130, told
    assert not list(store.glob("*.partial-*"))
    done = json.loads(run("pack", tmp_path / "x.npy", "--out", store, "--shard-size", "8MiB", "--json").stdout)
    assert 0 < done["kept"] < done["shards"]
    shutil.rmtree(store)
