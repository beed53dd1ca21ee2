"""Loops over data in a bucket whose server does wrong: each row is right, or reported with its address; and nothing hangs."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of
from bitesize.storage.limiter import LIMITER, START
from bitesize.storage.stores import configure
from tests.servers import faults
from tests.storage.in_bucket import InBucket, run_until_closed

pytestmark = [pytest.mark.remote, pytest.mark.timeout(120)]

PASSING = [
    faults.slow_down(),
    faults.too_many_requests(),
    faults.internal_error(),
    faults.reset(),
    faults.cut(after=0),
    faults.cut(after=900),
    faults.shorter(),
    faults.longer(),
    faults.stall(after=0),
    faults.stall(after=900),
    faults.whole(),
    faults.wrong_range(),
    faults.expired_token(),
    faults.expired_token(403),
]
FINAL = [
    faults.other_etag(),
    faults.precondition_failed(),
    faults.not_found(),
    faults.access_denied(),
    faults.moved("eu-west-1"),
]
ROWS, SHAPE = 120, (40, 30)
QUICK = {"timeout": "250ms", "deadline": 3.0}


def values(row):
    return np.random.default_rng(row).random(SHAPE, np.float32)


@pytest.fixture
def place(tmp_path, s3_server, bucket, proxy):
    limit, LIMITER.limit = LIMITER.limit, START
    here = InBucket(tmp_path / "data", s3_server, bucket, proxy.address, **QUICK)
    for i in range(ROWS):
        np.save(here.folder / f"{i:03}.npy", values(i))
    np.savez(here.folder / "all.npz", x=np.stack([values(i) for i in range(ROWS)]))
    np.save(here.folder / "all.npy", np.stack([values(i) for i in range(ROWS)]))
    here.put()
    yield here
    proxy.plan = proxy.most_at_once = proxy.most_per_second = None
    LIMITER.limit = limit
    here.close()


def rows_of(place):
    return bs.open([f"{place.root}/{i:03}.npy" for i in range(ROWS)])


def check(batch):
    """Check that rows which are not masked are right, and return their number."""
    mask = batch.mask
    for row, good, x in zip(batch.rows, mask, batch["x"], strict=True):
        assert not good or np.array_equal(x, values(int(row))), f"row {row} is wrong"
    return int(mask.sum())


SOURCES = {
    "files": rows_of,
    "npy": lambda place: bs.open(f"{place.root}/all.npy", file_is_row=False),
    "npz": lambda place: bs.open(f"{place.root}/all.npz", file_is_row=False),
}


def test_a_thousand_faults_while_several_loaders_run(place, proxy):
    """Two loaders skip bad rows, and one ends at them; all read ahead, with several threads each."""
    sources = {name: make(place) for name, make in SOURCES.items()}
    proxy.plan = faults.at_random(0.5, PASSING + FINAL, seed=5)
    right, bad, errors = dict.fromkeys(sources, 0), [], []

    def work(name, seed, on_error):
        settings = {"batch_size": 8, "memory": "64 MiB", "threads": 4, "max_bad": 1.0}
        deadline = time.monotonic() + 60
        while sum(proxy.counters.faults.values()) < 1000 and time.monotonic() < deadline:
            seed += 1
            with bs.Loader(sources[name], seed=seed, on_error=on_error, shuffle=seed % 3 != 0, **settings) as loader:
                try:
                    for batch in loader:
                        right[name] += check(batch)
                except (bs.RequestFailed, bs.FileChanged, bs.NoPermission) as error:
                    assert on_error == "raise"
                    assert f"{place.root}/" in str(error)
                    assert "\n" not in str(error)
                bad.extend(zip(loader.bad, driver_of(loader).bad_rows.kinds.values(), strict=True))

    def guarded(*arguments):
        try:
            work(*arguments)
        except BaseException as error:
            errors.append(error)

    tasks = [("files", 0, "skip"), ("npy", 100, "skip"), ("npz", 200, "skip"), ("files", 300, "raise")]
    threads = [threading.Thread(target=guarded, args=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
    assert min(right.values()) > 50, right
    assert {kind for _, kind in bad} <= {bs.RequestFailed, bs.FileChanged, bs.NoPermission}
    assert {bs.FileChanged, bs.NoPermission} <= {kind for _, kind in bad}
    for (_, path, reason), _ in bad:
        assert f"{place.root}/" in f"{path}: {reason}"
    assert sum(proxy.counters.faults.values()) >= 1000
    assert len(proxy.counters.faults) > 10
    proxy.plan = None
    with bs.Loader(sources["files"], batch_size=8, memory="64 MiB") as loader:  # afterward, all is well
        assert sum(check(batch) for batch in loader) == ROWS


@pytest.mark.parametrize("name", ["files", "npz", pytest.param("npy", marks=pytest.mark.slow)])
def test_faults_that_pass_are_not_noticed_in_a_loop(place, proxy, name):
    source = SOURCES[name](place)
    configure(place.root, {**place.options, "deadline": 30.0})
    proxy.plan = faults.at_random(0.2, [each for each in PASSING if each.kind != "stall"], seed=1)
    with bs.Loader(source, batch_size=8, memory="64 MiB", threads=4) as loader:
        assert sum(check(batch) for _ in range(2) for batch in loader) == 2 * ROWS
        assert not loader.bad
        assert proxy.counters.faults


def test_a_request_that_has_failed_until_its_deadline_is_not_sent_again(place, proxy):
    source = rows_of(place)
    proxy.plan = faults.where(lambda request: "/007.npy" in request.path, faults.internal_error())
    settings = {"batch_size": 8, "memory": "64 MiB", "threads": 2, "shuffle": False}
    with bs.Loader(source, **settings, on_error="skip") as loader:
        begun = time.monotonic()
        assert sum(check(batch) for batch in loader) == ROWS - 1
        spent = time.monotonic() - begun
    assert [row for row, *_ in loader.bad] == [7]
    assert spent < 1.9 * QUICK["deadline"]


@pytest.mark.parametrize("name", ["files", *(pytest.param(name, marks=pytest.mark.slow) for name in ("npy", "npz"))])
def test_a_loader_is_closed_soon_while_the_server_stalls(place, proxy, name):
    source = SOURCES[name](place)
    configure(place.root, {**place.options, "timeout": "3s", "deadline": 1.0})
    proxy.plan = lambda request: faults.stall(after=100)
    loader = bs.Loader(source, batch_size=8, memory="64 MiB", threads=4)
    failed = []

    def loop():
        try:
            list(loader)
        except bs.LoaderClosed as error:
            failed.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    deadline = time.monotonic() + 20
    while not proxy.counters.faults["stall"] and time.monotonic() < deadline:
        time.sleep(0.01)
    begun = time.monotonic()
    loader.close()
    spent = time.monotonic() - begun
    thread.join(5)
    assert not thread.is_alive()
    assert failed
    assert spent < 2.9  # a request stalls for 3 s
    # The threads end with their requests, and return their memory.
    failed.clear()
    proxy.plan = None
    deadline = time.monotonic() + 10
    while loader.budget.in_use and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert loader.budget.in_use == 0


def test_a_loader_that_is_closed_in_a_storm_repeats_no_request(place, proxy):
    source = rows_of(place)
    configure(place.root, {**place.options, "deadline": 60.0})
    proxy.plan = lambda request: faults.slow_down()
    loader = bs.Loader(source, batch_size=8, memory="64 MiB", threads=4, on_error="skip")
    loop = threading.Thread(target=run_until_closed, args=(loader,))
    loop.start()
    deadline = time.monotonic() + 20
    while proxy.counters.faults["slow_down"] < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    loader.close()
    loop.join(5)
    assert not loop.is_alive()
    assert loader.budget.in_use == 0
    assert not loader.bad
    while LIMITER.in_flight:
        time.sleep(0.01)
    time.sleep(0.5)
    sent = proxy.counters.requests
    time.sleep(1.0)
    assert proxy.counters.requests == sent


PROGRAM = """
import signal, sys
import bitesize as bs
signal.signal(signal.SIGINT, signal.default_int_handler)
options = {options!r}
source = bs.open([f"{root}/{{i:03}}.npy" for i in range({rows})], storage_options=options)
loader = bs.Loader(source, batch_size=8, memory="64 MiB", threads=4)
print("ready", flush=True)
try:
    for batch in loader:
        print("batch", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    {then}
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    "then", ["loader.close()", pytest.param("pass", marks=pytest.mark.slow), pytest.param("raise", marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_a_program_soon_while_the_server_stalls(place, proxy, then):
    program = PROGRAM.format(
        options={**place.options, "timeout": "20s", "deadline": 60.0}, root=place.root, rows=ROWS, then=then
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    proxy.plan = lambda request: faults.stall(after=100)
    deadline = time.monotonic() + 20
    while proxy.counters.faults["stall"] < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        said, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    spent = time.monotonic() - begun
    assert "interrupted" in said
    assert process.returncode in (1, 130, -signal.SIGINT), errors  # python -c ends with 1 after Ctrl-C
    assert "Fatal" not in errors

    assert spent < 10  # the server stalls for 20 s


ENDING = """
import bitesize as bs
source = bs.open([f"{root}/{{i:03}}.npy" for i in range({rows})], storage_options={options!r})
batches = iter(bs.Loader(source, batch_size=8, memory="64 MiB", threads=4))
next(batches)
"""


def test_a_program_that_ends_while_requests_are_on_the_way_ends_well(place, proxy):
    """Their threads must not come back from compiled code while the interpreter goes."""
    proxy.latency = 0.15
    program = ENDING.format(options=place.options, root=place.root, rows=ROWS)
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
