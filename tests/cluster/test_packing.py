"""Packing by workers on Ray: the bytes of one process, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import bitesize as bs
from bitesize.cluster.shared_folder import check_marked, marked
from bitesize.files.transfer import objects_below
from bitesize.packing.verify import damaged_shards
from bitesize.storage.stores import configure
from tests.conftest import noise, write_jpeg
from tests.programs.deadly_rows import DeadlyRows

ray = pytest.importorskip("ray", reason="the workers are processes of Ray")

COMMAND = [sys.executable, "-m", "bitesize"]
SMALL = {"kind": "bytes", "shard_size": "4 KiB", "memory": "32 MiB"}
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Connections of Ray to its workers stay open as long as the session."""


@pytest.fixture(scope="module")
def session():
    """Ray on this machine, for all tests that need no other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i in range(24):
        write_jpeg(folder / ("train", "val")[i % 3 == 0] / "ab"[i % 2] / f"{i:02}.jpg", noise(20, 30, seed=i))
    return folder


@pytest.fixture
def values(tmp_path):
    path = tmp_path / "values.npy"
    np.save(path, np.arange(40_000.0).reshape(-1, 10))
    return bs.open(path)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def opened(folder):
    return {name: bs.open(folder, split=name) for name in ("train", "val")}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_store_has_the_bytes_of_one_process(session, photos, tmp_path, workers):
    alone = bs.pack(opened(photos), tmp_path / "alone", **SMALL)
    seen = []
    report = bs.ray.pack(
        opened(photos), tmp_path / "store", workers=workers, progress=lambda *done: seen.append(done), **SMALL
    )
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")
    assert (report.rows, report.shards, report.nbytes) == (alone.rows, alone.shards, alone.nbytes)
    assert report.shards > 4
    assert seen == sorted(seen)
    assert seen[-1] == (24, 24)
    assert 0 < report.peak_nbytes <= 32 << 20
    assert f"32 MiB for each of {workers} workers" in report.notes[-1]


@pytest.mark.parametrize(
    "settings",
    [
        {"transforms": [bs.Resize(16)]},
        {"kind": "pixels"},
        {"kind": "jpeg", "max_side": 16, "quality": 60},
    ],
    ids=str,
)
def test_images_are_rendered_and_encoded_as_by_one_process(session, photos, tmp_path, settings):
    settings = {"shard_size": "4 KiB", "memory": "64 MiB", **settings}
    bs.pack(opened(photos), tmp_path / "alone", **settings)
    bs.ray.pack(opened(photos), tmp_path / "store", workers=2, verify=True, **settings)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


def test_what_one_process_has_begun_workers_continue(session, values, tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(done, total):
        if done > total // 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        bs.pack(values, tmp_path / "store", progress=interrupt, threads=1, **SMALL)
    sealed = len(list((tmp_path / "store").glob("[0-9]*")))
    report = bs.ray.pack(values, tmp_path / "store", workers=2, **SMALL)
    assert 0 < report.kept == sealed < report.shards
    bs.pack(values, tmp_path / "alone", **SMALL)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


def test_an_interruption_ends_the_workers_and_leaves_whole_shards(session, values, tmp_path):
    def interrupt(done, total):
        if done > total // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bs.ray.pack(values, tmp_path / "store", workers=2, progress=interrupt, **SMALL)
    before = contents(tmp_path / "store")
    assert not [name for name in before if "partial" in name or name.startswith(".")]
    time.sleep(0.5)
    assert contents(tmp_path / "store") == before
    report = bs.ray.pack(values, tmp_path / "store", workers=2, **SMALL)
    assert 0 < report.kept < report.shards
    bs.pack(values, tmp_path / "alone", **SMALL)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


@needs_signals
def test_a_worker_that_is_killed_within_a_shard_is_replaced(session, tmp_path):
    (tmp_path / "deaths").mkdir()
    source = DeadlyRows(1000, 500, tmp_path / "deaths", deaths=1)
    bs.ray.pack(source, tmp_path / "store", workers=2, shard_size="1 KiB", memory="32 MiB")
    assert len(list((tmp_path / "deaths").iterdir())) == 1
    bs.pack(source, tmp_path / "alone", shard_size="1 KiB", memory="32 MiB")
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


@needs_signals
def test_a_shard_that_kills_every_worker_is_an_error_and_the_others_stay(session, tmp_path):
    (tmp_path / "deaths").mkdir()
    source = DeadlyRows(1000, 500, tmp_path / "deaths", deaths=3)
    settings = {"workers": 2, "shard_size": "1 KiB", "memory": "32 MiB"}
    with pytest.raises(bs.WorkerFailed, match="3 times"):
        bs.ray.pack(source, tmp_path / "store", **settings)
    assert len(list((tmp_path / "store").glob("[0-9]*"))) > 1
    bs.ray.pack(source, tmp_path / "store", **settings)  # goes on, and removes what the killed workers had begun
    assert not list((tmp_path / "store").glob("*partial*"))


def test_an_error_of_a_worker_is_that_of_one_process(session, photos, tmp_path):
    bad = tmp_path / "photos"
    for i in range(12):
        write_jpeg(bad / "ab"[i % 2] / f"{i:02}.jpg", noise(20, 30, seed=i))
    (bad / "a" / "04.jpg").write_bytes(b"no image")
    settings = {"kind": "pixels", "shard_size": "4 KiB", "memory": "32 MiB"}
    with pytest.raises(bs.BadFile, match=r"04\.jpg") as caught:
        bs.ray.pack(bs.open(bad), tmp_path / "store", workers=2, **settings)
    assert caught.value.row == 2
    with pytest.raises(bs.TooManyBadRows):
        (bad / "b" / "05.jpg").write_bytes(b"no image")
        bs.ray.pack(bs.open(bad), tmp_path / "store", workers=2, on_error="skip", **settings)
    report = bs.ray.pack(bs.open(bad), tmp_path / "store", workers=2, on_error="skip", max_bad=0.5, **settings)
    assert sorted(row.row for row in report.skipped[""]) == [2, 8]
    bs.pack(bs.open(bad), tmp_path / "alone", on_error="skip", max_bad=0.5, **settings)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


def test_values_in_memory_are_sent(session, tmp_path):
    values = np.arange(9000.0).reshape(-1, 3)
    bs.ray.pack(bs.open(values), tmp_path / "store", workers=2, **SMALL)
    shards = sorted((tmp_path / "store").glob("[0-9]*"))
    np.testing.assert_array_equal(np.concatenate([np.load(shard / "x.npy") for shard in shards]), values)


def test_relative_paths_are_those_of_the_program(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.arange(9000.0).reshape(-1, 3))
    bs.ray.pack(bs.open("x.npy"), "store", workers=2, **SMALL)
    bs.pack(bs.open("x.npy"), "alone", **SMALL)
    assert contents("store") == contents("alone")


@pytest.mark.remote
def test_a_store_at_an_address_has_the_bytes_of_one_process(session, photos, tmp_path, s3_server, bucket):
    configure(f"s3://{bucket}", s3_server.options())
    report = bs.ray.pack(opened(photos), f"s3://{bucket}/packed", workers=2, verify=True, **SMALL)
    alone = bs.pack(opened(photos), tmp_path / "alone", **SMALL)
    assert report.shards == alone.shards
    assert damaged_shards(f"s3://{bucket}/packed") == []
    found = objects_below(f"s3://{bucket}/packed")
    assert {name: entry.size for name, entry in found.items()} == {
        name: len(content) for name, content in contents(tmp_path / "alone").items()
    }
    assert bs.ray.pack(opened(photos), f"s3://{bucket}/packed", workers=2, **SMALL).kept == alone.shards


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": bs.ray.Workers(8, least=2)}, "2..8: a range is for training"),
        ({"workers": 0}, "at least 1"),
        ({"workers": 2, "threads": 4}, "threads= is for"),
        ({"workers": 2, "memory": bs.Budget("1 MiB")}, "budget of its own"),
        ({"workers": 2, "kind": "png"}, "kind must be"),
        ({"workers": 100}, "needs 100 processors, but .* has 4"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_before_anything_is_written(session, values, tmp_path, settings, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.ray.pack(values, tmp_path / "store", **settings)
    assert not (tmp_path / "store").exists()


def test_without_ray_the_error_says_what_installs_it(values, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(bs.MissingPackage, match=r"pip install 'bitesize\[ray\]'"):
        bs.ray.pack(values, tmp_path / "store", workers=2)


def test_a_folder_that_a_worker_does_not_see_is_refused(tmp_path):
    with marked(tmp_path) as marker:
        check_marked(marker, patience=0)
        with pytest.raises(bs.NotFound, match=r"does not see the folder .*: choose a folder that all machines share"):
            check_marked(tmp_path / "elsewhere" / marker.name, patience=0)
    with pytest.raises(bs.NotFound):
        check_marked(marker, patience=0)
    assert not list(tmp_path.iterdir())


# --- the command -------------------------------------------------------------------------------------------------


def run(*arguments, code=0):
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_the_command_packs_verifies_and_reports(photos, tmp_path):
    options = ("--kind", "bytes", "--shard-size", "4KiB", "--memory", "32MiB", "--workers", "2")
    told = " ".join(run("pack", photos, "--out", tmp_path / "store", "--verify", *options).stdout.split())
    assert "24 rows (train 16, val 8) as bytes" in told
    assert "workers: 2: Ray on this machine" in told
    assert "32 MiB for each of 2 workers (--memory is the budget of one)" in told
    assert "all checksums agree" in told
    bs.pack(opened(photos), tmp_path / "alone", **SMALL)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


@pytest.fixture
def cluster():
    """The address of a cluster of two machines, of one processor each; here, of two servers on this one."""
    from ray.cluster_utils import Cluster

    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    running.add_node(num_cpus=1)
    yield running.address
    running.shutdown()


def test_workers_are_on_all_machines_of_a_cluster(photos, tmp_path, cluster):
    options = ("--kind", "bytes", "--shard-size", "4KiB", "--memory", "32MiB", "--address", cluster)
    assert "needs 3 processors" in run("pack", photos, "--out", tmp_path / "store", "--workers", 3, *options, code=1).stderr
    run("pack", photos, "--out", tmp_path / "store", "--workers", 2, *options)
    bs.pack(opened(photos), tmp_path / "alone", **SMALL)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2..8"], "--workers 2..8: a range is for training"),
        (["--workers", "some"], "--workers must be a number"),
        (["--workers", "9999"], "--workers 9999 needs 9999 processors"),
        (["--address", "auto"], "--workers: add it"),
        (["--workers", "1", "--threads", "2"], "--threads"),
        (["--workers", "1", "--address", "127.0.0.1:9"], "no cluster of Ray answers at 127.0.0.1:9"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_words_of_the_command_line(photos, tmp_path, options, message):
    told = run("pack", photos, "--out", tmp_path / "store", *options, code=1).stderr
    assert message in " ".join(told.split())
    assert not (tmp_path / "store").exists()


def name_of(process):
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return "Agent"


@needs_signals
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_program_that_ends_in_the_middle_continues(tmp_path, ending):
    np.save(tmp_path / "x.npy", np.arange(4_000_000.0).reshape(-1, 100))
    store = tmp_path / "store"
    command = ["pack", tmp_path / "x.npy", "--out", store, "--shard-size", "64KiB", "--workers", "2", "--json"]
    process = subprocess.Popen([*COMMAND, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (store / "00009").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(ending)
    _, told = process.communicate(timeout=60)
    assert process.returncode == (130 if ending == signal.SIGINT else -ending), told
    if ending == signal.SIGINT:
        assert not [path.name for path in store.iterdir() if "partial" in path.name or path.name.startswith(".")]
    _, alive = psutil.wait_procs(children, timeout=60 if ending == signal.SIGINT else 10)
    try:
        assert [name for name in map(name_of, alive) if "Agent" not in name] == []  # Ray's own agents outlive a kill
    finally:
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    done = json.loads(run(*command).stdout)
    assert 0 < done["kept"] < done["shards"]
    bs.pack(bs.open(tmp_path / "x.npy"), tmp_path / "alone", shard_size="64 KiB")
    assert contents(store) == contents(tmp_path / "alone")
