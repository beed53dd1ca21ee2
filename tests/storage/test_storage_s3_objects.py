"""Objects that are replaced or deleted, names that other programs stumble over, and processes that share data of a bucket."""

import multiprocessing
import os
import pickle
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.packed import row_cache
from bitesize.storage import ahead
from bitesize.storage.stores import configure
from bitesize.testing import read_rows
from tests.servers import faults, s3
from tests.servers.proxy import Proxy
from tests.storage.in_bucket import InBucket, batches, run_until_closed, same

pytestmark = [pytest.mark.remote, pytest.mark.timeout(120)]
ROWS = 24
SETTINGS = {"batch_size": 4, "memory": "64 MiB", "threads": 2, "shuffle": False}


@pytest.fixture
def place(tmp_path, s3_server, bucket, monkeypatch):
    monkeypatch.setattr(row_cache, "_REST", 0.0)  # the cache is filled at once
    here = InBucket(tmp_path / "data", s3_server, bucket)
    yield here
    here.close()


def write(place, i, value):
    np.save(place.folder / f"{i:02}.npy", np.full((5, 4), value, np.float32))
    place.put()


@pytest.fixture
def source(place):
    for i in range(ROWS):
        write(place, i, i)
    return bs.open(place.root, storage_options=place.options)


def first_values(loader):
    return {
        int(row): float(x[0, 0])
        for batch in loader
        for row, good, x in zip(batch.rows, batch.mask, batch["x"], strict=True)
        if good
    }


# --- replaced and deleted ----------------------------------------------------------------------------------------------


def test_objects_that_were_replaced_or_deleted_between_epochs_are_bad_rows_and_no_others(place, source):
    expected = {i: float(i) for i in range(ROWS)}
    with bs.Loader(source, **SETTINGS) as loader:
        assert first_values(loader) == expected
    write(place, 7, -7)
    place.server.delete(place.bucket, "11.npy")
    with bs.Loader(source, **SETTINGS, on_error="skip", max_bad=1.0) as loader:
        assert first_values(loader) == {i: value for i, value in expected.items() if i not in (7, 11)}
        reasons = {row: f"{path}: {reason}" for row, path, reason in loader.bad}
    assert sorted(reasons) == [7, 11]
    assert f"{place.root}/07.npy was replaced" in reasons[7]
    assert f"{place.root}/11.npy no longer exists" in reasons[11]
    with bs.Loader(source.subset([7]), **SETTINGS) as loader, pytest.raises(bs.FileChanged, match=r"07\.npy was replaced"):
        list(loader)
    again = bs.open(place.root)
    assert len(again) == ROWS - 1
    with bs.Loader(again, **SETTINGS) as loader:
        assert first_values(loader)[7] == -7.0


@pytest.mark.parametrize("kind", ["bytes", "exact"])
def test_a_cache_never_returns_the_old_version_of_an_object_that_was_replaced(place, source, tmp_path, kind):
    cache = bs.Cache(tmp_path / "cache", "64 MiB", kind)
    for _ in range(2):
        with bs.Loader(source, **SETTINGS, cache=cache) as loader:
            first_values(loader)
    assert loader.stats.cache_hits >= ROWS
    write(place, 7, -7)
    with bs.Loader(bs.open(place.root), **SETTINGS, cache=cache) as loader:
        values = first_values(loader)
        assert loader.stats.cache_hits >= ROWS - 1
    assert values == {**{i: float(i) for i in range(ROWS)}, 7: -7.0}
    place.server.delete(place.bucket, "11.npy")
    with bs.Loader(bs.open(place.root), **SETTINGS, cache=cache) as loader:
        assert first_values(loader) == {i: values[j] for i, j in enumerate(j for j in range(ROWS) if j != 11)}
    write(place, 11, 11)
    write(place, 7, 7)  # as it was
    with bs.Loader(bs.open(place.root), **SETTINGS, cache=cache) as loader:
        assert first_values(loader)[7] == 7.0


def test_one_array_that_was_replaced_is_bad_in_all_rows_and_right_when_it_is_opened_again(place, tmp_path):
    def put(add):
        np.save(place.folder / "x.npy", np.arange(ROWS * 20.0).reshape(ROWS, 5, 4) + add)
        place.put()

    put(0)
    cache = bs.Cache(tmp_path / "cache", "64 MiB", "bytes")
    source = bs.open(f"{place.root}/x.npy", file_is_row=False)
    for _ in range(2):
        with bs.Loader(source, **SETTINGS, cache=cache) as loader:
            assert first_values(loader) == {i: i * 20.0 for i in range(ROWS)}
    put(1)
    with bs.Loader(source, **SETTINGS, on_error="skip", max_bad=1.0) as loader:
        assert first_values(loader) == {}
        assert len(loader.bad) == ROWS
    with bs.Loader(bs.open(f"{place.root}/x.npy", file_is_row=False), **SETTINGS, cache=cache) as loader:
        assert first_values(loader) == {i: i * 20.0 + 1 for i in range(ROWS)}


# --- processes -----------------------------------------------------------------------------------------------------------


def _read(pickled, queue):
    source = pickle.loads(pickled)
    with bs.Loader(source, batch_size=4, memory="64 MiB", threads=2, shuffle=False) as loader:
        queue.put([batch["x"].tobytes() for batch in loader])


def test_a_spawned_process_reads_a_pickled_source_with_its_options(place, source):
    with bs.Loader(source, **SETTINGS) as loader:
        expected = [batch["x"].tobytes() for batch in loader]
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    process = spawn.Process(target=_read, args=(pickle.dumps(source), queue))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join(30)
    queue.close()
    queue.join_thread()
    assert process.exitcode == 0
    process.close()


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_child_gets_an_error_and_does_not_hang(place, source):
    import signal

    read_rows(source, [0])
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            read_rows(source, [1])
            said = b"read"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}".encode()
        os.write(writer, said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child hung"
    assert "forked process" in said, said
    assert "spawn" in said
    assert place.root in said


# --- names ---------------------------------------------------------------------------------------------------------------

NAMES = [
    "a b",
    "50%",
    "a%20b",
    "1+1",
    "#1",
    "who?",
    "[x]",
    "{y}",
    "a&b=c",
    "ÄÖ",
    "日本",
    "é",
    "~t",
    "a'b",
    "x;y",
    "$HOME",
    "(1)",
    "@2",
    "!",
    "a,b",
]


def test_odd_names_in_an_image_folder_with_markers(place):
    for i, name in enumerate(NAMES):
        path = place.folder / f"class {'#+'[i % 2]}" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 8, 3), i, np.uint8)).save(path)
    place.put()
    for marker in ("class #/", "class +/", ""):
        if marker:
            place.server.put(place.bucket, marker)
    local, there = bs.open(place.folder), bs.open(place.root, storage_options=place.options)
    assert there.classes == local.classes == ("class #", "class +")
    assert len(there) == len(NAMES)
    assert there.fingerprint() == local.fingerprint()
    settings = {"transforms": [bs.Resize(8)], "seed": 1}
    same(batches(there, **settings), batches(local, **settings))


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_of_single_objects(place, name):
    np.save(place.folder / f"{name}.npy", np.arange(40.0).reshape(20, 2))
    place.put()
    there = bs.open(f"{place.root}/{name}.npy", file_is_row=False, storage_options=place.options)
    assert read_rows(there, range(20))["x"] == [np.array([2.0 * i, 2.0 * i + 1]).tobytes() for i in range(20)]


def test_a_table_of_odd_addresses(place):
    lines = ["image,label"]
    for i, name in enumerate(each for each in NAMES if "," not in each):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(place.folder / f"{name}.png")
        lines.append(f"{place.root}/{name}.png,{i % 2}")
    (place.folder / "table.csv").write_text("\n".join(lines), "utf-8")
    place.put()
    source = bs.open(f"{place.root}/table.csv", storage_options=place.options)
    got = batches(source, 1, shuffle=False, batch_size=len(lines))[0][1]["x"]
    assert got[:, 0, 0, 0].tolist() == [*range(len(lines) - 1)]


@pytest.mark.parametrize("key", ["photos//a.png", "photos/./a.png", "photos/../a.png"])
def test_keys_that_cannot_be_requested_are_left_out_and_counted(place, proxy, key):
    place.close()
    proxy.plan = faults.where(lambda request: "list-type" in request.query, faults.listing({"photos/b.png": 100, key: 100}))
    options = place.server.options(proxy.address)
    source = bs.open(f"{place.root}/photos", storage_options=options)
    assert len(source) == 1
    assert any("cannot be requested" in str(choice) for choice in source.choices), source.choices


def test_bytes_that_a_loader_has_requested_ahead_are_not_given_to_data_that_was_opened_later(place, source):
    with bs.Loader(source, **SETTINGS) as loader:
        batches_of_old = iter(loader)
        next(batches_of_old)  # the others are requested
        deadline = time.monotonic() + 20
        while not any(body.part.address.endswith("22.npy") and body.arrived for body in waiting()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        write(place, 22, -22)
        new = bs.open(place.root)
        assert np.frombuffer(read_rows(new, [22])["x"][0], np.float32)[0] == -22.0


def waiting():
    return [body for bodies in list(ahead._bodies.values()) for body in bodies]


def test_a_loader_goes_on_when_another_one_that_has_requested_its_rows_is_closed(place, source):
    with Proxy(place.server.address, keys=s3.KEYS) as proxy:
        configure(place.root, {**place.options, **place.server.options(proxy.address)})
        other = bs.Loader(source, **SETTINGS)
        proxy.plan = lambda request: faults.slow_down()
        loop = threading.Thread(target=run_until_closed, args=(other,))
        loop.start()
        while proxy.counters.faults["slow_down"] < 2 * ROWS:
            time.sleep(0.01)
        got = []

        def read():
            got.append(read_rows(source, range(ROWS)))

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.3)  # it waits for what the loader has requested
        other.close()
        proxy.plan = None
        loop.join(20)
        reader.join(20)
        assert got
        assert [np.frombuffer(x, np.float32)[0] for x in got[0]["x"]] == [*range(ROWS)]
